"""The exact gradients of SupCon and TCL in closed form (GRD-1 to GRD-11)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.losses import AnchorTerms, anchor_terms, reduce
from tuned_contrastive.reference.pairs import Float64, Pairs, describe, make_pairs
from tuned_contrastive.spec import contract


@dataclass(frozen=True)
class Gradients:
    """A loss and its gradients, float64.

    `loss` is what the loss function returns, `per_anchor` all l_i, (N,) or (B, V); the others are
    the gradients of <upstream, loss>: `embeddings` in the shape of the input, scalars; `k1` and
    `k2` are None for SupCon.
    """

    loss: Any
    per_anchor: Float64
    embeddings: Float64
    temperature: float
    k1: float | None
    k2: float | None


def supcon_gradients(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    normalize: bool = True,
    reduction: str = "mean",
    upstream: Any = None,
) -> Gradients:
    """`supcon_loss` with its exact gradients (GRD-1 to GRD-6).

    Parameters
    ----------
    embeddings, labels, temperature, normalize, reduction
        As for `supcon_loss`, with its errors.
    upstream : float or float64 array of the shape of the loss, optional
        What multiplies the loss further up; None is ones.

    Returns
    -------
    Gradients

    Raises
    ------
    TypeError, ValueError
        As `supcon_loss`; ValueError for an `upstream` of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> supcon_gradients(np.eye(3), [0, 0, 0]).embeddings.shape
    (3, 3)
    """
    contract.check_arguments(
        describe,
        embeddings,
        labels,
        temperature=temperature,
        normalize=normalize,
        reduction=reduction,
    )
    return _gradients(
        embeddings, labels, float(temperature), None, None, normalize, reduction, upstream
    )


def tcl_gradients(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    k1: Any = contract.K1,
    k2: Any = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
    upstream: Any = None,
) -> Gradients:
    """`tcl_loss` with its exact gradients (GRD-1 to GRD-9).

    Parameters
    ----------
    embeddings, labels, temperature, k1, k2, normalize, reduction
        As for `tcl_loss`, with its errors.
    upstream : float or float64 array of the shape of the loss, optional
        What multiplies the loss further up; None is ones.

    Returns
    -------
    Gradients

    Raises
    ------
    TypeError, ValueError
        As `tcl_loss`; ValueError for an `upstream` of another shape.

    Examples
    --------
    Orthonormal rows: dL/dk1 = |P| / (|P| (1 + k1) + k2 |N|).

    >>> import numpy as np
    >>> gradients = tcl_gradients(np.eye(4), [0, 0, 1, 1], k1=2.0, k2=3.0)
    >>> round(9 * float(gradients.k1), 12)
    1.0
    """
    contract.check_arguments(
        describe,
        embeddings,
        labels,
        temperature=temperature,
        k1=k1,
        k2=k2,
        normalize=normalize,
        reduction=reduction,
    )
    return _gradients(
        embeddings,
        labels,
        float(temperature),
        float(k1),
        float(k2),
        normalize,
        reduction,
        upstream,
    )


def _gradients(
    embeddings: NDArray[Any],
    labels: Any,
    T: float,
    k1: float | None,
    k2: float | None,
    normalize: bool,
    reduction: str,
    upstream: Any,
) -> Gradients:
    pairs = make_pairs(embeddings, labels, normalize=normalize)
    terms = anchor_terms(pairs, T, k1 or 0.0, 1.0 if k2 is None else k2)
    loss = reduce(terms.losses, pairs, embeddings.shape, reduction)
    w = anchor_weights(pairs, np.shape(loss), reduction, upstream)
    with np.errstate(invalid="ignore", over="ignore"):
        G = w[:, None] * similarity_gradients(pairs, terms, T, k1 or 0.0, 1.0 if k2 is None else k2)
        dz = (G + G.T) @ pairs.z  # GRD-3
        dx = project(dz, pairs) if normalize else dz
        exp_T = terms.positive + (_times(1.0 if k2 is None else k2, terms.negative))
        mean = np.where(pairs.positives, pairs.s, 0.0).sum(axis=1) / pairs.positive_count
        expected = np.where(exp_T > 0, pairs.s * exp_T, 0.0).sum(axis=1)  # s_ii may be inf
        dT = (w * (mean - expected)).sum() / T / T  # GRD-6
        low, far = (pairs.positives, -pairs.s), (pairs.negatives, pairs.s / T)
        dk1 = None if k1 is None else _weighted(w, terms.k1_term, *low, terms.log_D)  # GRD-7
        dk2 = None if k2 is None else _weighted(w, terms.negative, *far, terms.log_D)  # GRD-8
    shape = embeddings.shape
    return Gradients(loss, terms.losses.reshape(shape[:-1]), dx.reshape(shape), dT, dk1, dk2)


def similarity_gradients(
    pairs: Pairs, terms: AnchorTerms, T: float, k1: float, k2: float
) -> Float64:
    """Return dl_i/ds_ij, (N, N), for anchor i in the row (GRD-1, GRD-2)."""
    mean = np.where(pairs.positives, 1.0 / pairs.positive_count[:, None], 0.0)
    pull = (terms.positive - mean) / T - _times(k1, terms.k1_term)
    return np.asarray(pull + _times(k2, terms.negative) / T)


def anchor_weights(pairs: Pairs, shape: tuple[int, ...], reduction: str, upstream: Any) -> Float64:
    """Return w_i = d<upstream, loss>/dl_i, (N,): 0 where i is not an anchor (GRD-10, GRD-11)."""
    given = np.asarray(1.0 if upstream is None else upstream, dtype=np.float64)
    if given.shape not in ((), shape):
        raise ValueError(f"upstream must have shape () or {shape}, got {given.shape}")
    count = max(int(pairs.is_anchor.sum()), 1) if reduction == "mean" else 1
    per_anchor = np.broadcast_to(given, shape or pairs.is_anchor.shape).reshape(-1)
    return np.where(pairs.is_anchor, per_anchor / count, 0.0)


def project(dz: Float64, pairs: Pairs) -> Float64:
    """Return dL/dx_i from dL/dz_i for z_i = x_i/||x_i|| (GRD-4); 0 for a zero row (SUP-2)."""
    along = (dz * pairs.z).sum(axis=1, keepdims=True)
    return np.asarray((dz - along * pairs.z) / pairs.norms[:, None])


def _times(k: float, terms: Float64) -> Float64:
    """Return k times the terms; 0 for k = 0, even where a term overflowed."""
    return k * terms if k else np.zeros_like(terms)


def _weighted(
    w: Float64, terms: Float64, mask: NDArray[np.bool_], exponents: Float64, log_D: Float64
) -> float:
    """Return sum_i w_i sum_j terms_ij, the terms being exp(exponents - log D_i) where `mask` is.

    An anchor of weight 0 adds 0, even where its terms overflowed; of others that did, the largest
    is taken out, or infinities of both signs would meet (NUM-11).
    """
    sums = terms.sum(axis=1)[w != 0]
    if np.isfinite(sums).all() or np.isnan(sums).any():
        return float((w[w != 0] * sums).sum())
    x = np.where(mask, exponents - log_D[:, None], -np.inf)[w != 0]
    largest = x.max()
    root = np.exp(largest / 2)
    return float((w[w != 0] * np.exp(x - largest).sum(axis=1)).sum() * root * root)
