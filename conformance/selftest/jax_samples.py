"""Inputs of the JAX backend's own tests of tiles, and how far a result may be from another."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from tuned_contrastive.backends.jax import tcl_loss
from tuned_contrastive.conformance.protocol import Float64

N, D = 23, 5
LABELS = {
    "several": np.arange(N) * 7 % 5,
    "one": np.zeros(N, int),
    "all different": np.arange(N)[::-1],
    "uneven": np.array([3] * 12 + [-1] * 10 + [0]),
}
SCALARS: dict[str, Any] = {"temperature": 0.5, "k1": 3.0, "k2": 0.25}
UPSTREAM: Float64 = np.linspace(-1, 2, N)


def sample_rows() -> Float64:
    """Return rows, (N, D), exact in half precision, one of them zero."""
    found: Float64 = np.random.default_rng(5).integers(-16, 17, (N, D)) / 8
    found[3] = 0
    return found


def close(found: Any, exact: Any, rtol: float = 2e-5) -> None:
    """Compare by the largest entry: rows of a gradient cancel."""
    assert not np.isnan(np.asarray(exact)).any()  # it would be equal to NaN
    scale = float(np.abs(np.asarray(exact, "float64")).max()) + 1e-3
    np.testing.assert_allclose(np.asarray(found, "float64"), exact, rtol, rtol * scale)


def weighted(w: Float64, labels: Any, block_size: int | None, **fixed: Any) -> Any:
    """Return the loss as a function of rows, T, k1 and k2, with upstream gradients w."""

    def function(x: Any, T: Any, k1: Any, k2: Any) -> Any:
        given = {"temperature": T, "k1": k1, "k2": k2, "block_size": block_size, **fixed}
        return (jnp.asarray(w, "float32") * tcl_loss(x, labels, reduction="none", **given)).sum()

    return function
