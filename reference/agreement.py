"""How far the reference is from the oracle, in units of what is allowed to it (spec, section 9)."""

from typing import Any

import numpy as np

from tuned_contrastive.reference import oracle
from tuned_contrastive.reference.gradients import (
    Gradients,
    anchor_weights,
    supcon_gradients,
    tcl_gradients,
)
from tuned_contrastive.reference.losses import anchor_terms
from tuned_contrastive.reference.pairs import Float64, make_pairs
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF

FACTOR = 16 * UNIT_ROUNDOFF["float64"]
FLOOR = 1e-100
"""Errors below this are not seen: the oracle does not resolve them (spec, section 9)."""


def disagreement(
    loss: str, embeddings: Float64, labels: Any, *, upstream: Any = 1.0, **parameters: Any
) -> tuple[oracle.Exact, Gradients, float]:
    """Return the oracle's answer, the reference's, and the worst share of the allowed error used.

    Allowed is 16 u (1 + max|s|/T) times the sum of the absolute terms before cancellation.
    """
    exact = oracle.evaluate(loss, embeddings, labels, upstream=upstream, **parameters)
    if loss == "supcon":
        parameters = {k: v for k, v in parameters.items() if k not in ("k1", "k2")}
        computed = supcon_gradients(embeddings, labels, upstream=upstream, **parameters)
    else:
        computed = tcl_gradients(embeddings, labels, upstream=upstream, **parameters)
    allowed = terms_before_cancellation(loss, embeddings, labels, upstream=upstream, **parameters)
    worst = 0.0
    for name, terms in allowed.items():
        truth = np.array(getattr(exact, name), dtype=object).reshape(np.shape(terms))
        value = np.reshape(getattr(computed, name), np.shape(terms))
        worst = max(worst, _share(value, truth, terms))
    return exact, computed, worst


def _share(value: Float64, truth: Any, terms: Float64) -> float:
    """Return the largest |value - truth| / (FACTOR terms); a matrix is judged row by row."""
    near, terms = truth.astype(np.float64), np.asarray(terms)
    finite = np.isfinite(near)
    if not np.array_equal(value[~finite], near[~finite]):
        return float("inf")
    if not (np.isfinite(value[finite]).all() and np.isfinite(terms[finite]).all()):
        return float("inf")
    error = np.abs(np.where(finite, value - np.where(finite, truth, 0), 0).astype(np.float64))
    return float(
        np.max(np.where(error > FLOOR, error / (FACTOR * terms + FLOOR), 0.0), initial=0.0)
    )


def terms_before_cancellation(
    loss: str,
    embeddings: Float64,
    labels: Any,
    *,
    temperature: float,
    k1: float = 0.0,
    k2: float = 1.0,
    normalize: bool = True,
    reduction: str = "mean",
    upstream: Any = 1.0,
) -> dict[str, Any]:
    """Return per quantity the sum of its absolute terms, times (1 + max|s|/T).

    The quantities are `loss` (its anchors' sums, reduced), `per_anchor`, `embeddings` (each entry
    gets its row's sum), `temperature`, `k1`, `k2`; max|s| is taken over all pairs, i = j included.
    """
    k1, k2 = (0.0, 1.0) if loss == "supcon" else (k1, k2)
    pairs, T = make_pairs(embeddings, labels, normalize=normalize), temperature
    terms = anchor_terms(pairs, T, k1, k2)
    shape = embeddings.shape[:-1] if reduction == "none" else ()
    w = np.abs(anchor_weights(pairs, shape, reduction, upstream))
    lengths = np.sqrt((pairs.z**2).sum(axis=1))
    products = np.outer(lengths, lengths)
    p = terms.positive + (k2 * terms.negative if k2 else 0.0)
    q = k1 * terms.k1_term if k1 else np.zeros_like(p)
    mean = pairs.positives / pairs.positive_count[:, None]
    A = w[:, None] * ((p + mean) / T + q)
    largest = 1 + np.abs(pairs.s).max() / T
    rows = (A + A.T) @ lengths / pairs.norms * largest
    columns = np.ones(embeddings.shape[-1])
    per_anchor = np.abs(terms.log_D) + (mean * products).sum(axis=1) / T + 1
    per_anchor *= pairs.is_anchor * largest
    anchors = max(int(pairs.is_anchor.sum()), 1)
    reduced = {"mean": per_anchor.sum() / anchors, "sum": per_anchor.sum(), "none": per_anchor}
    result: dict[str, Any] = {
        "loss": reduced[reduction],
        "per_anchor": per_anchor,
        "embeddings": np.outer(rows, columns),
        "temperature": (w * ((mean + p) * products).sum(axis=1)).sum() / T**2 * largest,
    }
    if loss == "tcl":
        result["k1"] = (w * terms.k1_term.sum(axis=1))[w > 0].sum() * largest
        result["k2"] = (w * terms.negative.sum(axis=1))[w > 0].sum() * largest
    return result
