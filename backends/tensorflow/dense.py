"""The formula over all N x N pairs in plain tf operations (SUP-4 to SUP-7, TCL-1 to TCL-5).

Differentiable any number of times, and never read back: no shape depends on a value. Every constant
that is split off for stability (the row maximum, the value of T and of k) cancels algebraically, so
that stopping its gradient leaves each derivative as it is.
"""

import math
from typing import NamedTuple

import tensorflow as tf
from tensorflow import Tensor

LARGEST_EXPONENT = {tf.float32: 25.0, tf.float64: 250.0}
"""Up to this size, sums of exp(s/T) and their squares stay in range as they are.

Second derivatives divide by the squares.
"""

LARGEST_LOG_WEIGHT = 18.0
"""Of k1 and k2, for the same."""

LARGEST_TEMPERATURE = 1.0
"""Up to here no gradient times T leaves the range of what it was before."""


class _Sum(NamedTuple):
    """factor total exp(maximum + offset), (N,); the maximum has no gradient."""

    maximum: Tensor
    total: Tensor
    factor: Tensor | None = None
    offset: Tensor | float = 0.0


def anchor_losses(
    z: Tensor,
    labels: Tensor,
    T: Tensor | float,
    k1: Tensor | float,
    k2: Tensor | float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, and whether P(i) has a member, both of shape (N,).

    `z` (N, D) is compared as it is, `normalize` tells that every row has norm 1 or 0; `labels` (N,)
    is int64; T, k1 and k2 are Python numbers or scalar tensors. A number of 0 drops its term
    (TCL-5).
    """
    # tf.where takes no Python number beside float64 in a graph
    zero, one, nothing = (tf.constant(value, z.dtype) for value in (0, 1, -math.inf))
    itself = tf.eye(tf.shape(z)[0], dtype=tf.bool)
    positives = tf.equal(labels[:, None], labels) & ~itself  # (N, N)
    sizes = tf.reduce_sum(tf.cast(positives, z.dtype), 1)  # |P(i)|, (N,)
    anchors = sizes > 0
    sizes = tf.maximum(sizes, one)
    if normalize and fits(LARGEST_EXPONENT[z.dtype], T, k1, k2):
        D, t = _plain_sums(z, itself, positives, float(T), float(k1), float(k2))
        losses = tf.math.log(tf.where(anchors, D, one)) - t / sizes
        return tf.where(anchors, losses, zero), anchors

    low = isinstance(k1, Tensor) or k1 != 0
    if normalize and not low:  # N D quotients, not N^2
        t = tf.matmul(_over_temperature(z, T), z, transpose_b=True)  # (N, N)
    else:
        s = tf.matmul(z, z, transpose_b=True)  # (N, N)
        if isinstance(T, Tensor):  # a factor of its gradient
            s = tf.where(itself, zero, s)
        t = _over_temperature(s, T)
    # The anchor leaves first (NUM-10): its own product may overflow where all others do not.
    t = tf.where(itself, nothing, t)

    sums = _temperature_sums(t, positives, k2)
    if low:
        sums.append(_positive_sum(s, positives, k1, normalize))
    maximum, total = _added(sums)  # (N,)

    # Divided before the sum, which would overflow where the mean does not.
    mean = tf.reduce_sum(tf.where(positives, t / sizes[:, None], zero), 1)
    losses = tf.math.log(tf.where(anchors, total, one)) + (maximum - mean)
    return tf.where(anchors, losses, zero), anchors


def fits(limit: float, T: Tensor | float, k1: Tensor | float, k2: Tensor | float) -> bool:
    """Return whether exponents of exp(-s) and k2 exp(s/T) are within a limit, and k1 and k2 too.

    No |s| is above 1. Of numbers only: a tensor would have to be waited for.
    """
    if isinstance(T, Tensor) or isinstance(k1, Tensor) or isinstance(k2, Tensor):
        return False
    weights = [k for k in (k1, k2) if k != 0]
    if not (0 < T <= LARGEST_TEMPERATURE and all(k > 0 for k in weights)):
        return False
    logs = [abs(math.log(k)) for k in weights]
    small = max(logs, default=0.0) <= LARGEST_LOG_WEIGHT
    return small and max(1, 1 / T) + (abs(math.log(k2)) if k2 else 0.0) <= limit


def _over_temperature(x: Tensor, T: Tensor | float) -> Tensor:
    """Return x/T, whose gradient in T is summed over all of x before it is divided by T.

    The derivative of a plain quotient is x/T^2 for each: infinities of both signs for tiny T.
    That of a quotient has T^2 in XLA, which leaves the range before T does; T / fixed is 1 for
    every T, and the derivative of a reciprocal is made of products.
    """
    if not isinstance(T, Tensor):
        return x / T
    fixed = tf.stop_gradient(T)
    return x / tf.cast(fixed, x.dtype) * tf.cast(tf.math.reciprocal(T / fixed), x.dtype)


def _plain_sums(
    z: Tensor, itself: Tensor, positives: Tensor, T: float, k1: float, k2: float
) -> tuple[Tensor, Tensor]:
    """Return D_i and the sum of s_ij/T over P(i), (N,) each; no maximum is taken off.

    All is finite, so that masks are factors, which take less than a choice.
    """
    ones = tf.cast(positives, z.dtype)
    t = tf.matmul(z / T, z, transpose_b=True)
    total = tf.reduce_sum(t * ones, 1)
    low: Tensor | float = 0.0
    if k1 != 0:
        low = k1 * tf.reduce_sum(tf.exp(t * -T) * ones, 1)
    terms = tf.exp(t) * tf.cast(~itself, z.dtype)
    if k2 != 1:
        terms = tf.where(positives, terms, k2 * terms)
    return tf.reduce_sum(terms, 1) + low, total


def _temperature_sums(t: Tensor, positives: Tensor, k2: Tensor | float) -> list[_Sum]:
    """Return the sums of exp(t_ij) over all and, where k2 is a tensor, over P(i) and N(i) apart."""
    zero, nothing = tf.constant(0, t.dtype), tf.constant(-math.inf, t.dtype)
    if not isinstance(k2, Tensor):
        log_k2 = math.log(k2) if k2 > 0 else -math.inf
        exponents = t if k2 == 1 else tf.where(positives, t, t + log_k2)
        maximum = _row_maximum(exponents)
        return [_Sum(maximum, tf.reduce_sum(tf.exp(exponents - maximum[:, None]), 1))]
    near = _row_maximum(tf.where(positives, t, nothing))
    far = _row_maximum(tf.where(positives, nothing, t))
    terms = tf.exp(t - tf.where(positives, near[:, None], far[:, None]))
    return [
        _Sum(near, tf.reduce_sum(tf.where(positives, terms, zero), 1)),
        _Sum(far, tf.reduce_sum(tf.where(positives, zero, terms), 1), *_weight(k2, t.dtype)),
    ]


def _positive_sum(s: Tensor, positives: Tensor, k: Tensor | float, normalize: bool) -> _Sum:
    """Return k times the sum over P(i) of exp(-s_ij); `normalize` tells that no |s| is above 1."""
    zero, nothing = (tf.constant(value, s.dtype) for value in (0, -math.inf))
    if normalize:
        maximum, terms = tf.zeros(tf.shape(s)[:1], s.dtype), tf.exp(-s)
    else:
        maximum = _row_maximum(tf.where(positives, -s, nothing))
        terms = tf.exp(tf.where(positives, -s - maximum[:, None], zero))
    total = tf.reduce_sum(tf.where(positives, terms, zero), 1)
    return _Sum(maximum, total, *_weight(k, s.dtype))


def _weight(k: Tensor | float, dtype: tf.DType) -> tuple[Tensor | None, Tensor | float]:
    """Split k into a factor and the logarithm of the rest: k e^x = factor e^(x + offset).

    A number goes into the exponent whole. Of a tensor only what is above 1 does: what is left of
    it has the right derivatives at k = 0 too, unlike log k (GRD-9).
    """
    if not isinstance(k, Tensor):
        return None, math.log(k)
    fixed = tf.maximum(tf.stop_gradient(k), 1)  # in k's own dtype: `dtype` may not hold it
    return tf.cast(k / fixed, dtype), tf.cast(tf.math.log(fixed), dtype)


def _row_maximum(exponents: Tensor) -> Tensor:
    """Return the largest of each row, 0 where there is none; no gradient."""
    maximum = tf.reduce_max(tf.stop_gradient(exponents), 1)
    return tf.where(tf.equal(maximum, -math.inf), tf.zeros_like(maximum), maximum)


def _added(sums: list[_Sum]) -> tuple[Tensor, Tensor]:
    """Return a maximum m, which has no gradient, and the rest of the sum e^m rest, (N,) each.

    Where factor = 0 its sum is not in the maximum and its exponential may overflow. Two square
    roots make it 0 still, whatever comes in from behind, and its derivative in the factor infinite
    only where it has to be (NUM-11). A sum without terms is not scaled: 0 times infinity is NaN.
    """
    if len(sums) == 1:
        return sums[0].maximum, sums[0].total
    exponents = [part.maximum + part.offset for part in sums]
    weighed = [part.total if part.factor is None else part.factor * part.total for part in sums]
    logs = [
        exponent + tf.math.log(tf.stop_gradient(weight))
        for exponent, weight in zip(exponents, weighed, strict=True)
    ]
    maximum = _row_maximum(tf.stack(logs, 1))
    limit = math.log(maximum.dtype.max) - 1
    rest = tf.zeros_like(maximum)
    for exponent, part in zip(exponents, sums, strict=True):
        # Finite below: forward mode multiplies by the derivative in the 2, too, which is 0.
        lowest = maximum.dtype.min
        root = tf.exp(tf.clip_by_value(exponent - maximum, lowest, 2 * limit) / 2)
        root = tf.where(tf.equal(part.total, 0), tf.zeros_like(root), root)
        weight = root if part.factor is None else part.factor * root
        rest += part.total * (weight * root)
    return maximum, rest
