"""Calls and comparisons in which one definition shows whatever the others do (SUP-1 to GRD-11)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuned_contrastive.conformance.judge import value_share
from tuned_contrastive.conformance.protocol import Float64, Implementation
from tuned_contrastive.conformance.suite.calls import Call, weights
from tuned_contrastive.conformance.suite.laws import strictly_positive
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF

FULL = ("float64", "float32")
COLD = 1 / 64
"""A temperature at which exp(1/T) hides whatever stands beside it, k1 too."""
TINY = 2.0**-100
"""A weight that is not 0 and adds nothing."""
RIGHT, UP, LEFT = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
UNIT = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, 1], [1, -1, -1, -1]]) / 2
"""Rows of norm 1 to the last bit."""
NORMS = np.array([[2.0], [3.0], [0.5], [6.0]])
PAIRS = (0, 0, 1, 1)

RAW: dict[str, Any] = {"normalize": False, "reduction": "none", "temperature": 0.5}
NEAR = (1.0, 0.0, 40.0, 40.0)
"""`readable` rows: two negatives take all of row 0's denominator, and each all of the other's."""


def batch(
    implementation: Implementation,
    loss: str,
    rows: Any,
    labels: Sequence[int],
    **given: Any,
) -> Call:
    """Return a call; what is not given takes a value that the implementation claims."""
    claims = implementation.capabilities
    chosen = {"normalize": True, "reduction": claims.reductions[0], **weights(loss)}
    held = {name: value for name, value in claims.fixed.items() if name in chosen}
    return Call(loss, np.array(rows), np.array(labels), {**chosen, **held, **given})


def readable(loss: str, first: Sequence[float], labels: Sequence[int]) -> Call:
    """Return rows z_j with s_ij = first_i first_j, each with a further column of its own.

    The gradient of row i is sum_j C_ij z_j: column j + 1 of it is C_ij.
    """
    rows = np.column_stack([first, np.eye(len(first))])
    return Call(loss, rows, np.array(labels), {**RAW, **weights(loss)})


def twos(call: Call) -> Float64:
    """Return an upstream gradient of 2 everywhere."""
    return np.full(call.losses_shape, 2.0)


def coefficients(implementation: Implementation, call: Call, dtype: str) -> Float64:
    """Return C of a `readable` call; (N, N)."""
    found = implementation.gradients(call.case(dtype), twos(call)).embeddings
    return np.asarray(found)[:, 1:]


def allowed_rows(call: Call) -> Float64:
    """Return the allowed errors of the rows of the gradient, in units of u; (N,)."""
    return call.bounds(twos(call))["embeddings"].reshape(-1)


def same_share(
    implementation: Implementation, one: Call, other: Call, dtype: str, times: float = 1.0
) -> float:
    """Return how far the other loss is from so many times the one, over what both may be off."""
    expected, got = (implementation.loss(call.case(dtype)).loss for call in (one, other))
    allowed = times * one.bounds()["loss"] + other.bounds()["loss"]
    return value_share(got, times * expected, allowed, dtype)


def zero_share(implementation: Implementation, call: Call, dtype: str) -> float:
    """Return the share of the allowed error that a loss of 0 has."""
    got = implementation.loss(call.case(dtype)).loss
    return value_share(got, np.zeros(call.losses_shape), call.bounds()["loss"], dtype)


def rise_share(implementation: Implementation, low: Call, high: Call, dtype: str) -> float:
    """Return how far the loss falls from one call to the other, over what both may be off.

    Infinity where it does not rise though it surely must.
    """
    before, after = (implementation.loss(call.case(dtype)).loss for call in (low, high))
    allowed = (low.bounds()["loss"] + high.bounds()["loss"]) * UNIT_ROUNDOFF[dtype]
    exact = high.exact().loss - low.exact().loss
    return strictly_positive(np.atleast_1d(after - before), np.atleast_1d(exact), allowed)
