"""Shows one vector in full: its input, and what was expected, got, and allowed in each dtype."""

import math
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from tuned_contrastive.conformance.applicability import Needs, why_not
from tuned_contrastive.conformance.judge import allowed_errors, quantity_share
from tuned_contrastive.conformance.parametrise import judged, vector_needs
from tuned_contrastive.conformance.protocol import (
    AnswerError,
    Capabilities,
    Float64,
    Implementation,
)
from tuned_contrastive.conformance.suite.test_vectors import case_of
from tuned_contrastive.conformance.vectors import QUANTITIES, Vector

WIDTH = 100
LOSSES = {"loss", "per_anchor"}
SCALARS = {"temperature", "k1", "k2"}


def shown(vector: Vector, implementation: Implementation) -> tuple[str, bool | None]:
    """Return a vector with what a plain call of an implementation makes of it.

    Other modes that a run would judge, by tiles or compiled, are not shown. Beside it whether all
    of that is right; None where nothing applies.
    """
    parts, shares = [_input(vector)], []
    for dtype, quantities in _calls(vector, implementation.capabilities):
        try:
            found = _found(vector, implementation, dtype, quantities)
        except (Exception, SystemExit) as error:  # whatever stops the subject
            shares.append(math.inf)
            parts.append(_unanswered(vector, dtype, quantities, error))
            continue
        for quantity, got in found.items():
            share = quantity_share(quantity, got, vector.expected, vector.bounds, dtype)
            shares.append(share)
            parts.append(_compared(vector, dtype, quantity, got, share))
    if not shares:
        reasons = (_why_not(vector, d, "loss", implementation.capabilities) for d in vector.dtypes)
        parts.append(f"nothing to judge: {'; '.join(dict.fromkeys(filter(None, reasons)))}")
    return "\n\n".join(parts), max(shares) <= 1 if shares else None


def _calls(vector: Vector, claims: Capabilities) -> Iterator[tuple[str, list[str]]]:
    """Yield dtype and quantities of each call that applies; per-anchor losses need their own."""
    for dtype in vector.dtypes:
        applicable = [
            quantity
            for quantity in judged(vector, QUANTITIES)
            if _why_not(vector, dtype, quantity, claims) is None
        ]
        together = [quantity for quantity in applicable if quantity != "per_anchor"]
        apart = [quantity for quantity in applicable if quantity == "per_anchor"]
        yield from ((dtype, quantities) for quantities in (together, apart) if quantities)


def _why_not(vector: Vector, dtype: str, quantity: str, claims: Capabilities) -> str | None:
    return why_not(Needs(dtype=dtype, **vector_needs(vector, quantity)), claims)


def _found(
    vector: Vector, implementation: Implementation, dtype: str, quantities: Collection[str]
) -> dict[str, Float64 | None]:
    """Return what came out of one call."""
    reduction = "none" if "per_anchor" in quantities else None
    learnable = not SCALARS.isdisjoint(quantities)
    case = case_of(vector, dtype, reduction=reduction, learnable=learnable)
    if LOSSES.issuperset(quantities):
        outcome = implementation.loss(case)
    else:
        outcome = implementation.gradients(case, vector.upstream)
    return {name: getattr(outcome, "loss" if name in LOSSES else name) for name in quantities}


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


def _unanswered(
    vector: Vector, dtype: str, quantities: Collection[str], error: BaseException
) -> str:
    told = [
        f"{quantity} in {dtype}\n  expected   {_told(vector.expected[quantity])}"
        for quantity in quantities
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


def _compared(vector: Vector, dtype: str, quantity: str, got: Float64 | None, share: float) -> str:
    expected, bounds = vector.expected, vector.bounds
    lines = [
        f"{quantity} in {dtype}: {share:.3g} times the allowed error",
        f"  expected   {_told(expected[quantity])}",
        f"  got        {'nothing' if got is None else _told(got)}",
    ]
    if got is not None and got.shape == expected[quantity].shape:
        with np.errstate(invalid="ignore"):
            lines.append(f"  difference {_told(got - expected[quantity])}")
    of = "each row's norm" if quantity == "embeddings" else "each number"
    allowed = allowed_errors(quantity, expected, bounds, dtype)
    return "\n".join([*lines, f"  allowed    {_told(allowed)} for {of}"])


def _told(values: object) -> str:
    text = np.array2string(np.asarray(values), precision=8, max_line_width=WIDTH, threshold=200)
    return text.replace("\n", "\n" + " " * 13)
