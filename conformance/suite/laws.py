"""What the laws compare with, written from their own statements (LAW-2, LAW-5 to LAW-15)."""

from collections.abc import Sequence

import numpy as np

from tuned_contrastive.conformance.judge import Share
from tuned_contrastive.conformance.protocol import Float64, Implementation
from tuned_contrastive.conformance.suite.calls import Call, weights
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF

HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
MANY = 600
MANY_PARAMETERS = {"temperature": 0.5, "normalize": True, "reduction": "mean"}
SURE = 4.0
"""A difference is strict where it is this many times what may be off."""


def nt_xent(views: Float64, T: float) -> Float64:
    """Return NT-Xent of (B, 2, D): cross-entropy of each row against its partner, averaged."""
    rows = views.reshape(-1, views.shape[-1])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    z = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    logits = z @ z.T / T
    np.fill_diagonal(logits, -np.inf)
    partner = np.arange(len(rows)) ^ 1
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return np.asarray((log_sum - logits[np.arange(len(rows)), partner]).mean())


def rotation(order: Sequence[int], signs: int) -> Float64:
    """Return an orthogonal 4 x 4 matrix of halves, exact on every grid."""
    flips = np.array([-1.0 if signs >> bit & 1 else 1.0 for bit in range(4)])
    turned: Float64 = HADAMARD[:, list(order)] * flips
    return turned


def orthogonality_share(gradient: Float64, call: Call, dtype: str) -> float:
    """Return the largest |<dL/dx_i, x_i>| over its allowed error: b(dL/dx_i) ||x_i||."""
    allowed = call.bounds(np.ones(call.losses_shape))["embeddings"] * UNIT_ROUNDOFF[dtype]
    allowed = allowed * np.linalg.norm(call.embeddings, axis=1)
    inner = np.abs((gradient * call.embeddings).sum(axis=1))
    return _largest(inner, allowed)


def growth_share(implementation: Implementation, small: Call, large: Call, dtype: str) -> float:
    """Return how far losses fall from one call to the other, over what is allowed."""
    before, after = (implementation.loss(call.case(dtype)).loss for call in (small, large))
    allowed = (small.bounds()["loss"] + large.bounds()["loss"]) * UNIT_ROUNDOFF[dtype]
    exact = large.exact().per_anchor - small.exact().per_anchor
    return strictly_positive(after - before, exact, allowed)


def strictly_positive(got: Float64, exact: Float64, allowed: Float64) -> float:
    """Return a share that is infinite where `got` is not above 0 though `exact` surely is.

    Elsewhere it is how far `got` is below 0, in what is allowed.
    """
    must = exact > SURE * allowed
    if np.any(must & ~(got > 0)):
        return Share(np.inf, "must be above 0 everywhere, and is not")
    return _largest(np.maximum(-got, 0.0), allowed)


def equal_rows(drawn: Call) -> tuple[Call, Float64]:
    """Return the call with all rows like its first one, and its loss after LAW-10."""
    call = drawn.with_rows(np.repeat(drawn.embeddings[:1], len(drawn.embeddings), axis=0))
    T = call.parameters["temperature"]
    positives, negatives, k1, k2 = counts(call)
    D = positives + k1 * positives * np.exp(-1 - 1 / T) + k2 * negatives
    return call, reduced(np.log(np.where(positives > 0, D, 1.0)), call)


def orthonormal_rows(drawn: Call, order: Sequence[int]) -> tuple[Call, Float64]:
    """Return the call with unit vectors for rows, and its loss after LAW-11."""
    call = drawn.with_rows(np.eye(8)[list(order)][: len(drawn.embeddings)])
    positives, negatives, k1, k2 = counts(call)
    D = positives * (1 + k1) + k2 * negatives
    return call, reduced(np.log(np.where(positives > 0, D, 1.0)), call)


def many_orthonormal_rows(loss: str, classes: int) -> tuple[Call, Float64]:
    """Return more rows and columns than the vectors have, and their loss after LAW-11."""
    given = {**MANY_PARAMETERS, **weights(loss)}
    drawn = Call(loss, np.eye(8), np.arange(MANY) % classes, given)
    call = drawn.with_rows(np.eye(MANY))
    positives, negatives, k1, k2 = counts(call)
    return call, reduced(np.log(positives * (1 + k1) + k2 * negatives), call)


def many_columns(loss: str, temperature: float) -> tuple[Call, Float64]:
    """Return pairs of equal unit vectors, more columns than the vectors have, and their loss.

    The last column counts as the first: each anchor has s = 1 with one positive, else s = 0.
    """
    classes = np.arange(MANY) // 2 % 7
    given = {**MANY_PARAMETERS, **weights(loss), "temperature": temperature}
    call = Call(loss, np.repeat(np.eye(MANY // 2), 2, axis=0), classes, given)
    positives, negatives, k1, k2 = counts(call)
    D = np.exp(1 / temperature) + k1 * np.exp(-1.0) + (positives - 1) * (1 + k1) + k2 * negatives
    return call, reduced(np.log(D) - 1 / temperature / positives, call)


def counts(call: Call) -> tuple[Float64, Float64, float, float]:
    """Return |P(i)| and |N(i)| of every row, k1 and k2."""
    same = np.equal.outer(call.labels, call.labels)
    positives, negatives = same.sum(axis=1) - 1.0, (~same).sum(axis=1) * 1.0
    return positives, negatives, call.parameters.get("k1", 0.0), call.parameters.get("k2", 1.0)


def reduced(losses: Float64, call: Call) -> Float64:
    """Reduce per-anchor losses by SUP-8 to SUP-11."""
    anchors = counts(call)[0] > 0
    of_anchors = np.where(anchors, losses, 0.0)
    total = of_anchors.sum()
    choice = {"none": of_anchors, "sum": total, "mean": total / max(int(anchors.sum()), 1)}
    return np.asarray(choice[call.parameters["reduction"]])


def _largest(errors: Float64, allowed: Float64) -> float:
    """Return the largest error over its allowed one; an error where none is allowed is infinite."""
    none = np.where(errors > 0, np.inf, 0.0)
    return float(np.divide(errors, allowed, out=none, where=allowed > 0).max(initial=0.0))
