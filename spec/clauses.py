"""Reads spec.md: the clauses by id, with text and hash."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLANNED = (
    "DST-1",
    "DST-2",
    "DST-3",
)
"""Clauses whose subject comes later: reported as planned, cited by no test."""

PERFORMANCE = ("PRF-1", "PRF-2")
"""Clauses about memory and time: judged only where that is asked for."""

SUITE = ("CNF-1", "CNF-2", "CNF-3", "CNF-4", "CNF-5", "CNF-6", "CNF-7", "CNF-8")
"""Clauses about the suite and the reference: tested by the suite's self-test."""

FAMILIES = {
    "INP": "Inputs and errors",
    "SUP": "SupCon",
    "TCL": "TCL",
    "GRD": "Gradients",
    "NUM": "Numerics",
    "LAW": "Laws",
    "DST": "Distributed",
    "PRF": "Performance",
    "CNF": "Conformance",
}
"""What the letters of a clause's id stand for."""

_CLAUSE = re.compile(
    r"^\*\*([A-Z]{3}-\d+)\*\* (.+?)\s*(?=^\*\*[A-Z]{3}-\d+\*\* |^#|^Why\b|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""Up to the next clause, the next heading or the reasons, however many paragraphs that is."""


@dataclass(frozen=True)
class Clause:
    """One numbered sentence of the specification."""

    id: str
    text: str

    @property
    def digest(self) -> str:
        """The sha256 of the text, white space folded."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def load_clauses() -> dict[str, Clause]:
    """Return every clause of the specification by id, in its order."""
    return read_clauses(Path(__file__).with_name("spec.md").read_text(encoding="utf-8"))


def read_clauses(document: str) -> dict[str, Clause]:
    """Return every clause of a document by id, in its order; ValueError for an id used twice."""
    clauses: dict[str, Clause] = {}
    for name, text in _CLAUSE.findall(document):
        if name in clauses:
            raise ValueError(f"clause ids must be unique, got {name} twice")
        clauses[name] = Clause(name, " ".join(text.split()))
    return clauses
