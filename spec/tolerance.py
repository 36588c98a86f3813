"""The allowed errors, derived in section 9 of spec.md (NUM-14, NUM-15), in units of u.

Every function returns a multiple of the unit roundoff u of the computing dtype, to first order.
Arguments are plain numbers or arrays of one shape: only arithmetic is used.
"""

import math
from typing import Any

from tuned_contrastive.spec.contract import COMPUTE_DTYPES

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""u of every dtype; losses in a half dtype compute in float32 (NUM-2)."""

SMALLEST = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "bfloat16": 2.0**-126,
    "float16": 2.0**-25,
}
"""What an entry may err near 0: the smallest normal, or half float16's smallest subnormal."""

LAMBDA = 8.0
"""The one constant: a sum's error exceeds LAMBDA sqrt(n) u with probability below 2 exp(-32)."""

MAX_EXPONENT_ERROR = 2.0**-5
"""First order holds while an exponent errs by less; vectors serve a dtype only below it."""


def summation(n: float) -> float:
    """Return the growth of n roundings: n in the worst case, LAMBDA sqrt(n) in all likelihood."""
    return min(float(n), LAMBDA * math.sqrt(n))


def similarity(columns: int, *, normalize: bool) -> float:
    """Return c(D): |ds_ij| <= c(D) u ||z_i|| ||z_j||."""
    return 2 * summation(columns) + 6 if normalize else summation(columns)


def exponent(ds: Any, s: Any, T: float, k1: float, k2: float) -> Any:
    """Return the error of the exponents of one anchor.

    `ds` bounds the anchor's |ds_ij| in units of u, `s` its |s_ij|.
    """
    error = ds * max(1 / T, float(k1 > 0)) + 5 * s / T + 6
    if k1 > 0:
        error = error + 5 * s + 5 * abs(math.log(k1))
    if k2 > 0:
        error = error + 5 * abs(math.log(k2))
    return error


def anchor_loss(error: Any, ds: Any, s: Any, mean_s: Any, log_D: Any, T: float, rows: int) -> Any:
    """Return the error of l_i: exponents, similarities of the mean, sums, and the two parts of l_i.

    `error` is `exponent`, `mean_s` the mean of |s_ip| over P(i).
    """
    parts = log_D + mean_s / T + math.log(2 * rows)
    return error + (ds + 3 * s) / T + summation(2 * rows) * (1 + mean_s / T) + 2 * parts + 4


def share(error: Any, log_D: Any, rows: int) -> Any:
    """Return the relative error of a term's share in D_i."""
    return 2 * error + share_rounding(log_D, rows)


def share_rounding(log_D: Any, rows: int) -> Any:
    """Return the part of it that is not the exponents': the sum D_i, its logarithm, the factors."""
    return summation(2 * rows) + 2 * log_D + 8


def row(share_error: Any, rows: int, columns: int, *, normalize: bool) -> Any:
    """Return the relative error of one addend of a gradient row, before cancellation."""
    vectors = similarity(columns, normalize=normalize) if normalize else 4
    return share_error + summation(rows) + vectors


def temperature(
    error: Any, rounding: Any, ds: Any, centred: Any, spread: Any, rows: int, T: float
) -> Any:
    """Return the error of anchor i's part of dL/dT.

    `error` is `exponent`, `rounding` is `share_rounding`, `spread` is mean_P|s| + sum_j p_ij |s_ij|
    and `centred` the same sum about its mean.
    """
    return (2 * ds + error * centred + (rounding + 2 * summation(rows)) * spread) / T**2


def weight(share_error: Any, ds: Any, s: Any, log_D: Any, rows: int) -> Any:
    """Return the relative error of anchor i's part of dL/dk1 and of dL/dk2."""
    return share_error + ds + 3 * s + log_D + 2 * summation(rows)


def reduced(rows: int) -> float:
    """Return the relative error that adding up the anchors brings."""
    return summation(rows) + 2


def storage(norm: Any, columns: int, dtype: str) -> Any:
    """Return what storing a vector of this norm in `dtype` adds, not in units of u."""
    is_half = COMPUTE_DTYPES[dtype] != dtype
    return is_half * UNIT_ROUNDOFF[dtype] * norm + math.sqrt(columns) * SMALLEST[dtype]
