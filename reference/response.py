"""Gradient responses: how hard each pair pulls or pushes, TCL beside SupCon (LAW-12 to LAW-15)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.gradients import similarity_gradients
from tuned_contrastive.reference.losses import anchor_terms
from tuned_contrastive.reference.pairs import Bool, Float64, describe, make_pairs
from tuned_contrastive.spec import contract


@dataclass(frozen=True)
class Response:
    """dl_i/ds_ij of both losses for every anchor i (rows) and pair (columns), float64.

    A negative coefficient pulls the pair together, a positive one pushes it apart; pairs that are
    neither positive nor negative, and rows that are no anchor, hold 0.
    """

    similarities: Float64
    """(N, N): s_ij."""
    positives: Bool
    """(N, N): whether j is in P(i)."""
    negatives: Bool
    """(N, N): whether j is in N(i)."""
    supcon: Float64
    """(N, N): dl_i/ds_ij of SupCon."""
    tcl: Float64
    """(N, N): dl_i/ds_ij of TCL."""
    k1_share: Float64
    """(N,): q_i, the share of the k1 term in D_i."""
    crossover: Float64
    """(N,): k2*, above which TCL's negatives push harder than SupCon's; NaN for no anchor."""


def responses(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    k1: Any = contract.K1,
    k2: Any = contract.K2,
    normalize: bool = True,
) -> Response:
    """Return the gradient coefficient of each positive and negative under both losses.

    Parameters
    ----------
    embeddings, labels, temperature, k1, k2, normalize
        As for `tcl_loss`, with its errors.

    Returns
    -------
    Response

    Raises
    ------
    TypeError, ValueError
        As `tcl_loss`.

    References
    ----------
    Animesh and Chandraker, "Tuned Contrastive Learning", the analysis of gradient responses.

    Examples
    --------
    Orthonormal rows: k2* = 1 + k1 |P| e^0 / (|P| e^0) = 1 + k1.

    >>> import numpy as np
    >>> responses(np.eye(4), [0, 0, 1, 1], k1=2.0).crossover
    array([3., 3., 3., 3.])
    """
    contract.check_arguments(
        describe,
        embeddings,
        labels,
        temperature=temperature,
        k1=k1,
        k2=k2,
        normalize=normalize,
        reduction="none",
    )
    T, k1, k2 = float(temperature), float(k1), float(k2)
    pairs = make_pairs(embeddings, labels, normalize=normalize)
    supcon = anchor_terms(pairs, T, 0.0, 1.0)
    tcl = anchor_terms(pairs, T, k1, k2)
    with np.errstate(invalid="ignore"):
        ratio = tcl.k1_term.sum(axis=1) / tcl.positive.sum(axis=1)  # NaN where there is no positive
    return Response(
        similarities=pairs.s,
        positives=pairs.positives,
        negatives=pairs.negatives,
        supcon=similarity_gradients(pairs, supcon, T, 0.0, 1.0),
        tcl=similarity_gradients(pairs, tcl, T, k1, k2),
        k1_share=k1 * tcl.k1_term.sum(axis=1),
        crossover=1.0 + k1 * ratio,
    )
