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
    zero, one = (tf.constant(value, z.dtype) for value in (0, 1))
    itself = tf.eye(tf.shape(z)[0], dtype=tf.bool)
    positives = tf.equal(labels[:, None], labels) & ~itself  # (N, N)
    ones = tf.cast(positives, z.dtype)
    sizes = tf.reduce_sum(ones, 1)  # |P(i)|, (N,)
    anchors = sizes > 0
    sizes = tf.maximum(sizes, one)
    if normalize and fits(LARGEST_EXPONENT[z.dtype], T, k1, k2):
        D, t = _plain_sums(z, itself, positives, ones, float(T), float(k1), float(k2))
        losses = tf.math.log(tf.where(anchors, D, one)) - t / sizes
        return tf.where(anchors, losses, zero), anchors

    s = tf.matmul(z, z, transpose_b=True)  # (N, N)
    if not normalize:  # its own product may overflow where all others do not (NUM-10)
        s = tf.where(itself, zero, s)
    u, divisor = _divided(s, T, normalize)
    sums = _temperature_sums(u, divisor, itself, positives, ones, k2)
    if isinstance(k1, Tensor) or k1 != 0:
        sums.append(_positive_sum(s, positives, ones, k1, normalize))
    maximum, total = _added(sums)  # (N,)

    if normalize:
        mean = tf.reduce_sum(u * ones, 1) / sizes
    else:  # the sum may overflow where the mean does not
        mean = tf.reduce_sum(tf.where(positives, u / sizes[:, None], zero), 1)
    losses = tf.math.log(tf.where(anchors, total, one)) + (maximum - mean / divisor)
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


def _divided(s: Tensor, T: Tensor | float, normalize: bool) -> tuple[Tensor, Tensor]:
    """Return u and a divisor without gradient, of which s/T is the quotient.

    The gradient in T comes by a ratio that is 1 for every T: summed over all pairs before it is
    divided by T. The derivative of a plain quotient is s/T^2 for each: infinities of both signs for
    tiny T. That of a quotient has T^2 in XLA, which leaves the range before T does, that of a
    reciprocal products. Where no |s| is above 1 a row's maximum is taken off before T comes in:
    of what is divided first XLA would keep one more array.
    """
    if isinstance(T, Tensor):
        fixed = tf.stop_gradient(T)
        ratio = tf.cast(tf.math.reciprocal(T / fixed), s.dtype)
        fixed = tf.cast(fixed, s.dtype)
    else:
        fixed, ratio = tf.constant(T, s.dtype), None
    one = tf.constant(1, s.dtype)
    u, fixed = (s, fixed) if normalize else (s / fixed, one)
    return u if ratio is None else u * ratio, fixed


def _plain_sums(
    z: Tensor, itself: Tensor, positives: Tensor, ones: Tensor, T: float, k1: float, k2: float
) -> tuple[Tensor, Tensor]:
    """Return D_i and the sum of s_ij/T over P(i), (N,) each; no maximum is taken off.

    All is finite, so that masks are factors, which take less than a choice.
    """
    t = tf.matmul(z / T, z, transpose_b=True)
    total = tf.reduce_sum(t * ones, 1)
    low: Tensor | float = 0.0
    if k1 != 0:
        low = k1 * tf.reduce_sum(tf.exp(t * -T) * ones, 1)
    terms = tf.exp(t) * tf.cast(~itself, z.dtype)
    if k2 != 1:
        terms = tf.where(positives, terms, k2 * terms)
    return tf.reduce_sum(terms, 1) + low, total


