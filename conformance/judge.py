"""Compares what came out with what is exact: the share of the allowed error (NUM-14, NUM-15).

The share is the largest over all rows of ||error of the row|| / its allowed error; up to 1 is
right. A NaN, an infinity or a shape that is not the expected one has share infinity, and a `Share`
says why.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.conformance.protocol import Float64
from tuned_contrastive.spec.contract import COMPUTE_DTYPES
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF, storage

LARGEST = {
    "float64": float(np.finfo(np.float64).max),
    "float32": float(np.finfo(np.float32).max),
    "bfloat16": float.fromhex("0x1.fep127"),
    "float16": 65504.0,
}
"""The largest finite number of each dtype; beyond it the same infinity is right (NUM-11)."""


class Share(float):
    """A share of the allowed error; of what cannot be compared infinity, and `why`."""

    why: str

    def __new__(cls, value: float, why: str = "") -> Self:
        """Make a float of it."""
        found = super().__new__(cls, value)
        found.why = why
        return found


def value_share(got: Float64 | None, exact: Float64, bound: Float64, dtype: str) -> float:
    """Return the share for numbers in the compute dtype of `dtype`, each with its own bound."""
    if got is None or got.shape != exact.shape:
        return _misshapen(got, exact)
    allowed, largest = _values_allowed(bound, dtype), LARGEST[COMPUTE_DTYPES[dtype]]
    return _share(got.reshape(-1, 1), exact.reshape(-1, 1), allowed, largest)


def rows_share(got: Float64 | None, exact: Float64, bound: Float64, dtype: str) -> float:
    """Return the share for a gradient in the embeddings, returned in `dtype`; one bound per row."""
    if got is None or got.shape != exact.shape:
        return _misshapen(got, exact)
    rows = exact.reshape(-1, exact.shape[-1])
    allowed = _rows_allowed(exact, bound, dtype)
    return _share(got.reshape(rows.shape), rows, allowed, LARGEST[dtype])


def quantity_share(
    quantity: str,
    got: Float64 | None,
    expected: Mapping[str, Float64],
    bounds: Mapping[str, Float64],
    dtype: str,
) -> float:
    """Return the share of one quantity of a vector."""
    share = rows_share if quantity == "embeddings" else value_share
    return share(got, expected[quantity], bounds[quantity], dtype)


def allowed_errors(
    quantity: str, expected: Mapping[str, Float64], bounds: Mapping[str, Float64], dtype: str
) -> Float64:
    """Return the allowed error of each number, or of each row of the gradient in the embeddings."""
    allowed = _values_allowed(bounds[quantity], dtype)
    if quantity == "embeddings":
        allowed = _rows_allowed(expected[quantity], bounds[quantity], dtype)
    return allowed


def same_class(got: Float64, exact: Float64) -> NDArray[np.bool_]:
    """Return where both are NaN, or the same infinity, or both finite."""
    finite = np.isfinite(got) & np.isfinite(exact)
    same: NDArray[np.bool_] = (
        finite | (np.isnan(got) & np.isnan(exact)) | (np.isinf(got) & (got == exact))
    )
    return same


def _values_allowed(bound: Float64, dtype: str) -> Float64:
    compute = COMPUTE_DTYPES[dtype]
    allowed: Float64 = bound.reshape(-1) * UNIT_ROUNDOFF[compute] + storage(0.0, 1, compute)
    return allowed


def _rows_allowed(exact: Float64, bound: Float64, dtype: str) -> Float64:
    rows = exact.reshape(-1, exact.shape[-1])
    norms = np.linalg.norm(np.where(np.isfinite(rows), rows, 0.0), axis=1)
    rounding: Float64 = storage(norms, rows.shape[1], dtype)
    return bound.reshape(-1) * UNIT_ROUNDOFF[COMPUTE_DTYPES[dtype]] + rounding


def _share(got: Float64, exact: Float64, allowed: Float64, largest: float) -> float:
    """Return the largest ||error of a row|| / allowed; (R, C), (R, C), (R,)."""
    edge = np.where(np.isfinite(allowed), allowed, 0.0)[:, None]
    overflows = np.isinf(got) & np.isfinite(exact) & (got == np.copysign(np.inf, exact))
    overflows &= np.abs(exact) + edge >= largest * (1 - 2.0**-12)
    comparable = same_class(got, exact) | overflows
    if not comparable.all():
        return _incomparable(float(got[~comparable][0]), float(exact[~comparable][0]))
    measured = np.isfinite(got) & np.isfinite(exact)
    # scaled by the row's largest difference: squares of numbers near 1e200 must not overflow
    difference = np.abs(np.where(measured, got, 0.0) - np.where(measured, exact, 0.0))
    scale = difference.max(axis=1, initial=0.0)
    scaled = difference / np.where(scale > 0, scale, 1.0)[:, None]
    error = scale * np.linalg.norm(scaled, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = np.where(error > 0, error / allowed, 0.0)
    return float(np.nan_to_num(shares, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _misshapen(got: Float64 | None, exact: Float64) -> Share:
    came = None if got is None else got.shape
    return Share(np.inf, f"must have shape {exact.shape}, got {came}")


def _incomparable(got: float, exact: float) -> Share:
    must = "finite" if np.isfinite(exact) else f"{exact}"
    return Share(np.inf, f"must be {must}, got {got:.6g}")
