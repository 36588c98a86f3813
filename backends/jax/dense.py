"""The formula over all N x N pairs in plain JAX operations (SUP-4 to SUP-7, TCL-1 to TCL-5).

Differentiable any number of times, and never read back: no shape depends on a value. Every constant
that is split off for stability (the row maximum, the value of T and of k) cancels algebraically, so
that stopping its gradient leaves each derivative as it is.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

Weight = tuple[Array | None, Array | float]

LARGEST_EXPONENT = {"float32": 25.0, "float64": 250.0}
"""Up to this size, sums of exp(s/T) and their squares stay in range as they are.

Second derivatives divide by the squares.
"""

LARGEST_LOG_WEIGHT = 18.0
"""Of k1 and k2, for the same."""

LARGEST_TEMPERATURE = 1.0
"""Up to here no gradient times T leaves the range of what it was before."""


class _Sum(NamedTuple):
    """factor total exp(maximum + offset), (N,); the maximum has no gradient."""

    maximum: Array
    total: Array
    factor: Array | None = None
    offset: Array | float = 0.0


def anchor_losses(
    z: Array,
    labels: Array,
    T: Array | float,
    k1: Array | float,
    k2: Array | float,
    normalize: bool,
    precision: Any,
) -> tuple[Array, Array]:
    """Return l_i, 0 where P(i) is empty, and whether P(i) has a member, both of shape (N,).

    `z` (N, D) is compared as it is, `normalize` tells that every row has norm 1 or 0; `labels` (N,)
    is integer or boolean; T, k1 and k2 are Python numbers or scalars; `precision` is that of the
    products. A number of 0 drops its term (TCL-5).
    """
    plain = normalize and fits(LARGEST_EXPONENT[z.dtype.name], T, k1, k2)
    first, second = (k if plain else weight(k, z.dtype) for k in (k1, k2))
    has_first = isinstance(k1, Array) or k1 != 0
    is_apart = isinstance(k2, Array) or k2 != 1
    weights = (first if has_first else None, second if is_apart else None)
    s, T = similarities(z, precision), temperature(T, z.dtype)
    found: tuple[Array, Array] = losses(s, labels, T, *weights, normalize, plain)
    return found


def fits(limit: float, T: Array | float, k1: Array | float, k2: Array | float) -> bool:
    """Return whether exponents of exp(-s) and k2 exp(s/T) are within a limit, and k1 and k2 too.

    No |s| is above 1. Of numbers only: an array would have to be waited for.
    """
    if isinstance(T, Array) or isinstance(k1, Array) or isinstance(k2, Array):
        return False
    weights = [k for k in (k1, k2) if k != 0]
    if not (0 < T <= LARGEST_TEMPERATURE and all(k > 0 for k in weights)):
        return False
    logs = [abs(math.log(k)) for k in weights]
    small = max(logs, default=0.0) <= LARGEST_LOG_WEIGHT
    return small and max(1, 1 / T) + (abs(math.log(k2)) if k2 else 0.0) <= limit


def temperature(T: Array | float, dtype: Any) -> Array:
    """Return T as an argument of what is compiled, not a constant of it."""
    if isinstance(T, Array):
        return T
    kept = np.finfo(dtype)  # beyond its range T would be 0 or infinite
    return jnp.asarray(min(max(T, float(kept.tiny)), float(kept.max)), dtype)


def weight(k: Array | float, dtype: Any) -> Weight:
    """Split k into a factor and the logarithm of the rest: k e^x = factor e^(x + offset).

    A number goes into the exponent whole. Of an array only what is above 1 does: what is left of
    it has the right derivatives at k = 0 too, unlike log k (GRD-9).
    """
    if not isinstance(k, Array):
        return None, math.log(k) if k > 0 else -math.inf
    fixed = jnp.maximum(stop_gradient(k), 1)  # in k's own dtype: `dtype` may not hold it
    return (k / fixed).astype(dtype), jnp.log(fixed).astype(dtype)


# In pieces, so that a plain call compiles little anew for another shape or another parameter.
# Inlined where a caller compiles: XLA then fuses across them, 5 % of SupCon's time at 256 rows.
@partial(jax.jit, static_argnames="precision", inline=True)
def similarities(z: Array, precision: Any) -> Array:
    """Return s_ij, (N, N)."""
    return jnp.matmul(z, z.T, precision=precision)


@partial(jax.jit, static_argnames=("normalize", "plain"), inline=True)
def losses(
    s: Array, labels: Array, T: Array, k1: Any, k2: Any, normalize: bool, plain: bool
) -> tuple[Array, Array]:
    """Return what `anchor_losses` does, from s (N, N) and weights; k1 is None without its term.

    `normalize` tells that no |s| is above 1, `plain` that `fits` holds, too: k1 and k2 are numbers
    then. k2 is None where it is 1.
    """
    itself = jnp.eye(len(s), dtype=bool)
    positives = (labels[:, None] == labels[None, :]) & ~itself  # (N, N)
    sizes = positives.sum(1, dtype=s.dtype)  # |P(i)|, (N,)
    anchors = sizes > 0
    sizes = jnp.maximum(sizes, 1)
    if plain:
        D, total = _plain_sums(s, itself, positives, T, k1, k2)
        found = jnp.log(jnp.where(anchors, D, 1)) - total / sizes
        return jnp.where(anchors, found, 0), anchors

    if not normalize:  # its own product may overflow where all others do not (NUM-10)
        s = jnp.where(itself, 0, s)
    u, divisor = _divided(s, T, normalize)
    sums = _temperature_sums(u, divisor, itself, positives, k2)
    if k1 is not None:
        sums.append(_positive_sum(s, positives, k1, normalize))
    maximum, total = _added(sums)  # (N,)

    # Divided before the sum, which would overflow where the mean does not.
    mean = jnp.where(positives, u / sizes[:, None], 0).sum(1)
    found = jnp.log(jnp.where(anchors, total, 1)) + (maximum - mean / divisor)
    return jnp.where(anchors, found, 0), anchors


def _divided(s: Array, T: Array, normalize: bool) -> tuple[Array, Array]:
    """Return u and a divisor without gradient, of which s/T is the quotient.

    The gradient in T comes by a ratio that is 1 for every T: summed over all pairs before it is
    divided by T. The derivative of a plain quotient is s/T^2 for each: infinities of both signs for
    tiny T. That of fixed / T has T^2, which leaves the range before T does. Where no |s| is above 1
    a row's maximum is taken off before T comes in: of what is divided first XLA would keep one more
    array.
    """
    fixed = stop_gradient(T)
    ratio, fixed = (value.astype(s.dtype) for value in (1 / (T / fixed), fixed))
    u, divisor = (s, fixed) if normalize else (s / fixed, jnp.ones((), s.dtype))
    return u * ratio, divisor


def _plain_sums(
    s: Array, itself: Array, positives: Array, T: Array, k1: Array | None, k2: Array | None
) -> tuple[Array, Array]:
    """Return D_i and the sum of s_ij/T over P(i), (N,) each; no maximum is taken off.

    Without k1 there is no term of it, without k2 it is 1. All is finite where rows are, so that
    masks may be factors.
    """
    ones = positives.astype(s.dtype)
    t = s / T
    terms = jnp.where(itself, 0, jnp.exp(t))
    if k2 is not None:
        terms = jnp.where(positives, terms, k2 * terms)
    D = terms.sum(1)
    if k1 is not None:
        D += k1 * (jnp.exp(-s) * ones).sum(1)
    return D, (t * ones).sum(1)


def _temperature_sums(
    u: Array, divisor: Array, itself: Array, positives: Array, k2: Weight | None
) -> list[_Sum]:
    """Return the sums of exp(s_ij/T): over all or, where k2 is not 1, over P(i) and N(i) apart."""
    inverse = 1 / divisor

    def terms(maximum: Array) -> Array:
        # Subtracted before it is scaled: the largest exponent is 0 for every T, not what two
        # products that are rounded differently leave of it.
        return jnp.exp(jnp.where(itself, -math.inf, (u - maximum) * inverse))

    if k2 is None:
        highest = _maximum(jnp.where(itself, -math.inf, u))
        return [_Sum(highest / divisor, terms(highest[:, None]).sum(1))]
    near = _maximum(jnp.where(positives, u, -math.inf))
    far = _maximum(jnp.where(positives | itself, -math.inf, u))
    found = terms(jnp.where(positives, near[:, None], far[:, None]))
    return [
        _Sum(near / divisor, jnp.where(positives, found, 0).sum(1)),
        _Sum(far / divisor, jnp.where(positives, 0, found).sum(1), *k2),
    ]


def _positive_sum(s: Array, positives: Array, k: Weight, normalize: bool) -> _Sum:
    """Return k times the sum over P(i) of exp(-s_ij); `normalize` tells that no |s| is above 1."""
    if normalize:
        maximum = jnp.zeros(len(s), s.dtype)
    else:
        maximum = _maximum(jnp.where(positives, -s, -math.inf))
    terms = jnp.exp(jnp.where(positives, -s - maximum[:, None], -math.inf))
    return _Sum(maximum, terms.sum(1), *k)


def _maximum(exponents: Array, axis: int = 1) -> Array:
    """Return the largest of each row, or along an axis, 0 where there is none; no gradient."""
    maximum = stop_gradient(exponents).max(axis)
    return jnp.where(maximum == -math.inf, 0, maximum)


def _added(sums: list[_Sum]) -> tuple[Array, Array]:
    """Return a maximum m, which has no gradient, and the rest of the sum e^m rest, (N,) each.

    Where factor = 0 its sum is not in the maximum and its exponential may overflow. Two square
    roots make it 0 still, whatever comes in from behind, and its derivative in the factor infinite
    only where it has to be (NUM-11). A sum without terms is not scaled: 0 times infinity is NaN.
    """
    if len(sums) == 1:
        return sums[0].maximum, sums[0].total
    one = jnp.ones((), sums[0].total.dtype)
    exponents = jnp.stack([part.maximum + part.offset for part in sums])  # (sums, N)
    totals = jnp.stack([part.total for part in sums])
    factors = jnp.stack([one if part.factor is None else part.factor for part in sums])[:, None]
    # Stopped first: the logarithm of 0 has a derivative of NaN, dropped or not.
    maximum = _maximum(exponents + jnp.log(stop_gradient(factors) * stop_gradient(totals)), 0)
    limit = math.log(np.finfo(maximum.dtype).max) - 1
    roots = jnp.exp(jnp.minimum((exponents - maximum[None, :]) / 2, limit))
    roots = jnp.where(totals == 0, 0, roots)
    return maximum, (totals * (factors * roots * roots)).sum(0)
