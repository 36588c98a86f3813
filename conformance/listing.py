"""What the command lists: clauses, vectors, mutants, a line each."""

import textwrap
from collections.abc import Iterator

from tuned_contrastive.conformance.mutants.table import rows
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.spec.clauses import load_clauses

WIDTH = 100
INDENT = " " * 9


def listed(kind: str) -> str:
    """Return the lines of one of the lists that there are."""
    return "\n".join({"clauses": _clauses, "vectors": _vectors, "mutants": _mutants}[kind]())


def _clauses() -> Iterator[str]:
    for name, clause in load_clauses().items():
        text = textwrap.shorten(clause.text, WIDTH - len(INDENT), placeholder=" ...")
        yield f"{name:<8} {text}"


def _vectors() -> Iterator[str]:
    vectors = load_vectors()
    for vector in vectors.values:
        shape = ", ".join(map(str, vector.embeddings.shape))
        yield f"{vector.id:<12} {vector.loss:<6} ({shape})  {', '.join(vector.flags)}"
    for reject in vectors.rejects:
        yield f"{reject.id:<12} {reject.loss:<6} {reject.error}: {reject.text}"


def _mutants() -> Iterator[str]:
    for row in rows():
        yield f"{row.name:<40} breaks {row.clause}"
