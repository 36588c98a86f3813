"""The formula over all N x N pairs in plain JAX operations (SUP-4 to SUP-7, TCL-1 to TCL-5).

Differentiable any number of times, and never read back: no shape depends on a value. Every constant
that is split off for stability (the row maximum, the value of T and of k) cancels algebraically, so
that stopping its gradient leaves each derivative as it is.
"""

import math
from functools import partial
from typing import Any

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

LARGEST_TEMPERATURE = 1e8
"""Up to here rows divided by T, and gradients times T, keep their digits."""


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
    shift = not (normalize and fits(LARGEST_EXPONENT[z.dtype.name], T, k1, k2))
    first = weight(k1, z.dtype) if isinstance(k1, Array) or k1 != 0 else None
    s, T = similarities(z, precision), temperature(T, z.dtype)
    found: tuple[Array, Array] = losses(s, labels, T, first, weight(k2, z.dtype), shift)
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
@partial(jax.jit, static_argnames="precision")
def similarities(z: Array, precision: Any) -> Array:
    """Return s_ij, (N, N)."""
    return jnp.matmul(z, z.T, precision=precision)


@partial(jax.jit, static_argnames="shift")
def losses(
    s: Array, labels: Array, T: Array, k1: Weight | None, k2: Weight, shift: bool
) -> tuple[Array, Array]:
    """Return what `anchor_losses` does, from similarities and weights.

    `shift` tells whether a maximum is taken off before exponentials are.
    """
    itself = jnp.eye(len(s), dtype=bool)
    positives = (labels[:, None] == labels[None, :]) & ~itself  # (N, N)
    sizes = positives.sum(1)  # |P(i)|, (N,)
    # The anchor leaves first (NUM-10): its own product may overflow where all others do not.
    s = jnp.where(itself, 0, s)
    t = _over_temperature(s, T)

    groups = [_temperature_terms(t, itself, positives, k2)]
    if k1 is not None:
        factor, offset = k1
        groups.append((jnp.where(positives, offset - s, -math.inf), factor))
    maximum = _row_maximum(groups) if shift else jnp.zeros_like(s[0])  # (N,)
    total = sum(_row_sum(exponents - maximum[:, None], factor) for exponents, factor in groups)

    # Divided before the sum, which would overflow where the mean does not.
    shares = t / jnp.maximum(sizes, 1).astype(t.dtype)[:, None]
    mean = jnp.where(positives, shares, 0).sum(1)
    anchors = sizes > 0
    found = jnp.log(jnp.where(anchors, total, 1)) + (maximum - mean)
    return jnp.where(anchors, found, 0), anchors


def _over_temperature(s: Array, T: Array) -> Array:
    """Return s/T, whose gradient in T is summed over the pairs before it is divided by T.

    The derivative of a plain quotient is s/T^2 for each pair: infinities of both signs for tiny T.
    """
    fixed = stop_gradient(T)
    return s / fixed.astype(s.dtype) * (fixed / T).astype(s.dtype)


def _temperature_terms(
    t: Array, itself: Array, positives: Array, k2: Weight
) -> tuple[Array, Array | None]:
    """Return exponents (N, N) and factors of the terms exp(s/T) and k2 exp(s/T)."""
    factor, offset = k2
    exponents = jnp.where(itself, -math.inf, jnp.where(positives, t, t + offset))
    return exponents, None if factor is None else jnp.where(positives, 1, factor)


def _row_maximum(groups: list[tuple[Array, Array | None]]) -> Array:
    """Return the logarithm of each row's largest term, 0 in a row without terms; no gradient."""
    # Stopped first: the logarithm of a factor of 0 has a derivative of NaN, dropped or not.
    fixed = [stop_gradient(group) for group in groups]
    maxima = [
        (exponents if factor is None else exponents + jnp.log(factor)).max(1)
        for exponents, factor in fixed
    ]
    maximum = jnp.stack(maxima).max(0)
    return jnp.where(maximum == -math.inf, 0, maximum)


def _row_sum(exponents: Array, factor: Array | None) -> Array:
    """Return sum_j factor exp(exponents_ij).

    Where factor = 0 its term is not in the maximum and exp may overflow. Two square roots make
    the term 0 still, and its derivative in the factor infinite only where it has to be (NUM-11).
    """
    if factor is None:
        return jnp.exp(exponents).sum(1)
    limit = math.log(np.finfo(exponents.dtype).max) - 1
    halves = exponents / 2
    # Not jnp.minimum, whose derivative is a product with 0, and NaN where the other is infinite.
    root = jnp.exp(jnp.where(halves > limit, limit, halves))
    return (factor * root * root).sum(1)
