"""SupCon and TCL as the specification defines them (SUP-5 to SUP-11, TCL-1 to TCL-5)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.pairs import Float64, Pairs, describe, make_pairs
from tuned_contrastive.spec import contract


def supcon_loss(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    normalize: bool = True,
    reduction: str = "mean",
) -> Any:
    """Supervised contrastive loss, exact in float64.

    l_i = log sum_{j != i} exp(s_ij/T) - (1/|P(i)|) sum_{p in P(i)} s_ip/T

    Parameters
    ----------
    embeddings : floating array, (N, D) or (B, V, D)
        One row per item; (B, V, D) holds V views of each of B samples.
    labels : integer or boolean array or sequence of int, (N,) or (B,), optional
        Classes; None only with V >= 2 views: every sample is its own class.
    temperature : float
        T, finite and above 0; without unit.
    normalize : bool
        Whether rows are divided by their norms.
    reduction : {"mean", "sum", "none"}
        The mean is taken over the anchors that have a positive.

    Returns
    -------
    float64 scalar, or array (N,) or (B, V) with ``reduction="none"``

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape or out of range.

    References
    ----------
    Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2 (L_out).

    Examples
    --------
    Four orthonormal rows in two classes: every anchor loses log(|P| + |N|) = log 3.

    >>> import numpy as np
    >>> round(float(supcon_loss(np.eye(4), [0, 0, 1, 1])), 12) == round(float(np.log(3)), 12)
    True
    """
    contract.check_arguments(
        describe,
        embeddings,
        labels,
        temperature=temperature,
        normalize=normalize,
        reduction=reduction,
    )
    pairs = make_pairs(embeddings, labels, normalize=normalize)
    losses = anchor_terms(pairs, float(temperature), 0.0, 1.0).losses
    return reduce(losses, pairs, embeddings.shape, reduction)


def tcl_loss(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    k1: Any = contract.K1,
    k2: Any = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
) -> Any:
    """Tuned contrastive loss, exact in float64.

    l_i = log D_i - (1/|P(i)|) sum_{p in P(i)} s_ip/T, with
    D_i = sum_P exp(s_ip/T) + k1 sum_P exp(-s_ip) + k2 sum_N exp(s_in/T)

    Parameters
    ----------
    embeddings, labels, temperature, normalize, reduction
        As for `supcon_loss`.
    k1 : float
        Weight of the extra term of the positives, finite and >= 0; without unit.
    k2 : float
        Weight of the negatives, finite and >= 0; without unit.

    Returns
    -------
    float64 scalar, or array (N,) or (B, V) with ``reduction="none"``

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape or out of range.

    References
    ----------
    Animesh and Chandraker, "Tuned Contrastive Learning", arXiv 2305.10675, WACV 2025.

    Examples
    --------
    Four orthonormal rows in two classes: every anchor loses log(|P| (1 + k1) + k2 |N|).

    >>> import numpy as np
    >>> loss = tcl_loss(np.eye(4), [0, 0, 1, 1], k1=2.0, k2=3.0)
    >>> round(float(loss), 12) == round(float(np.log(1 * 3 + 3 * 2)), 12)
    True
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
    pairs = make_pairs(embeddings, labels, normalize=normalize)
    losses = anchor_terms(pairs, float(temperature), float(k1), float(k2)).losses
    return reduce(losses, pairs, embeddings.shape, reduction)


@dataclass(frozen=True)
class AnchorTerms:
    """The terms of every denominator, divided by it, so that they cannot overflow by themselves."""

    losses: Float64
    """(N,): l_i."""
    log_D: Float64
    """(N,): log D_i; 0 where i is not an anchor."""
    positive: Float64
    """(N, N): exp(s_ip/T)/D_i for p in P(i), else 0."""
    k1_term: Float64
    """(N, N): exp(-s_ip)/D_i for p in P(i), else 0: without k1, which may be 0."""
    negative: Float64
    """(N, N): exp(s_in/T)/D_i for n in N(i), else 0: without k2, which may be 0."""


def anchor_terms(pairs: Pairs, T: float, k1: float, k2: float) -> AnchorTerms:
    """Compute TCL-1 (SUP-5 with k1 = 0, k2 = 1), the anchor left out of the maximum (NUM-10)."""
    s, positives, negatives = pairs.s, pairs.positives, pairs.negatives
    anchor = pairs.is_anchor[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        t = s / T
        largest = np.maximum(
            np.where(positives, np.maximum(t, _log_scale(k1) - s), -np.inf),
            np.where(negatives, t + _log_scale(k2), -np.inf),
        ).max(axis=1, keepdims=True)
        M = np.where(anchor, largest, 0.0)
        positive = np.where(positives, np.exp(t - M), 0.0)
        k1_term = np.where(positives, np.exp(-s - M), 0.0)
        negative = np.where(negatives & anchor, np.exp(t - M), 0.0)
        D = positive.sum(axis=1, keepdims=True)  # in units of exp(M)
        D += k1 * k1_term.sum(axis=1, keepdims=True) if k1 else 0.0  # an unused term may be inf
        D += k2 * negative.sum(axis=1, keepdims=True) if k2 else 0.0
        D = np.where(anchor, D, 1.0)
        log_D = (M + np.log(D))[:, 0]
        mean = np.where(positives, t, 0.0).sum(axis=1) / pairs.positive_count
        losses = np.where(pairs.is_anchor, log_D - mean, 0.0)
    return AnchorTerms(losses, log_D, positive / D, k1_term / D, negative / D)


def _log_scale(k: float) -> float:
    """Return what k adds to an exponent's size: nothing where k itself cannot overflow a sum.

    Leaving log k out keeps the exponents small, and so their rounding errors. log 0 is -inf.
    """
    return 0.0 if 1e-100 < k < 1e100 else float(np.log(k))


def reduce(losses: Float64, pairs: Pairs, shape: tuple[int, ...], reduction: str) -> Any:
    """Reduce l_i of shape (N,) as SUP-8 to SUP-11 say."""
    if reduction == "none":
        return losses.reshape(shape[:-1])
    count = max(int(pairs.is_anchor.sum()), 1) if reduction == "mean" else 1
    return losses.sum() / count
