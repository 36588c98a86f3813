"""Declared deviations of third-party libraries, a file per library, each with its reason."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuned_contrastive.spec.clauses import load_clauses

FIELDS = {"code", "reason", "link", "clauses", "cases"}
CODES = tuple(f"X{number}" for number in range(1, 26))


@dataclass(frozen=True)
class Deviation:
    """What a library does otherwise: which clauses break, in which cases, and why.

    A case is the id of a vector or the name of a test without its parameters. A failure that no
    deviation names both by clause and by case is undeclared.
    """

    code: str
    reason: str
    """In words that a user of the library understands."""
    clauses: frozenset[str]
    cases: frozenset[str]
    link: str = ""
    """Where the library's own code or its users say so."""


def load_deviations(name: str, directory: Path | None = None) -> tuple[Deviation, ...]:
    """Return the deviations declared for a target; none where it has no file.

    ValueError for a clause or a code that does not exist, a missing reason or an unknown field.
    """
    path = (directory or Path(__file__).parent) / f"{name}.toml"
    if not path.is_file():
        return ()
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    if set(document) - {"deviation"}:
        raise ValueError(f"{path.name} must hold only [[deviation]], got {sorted(document)}")
    return tuple(_deviation(path.name, entry) for entry in document.get("deviation", ()))


def _deviation(name: str, entry: dict[str, Any]) -> Deviation:
    if set(entry) != FIELDS:
        raise ValueError(
            f"a deviation in {name} must have {', '.join(sorted(FIELDS))}, got {sorted(entry)}"
        )
    if not all(isinstance(entry[field], str) for field in ("code", "reason", "link")):
        raise ValueError(f"code, reason and link of a deviation in {name} must be strings: {entry}")
    if not all(isinstance(entry[field], list) for field in ("clauses", "cases")):
        raise ValueError(f"clauses and cases of a deviation in {name} must be lists: {entry}")
    if entry["code"] not in CODES or not entry["reason"].strip():
        raise ValueError(f"{name} must give a code {CODES[0]} to {CODES[-1]} and a reason: {entry}")
    if not entry["link"].startswith("https://"):
        raise ValueError(f"{name} must link to where it shows, got {entry['link']!r}")
    unknown = sorted(set(entry["clauses"]) - set(load_clauses()))
    if unknown or not entry["clauses"] or not entry["cases"]:
        raise ValueError(f"{name} must name clauses of the spec and cases, got {unknown or entry}")
    clauses, cases = frozenset(entry["clauses"]), frozenset(entry["cases"])
    return Deviation(entry["code"], entry["reason"], clauses, cases, entry["link"])
