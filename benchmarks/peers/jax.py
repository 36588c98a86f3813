"""The lean dense SupCon and TCL in JAX, and optax: one product, one mask, a stopped maximum."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from tuned_contrastive.spec import contract


def supcon(embeddings: Array, labels: Array, temperature: Array | float) -> Array:
    """Return the lean dense SupCon."""
    return tcl(embeddings, labels, temperature, 0.0, contract.K2)


def tcl(
    embeddings: Array,
    labels: Array,
    temperature: Array | float,
    k1: Array | float,
    k2: Array | float,
) -> Array:
    """Return the lean dense TCL."""
    x = embeddings.astype(jnp.float32)
    z = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    s = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST)
    itself = jnp.eye(len(z), dtype=bool)
    positives = (labels[:, None] == labels) & ~itself
    sizes = positives.sum(1)
    t = jnp.where(itself, -jnp.inf, s / temperature)
    M = jax.lax.stop_gradient(t.max(1, keepdims=True))
    e = jnp.exp(t - M)
    if isinstance(k2, Array) or k2 != 1:
        e = jnp.where(positives, e, k2 * e)
    D = e.sum(1)
    if isinstance(k1, Array) or k1 != 0:
        D += k1 * jnp.where(positives, jnp.exp(-s - M), 0).sum(1)
    mean = jnp.where(positives, s, 0).sum(1) / jnp.maximum(sizes, 1) / temperature
    anchors = sizes > 0
    losses = jnp.where(anchors, M[:, 0] + jnp.log(D) - mean, 0)
    return losses.sum() / jnp.maximum(anchors.sum(), 1)


def optax_ntxent() -> Callable[..., Any] | None:
    """Return optax's ntxent; None if not installed.

    Its denominator holds only the own positive: it equals SupCon for two views without labels.
    """
    try:
        import optax
    except ImportError:
        return None
    return lambda embeddings, labels, temperature: optax.losses.ntxent(
        embeddings, labels, temperature
    )


LEAN: dict[str, Callable[..., Any]] = {"supcon": supcon, "tcl": tcl}
