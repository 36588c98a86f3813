"""Writes a report as one page of HTML that needs nothing else: no network, no other file."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance.report import MARKS
from tuned_contrastive.spec.clauses import FAMILIES, load_clauses

MEANINGS = {
    "pass": "every case passed",
    "fail": "a case failed that no declaration names",
    "known": "fails exactly as declared",
    "not-applicable": "not claimed, and never counted as passed",
    "planned": "its subject comes in a later version",
    "error": "the suite could not judge it",
}
SCRIPTS = ("elements.js", "matrix.js", "filters.js", "detail.js", "cases.js", "start.js")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(document: Mapping[str, Any]) -> str:
    """Return the page that shows a document: its data, its style and its script stand in it."""
    style = _text("page.css")
    script = "\n".join(['"use strict";', *(_text(name) for name in SCRIPTS)])
    shown = {
        "document": document,
        "clauses": {name: clause.text for name, clause in load_clauses().items()},
        "families": FAMILIES,
        "statuses": {name: [word.lower(), MEANINGS[name]] for name, word in MARKS.items()},
    }
    parts = {
        "policy": policy(style, script),
        "style": style,
        "script": script,
        "data": embedded(shown),
    }
    # in one pass, so that nothing in a message is taken for a place
    return _PLACE.sub(lambda found: parts[found[1]], _text("page.html"))


def policy(style: str, script: str) -> str:
    """Return the content security policy: this style and this script, and nothing from outside."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"


def embedded(value: Any) -> str:
    """Return JSON that can stand in a script element: ASCII, and no `<` to end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
