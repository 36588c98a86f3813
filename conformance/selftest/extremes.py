"""Batches whose gradient in the temperature passes through what a dtype hardly holds."""

from typing import Any

import numpy as np

from tuned_contrastive import reference
from tuned_contrastive.conformance.protocol import Float64


def _turned() -> Float64:
    """Return an anchor, 2 of its class at -0.75 and 12 others beside it."""
    angle = np.arccos(-0.75)
    return np.array([[1, 0]] + [[np.cos(angle), np.sin(angle)]] * 2 + [[1, 0]] * 12)


_FAR = np.array([[1, 0], [1, 0.1], [-1, 0.1], [-1, 0]])
_PLAIN = np.random.default_rng(0).normal(size=(12, 4))
_OF_TURNED = [0, 0, 0, *range(1, 13)]

EXTREMES: dict[str, tuple[Any, ...]] = {
    **{
        f"a learnable weight of 0, T = {T:.5f}": (_turned(), _OF_TURNED, T, 0.0, 0.0, True, 1.0)
        for T in np.linspace(0.0098, 0.0103, 6)
    },
    "a gradient beyond the range": (_PLAIN, np.arange(12) % 3, 1.3e-38, 0.0, 1.0, True, 1.0),
    "similarities of both signs": (_FAR * 1.2e19, [0, 0, 1, 1], 1.0, 0.0, 1.0, False, 1.0),
    "large similarities": (_FAR * 1.2e19, [0, 1, 0, 1], 8e37, 0.0, 1.0, False, 1e30),
    "a reciprocal below the range": (_FAR * 1.2e19, [0, 1, 0, 1], 1e38, 0.0, 1.0, False, 1e30),
}
"""Rows, labels, T, k1, k2, whether to normalise, and the upstream gradient of the sum."""


def exact(name: str) -> tuple[float, float]:
    """Return the loss and its gradient in T, of rows and parameters as float32 has them."""
    rows, labels, *scalars, normalize, upstream = EXTREMES[name]
    T, k1, k2 = (float(np.float32(value)) for value in scalars)
    given: dict[str, Any] = {"temperature": T, "k1": k1, "k2": k2}
    given |= {"normalize": normalize, "reduction": "sum"}
    x = rows.astype("float32").astype("float64")
    loss = reference.tcl_loss(x, labels, **given)
    slope = reference.tcl_gradients(x, labels, upstream=upstream, **given).temperature
    with np.errstate(over="ignore"):
        return float(np.float32(loss)), float(np.float32(slope))
