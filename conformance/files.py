"""The files that a report is written to: whether they can be, before a run, and what is in them."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance import report
from tuned_contrastive.conformance.compared import facts_beside
from tuned_contrastive.conformance.junit import junit
from tuned_contrastive.conformance.page import page
from tuned_contrastive.conformance.targets import TargetError

SCALARS = (str, int, float, bool, type(None))


def check(options: argparse.Namespace) -> None:
    """Refuse a report that could not be written before anything is judged, or over another."""
    _check_apart(options)
    for kind in (*KINDS, "compared"):
        file = getattr(options, kind)
        if file and not Path(file).resolve().parent.is_dir():
            raise TargetError(f"{file} is in no folder that exists")
        if file and Path(file).is_dir():
            raise TargetError(f"{file} is a folder, and --{kind} needs a file")
        if file and not _can_be_written(Path(file)):
            raise TargetError(f"{file} cannot be written, and --{kind} needs it")


def write(options: argparse.Namespace, entries: Sequence[report.Entry]) -> list[Path]:
    """Write every report that was asked for, and return their places."""
    document = report.document(entries)
    asked = {kind: Path(getattr(options, kind)) for kind in KINDS if getattr(options, kind)}
    for kind, file in asked.items():
        file.write_text(KINDS[kind](document), encoding="utf-8")
    return [file.resolve() for file in asked.values()]


def _check_apart(options: argparse.Namespace) -> None:
    """Refuse the same file for two reports: the later one would replace the other."""
    given = {f"--{kind}": getattr(options, kind) for kind in (*KINDS, "compared")}
    places = {name: Path(file) for name, file in given.items() if file}
    if options.compared:
        places["the facts of --compared"] = facts_beside(places["--compared"])
    known: dict[Path, str] = {}
    for name, place in places.items():
        other = known.setdefault(place.resolve(), name)
        if other != name:
            raise TargetError(f"{other} and {name} are the same file, {place}")


def _can_be_written(file: Path) -> bool:
    return os.access(file if file.exists() else file.resolve().parent, os.W_OK)


def as_json(document: dict[str, Any]) -> str:
    """Return the document as JSON that can be read and compared: a clause or a case is a line."""
    return f"{_lines(document, '')}\n"


def _markdown(document: dict[str, Any]) -> str:
    return report.markdown(document["results"])


def _lines(value: Any, margin: str) -> str:
    inner = f"{margin}  "
    if _fits_a_line(value):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_lines(item, inner)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [_lines(item, inner) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(f"{inner}{item}" for item in items)
    return f"{opening}\n{body}\n{margin}{closing}"


def _fits_a_line(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(isinstance(item, SCALARS) for item in inside)


KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": as_json,
    "markdown": _markdown,
    "junit": junit,
    "html": page,
}
"""What is written for each option, from the document alone."""