def _temperature_sums(
    u: Tensor,
    divisor: Tensor,
    itself: Tensor,
    positives: Tensor,
    ones: Tensor,
    k2: Tensor | float,
) -> list[_Sum]:
    """Return the sums of exp(s_ij/T): over all or, where k2 is not 1, over P(i) and N(i) apart."""
    nothing, inverse = tf.constant(-math.inf, u.dtype), 1 / divisor

    def terms(maximum: Tensor) -> Tensor:
        # Subtracted before it is scaled: the largest exponent is 0 for every T, not what two
        # products that are rounded differently leave of it.
        return tf.exp(tf.where(itself, nothing, (u - maximum) * inverse))

    if not isinstance(k2, Tensor) and k2 == 1:
        highest = _maximum(tf.where(itself, nothing, u))
        return [_Sum(highest / divisor, tf.reduce_sum(terms(highest[:, None]), 1))]
    near = _maximum(tf.where(positives, u, nothing))
    far = _maximum(tf.where(positives | itself, nothing, u))
    found = terms(tf.where(positives, near[:, None], far[:, None]))
    return [
        _Sum(near / divisor, tf.reduce_sum(found * ones, 1)),
        _Sum(far / divisor, tf.reduce_sum(found * (1 - ones), 1), *_weight(k2, u.dtype)),
    ]


def _positive_sum(
    s: Tensor, positives: Tensor, ones: Tensor, k: Tensor | float, normalize: bool
) -> _Sum:
    """Return k times the sum over P(i) of exp(-s_ij); `normalize` tells that no |s| is above 1."""
    if normalize:
        maximum, exponents = tf.zeros(tf.shape(s)[:1], s.dtype), -s
    else:
        maximum = _maximum(tf.where(positives, -s, tf.constant(-math.inf, s.dtype)))
        exponents = tf.where(positives, -s - maximum[:, None], tf.constant(0, s.dtype))
    total = tf.reduce_sum(tf.exp(exponents) * ones, 1)
    return _Sum(maximum, total, *_weight(k, s.dtype))


def _weight(k: Tensor | float, dtype: tf.DType) -> tuple[Tensor | None, Tensor | float]:
    """Split k into a factor and the logarithm of the rest: k e^x = factor e^(x + offset).

    A number goes into the exponent whole. Of a tensor only what is above 1 does: what is left of
    it has the right derivatives at k = 0 too, unlike log k (GRD-9).
    """
    if not isinstance(k, Tensor):
        return None, math.log(k) if k > 0 else -math.inf
    fixed = tf.maximum(tf.stop_gradient(k), 1)  # in k's own dtype: `dtype` may not hold it
    return tf.cast(k / fixed, dtype), tf.cast(tf.math.log(fixed), dtype)


def _maximum(exponents: Tensor, axis: int = 1) -> Tensor:
    """Return the largest of each row, or along an axis, 0 where there is none; no gradient."""
    maximum = tf.reduce_max(tf.stop_gradient(exponents), axis)
    return tf.where(tf.equal(maximum, -math.inf), tf.zeros_like(maximum), maximum)


def _added(sums: list[_Sum]) -> tuple[Tensor, Tensor]:
    """Return a maximum m, which has no gradient, and the rest of the sum e^m rest, (N,) each.

    Where factor = 0 its sum is not in the maximum and its exponential may overflow. Two square
    roots make it 0 still, whatever comes in from behind, and its derivative in the factor infinite
    only where it has to be (NUM-11). A sum without terms is not scaled: 0 times infinity is NaN.
    """
    if len(sums) == 1:
        return sums[0].maximum, sums[0].total
    one = tf.constant(1, sums[0].total.dtype)
    exponents = tf.stack([part.maximum + part.offset for part in sums])  # (sums, N)
    totals = tf.stack([part.total for part in sums])
    factors = tf.stack([one if part.factor is None else part.factor for part in sums])[:, None]
    maximum = _maximum(exponents + tf.math.log(tf.stop_gradient(factors * totals)), 0)
    # Finite below: forward mode multiplies by the derivative in the 2, too, which is 0.
    limit, lowest = math.log(maximum.dtype.max) - 1, maximum.dtype.min
    roots = tf.exp(tf.clip_by_value(exponents - maximum, lowest, 2 * limit) / 2)
    roots = tf.where(tf.equal(totals, 0), tf.zeros_like(roots), roots)
    return maximum, tf.reduce_sum(totals * (factors * roots * roots), 0)
