"""What the command lists: clauses, vectors, mutants, a line each; and one vector in full."""

import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuned_contrastive.conformance.judge import allowed_errors, quantity_share
from tuned_contrastive.conformance.mutants.table import rows
from tuned_contrastive.conformance.protocol import (
    AnswerError,
    Float64,
    Implementation,
    Outcome,
)
from tuned_contrastive.conformance.suite.test_vectors import case_of
from tuned_contrastive.conformance.vectors import QUANTITIES, Vector, load_vectors
from tuned_contrastive.spec.clauses import load_clauses

WIDTH = 100
INDENT = " " * 9


def listed(kind: str) -> str:
    """Return the lines of one of the lists that there are."""
    return "\n".join({"clauses": _clauses, "vectors": _vectors, "mutants": _mutants}[kind]())


def shown(vector: Vector, implementation: Implementation) -> tuple[str, bool]:
    """Return a vector's input, and for each dtype what was expected, got, and allowed.

    Beside it whether there was an answer in every dtype.
    """
    parts, answered = [_input(vector)], True
    claims = implementation.capabilities
    for dtype in (name for name in vector.dtypes if name in claims.dtypes):
        try:
            outcome = _outcome(vector, implementation, dtype)
        except (Exception, SystemExit) as error:  # whatever stops the subject
            answered = False
            parts.append(_unanswered(vector, dtype, claims.gradients, error))
            continue
        for quantity in QUANTITIES:
            got = getattr(outcome, quantity, None)
            if quantity in vector.expected and got is not None:
                parts.append(_compared(vector, dtype, quantity, got))
    return "\n\n".join(parts), answered


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


def _input(vector: Vector) -> str:
    lines = [
        f"{vector.id}: {vector.loss}, cites {', '.join(vector.clauses)}",
        f"flags      {', '.join(vector.flags) or 'none'}",
        f"source     {vector.source}",
        f"parameters {dict(vector.parameters) or 'defaults'}",
        f"labels     {'none' if vector.labels is None else _told(vector.labels)}",
        f"embeddings {_told(vector.embeddings)}",
        f"upstream   {_told(vector.upstream)}",
    ]
    return "\n".join(lines)


def _outcome(vector: Vector, implementation: Implementation, dtype: str) -> Outcome:
    claims = implementation.capabilities
    case = case_of(vector, dtype, learnable="learnable" in claims.features)
    if not claims.gradients:
        return implementation.loss(case)
    return implementation.gradients(case, vector.upstream)


def _unanswered(vector: Vector, dtype: str, gradients: frozenset[str], error: BaseException) -> str:
    told = [
        f"{quantity} in {dtype}\n  expected   {_told(vector.expected[quantity])}"
        for quantity in QUANTITIES
        if quantity in vector.expected and quantity in {"loss", *gradients}
    ]
    return "\n\n".join(told) + f"\n  got        nothing: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """Return one sentence on what stopped the subject."""
    said = (str(error).splitlines() or [""])[0]
    if isinstance(error, AnswerError):
        return said
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = ": ".join(word for word in (type(error).__name__, said) if word)
    return f"it raised {what}, at {Path(last.filename).name}:{last.lineno}"


def _compared(vector: Vector, dtype: str, quantity: str, got: Float64) -> str:
    expected, bounds = vector.expected, vector.bounds
    share = quantity_share(quantity, got, expected, bounds, dtype)
    lines = [
        f"{quantity} in {dtype}: {share:.3g} times the allowed error",
        f"  expected   {_told(expected[quantity])}",
        f"  got        {_told(got)}",
    ]
    if got.shape == expected[quantity].shape:
        with np.errstate(invalid="ignore"):
            lines.append(f"  difference {_told(got - expected[quantity])}")
    of = "each row's norm" if quantity == "embeddings" else "each number"
    allowed = allowed_errors(quantity, expected, bounds, dtype)
    return "\n".join([*lines, f"  allowed    {_told(allowed)} for {of}"])


def _told(values: object) -> str:
    text = np.array2string(np.asarray(values), precision=8, max_line_width=WIDTH, threshold=200)
    return text.replace("\n", "\n" + " " * 13)
