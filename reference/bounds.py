"""The allowed error of every quantity of a batch, from spec/tolerance.py (NUM-14, NUM-15)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.gradients import anchor_weights
from tuned_contrastive.reference.losses import AnchorTerms, anchor_terms
from tuned_contrastive.reference.pairs import Float64, Pairs, make_pairs
from tuned_contrastive.spec import contract, tolerance


def bounds(
    loss: str,
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: float = contract.TEMPERATURE,
    k1: float = contract.K1,
    k2: float = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
    upstream: Any = None,
) -> dict[str, Any]:
    """Return the allowed errors in units of u.

    Parameters
    ----------
    loss : {"supcon", "tcl"}
    embeddings, labels, temperature, k1, k2, normalize, reduction, upstream
        As for `tcl_gradients`; k1 and k2 are not read for SupCon.

    Returns
    -------
    dict
        ``loss`` (a number, or an array with ``reduction="none"``), ``per_anchor`` (N,),
        ``embeddings`` (N,): the norm allowed for the error of each row, ``temperature``,
        ``k1``, ``k2`` (TCL only), and ``exponent``, the largest error of an exponent.
    """
    k1, k2 = (0.0, 1.0) if loss == "supcon" else (k1, k2)
    T, columns = temperature, embeddings.shape[-1]
    pairs = make_pairs(embeddings, labels, normalize=normalize)
    terms = anchor_terms(pairs, T, k1, k2)
    anchor, rows = pairs.is_anchor, len(pairs.s)
    shape = embeddings.shape[:-1] if reduction == "none" else ()
    w = np.abs(anchor_weights(pairs, shape, reduction, upstream))
    ds, s = _largest(pairs, columns, normalize=normalize)
    mean_s = np.where(pairs.positives, np.abs(pairs.s), 0).sum(axis=1) / pairs.positive_count
    log_D = np.abs(terms.log_D)
    error = tolerance.exponent(ds, s, T, k1, k2)
    per_anchor = tolerance.anchor_loss(error, ds, s, mean_s, log_D, T, rows) * anchor
    share = tolerance.share(error, log_D, rows)
    p, q = _shares(pairs, terms, k1, k2)
    spread, centred = _spreads(pairs, p, q, mean_s)
    rounding = tolerance.share_rounding(log_D, rows)
    dT = tolerance.temperature(error, rounding, ds, centred, spread, rows, T)
    result = {
        "loss": _reduced(per_anchor, terms.losses, pairs, reduction, embeddings.shape),
        "per_anchor": per_anchor,
        "embeddings": _rows(pairs, w, p / T + q, share, T, columns, normalize=normalize),
        "temperature": (w * dT)[anchor].sum(),
        "exponent": error[anchor].max(initial=0.0),
    }
    if loss == "tcl":
        relative = w * tolerance.weight(share, ds, s, log_D, rows)
        result["k1"] = (relative * terms.k1_term.sum(axis=1))[w > 0].sum()
        result["k2"] = (relative * terms.negative.sum(axis=1))[w > 0].sum()
    return result


def _largest(pairs: Pairs, columns: int, *, normalize: bool) -> tuple[Float64, Float64]:
    """Return the largest |ds_ij|, in units of u, and |s_ij| of each anchor, j != i."""
    lengths = np.sqrt((pairs.z**2).sum(axis=1))
    others = np.broadcast_to(lengths, pairs.s.shape) * ~np.eye(len(lengths), dtype=bool)
    c = tolerance.similarity(columns, normalize=normalize)
    s = np.where(pairs.positives | pairs.negatives, np.abs(pairs.s), 0.0)
    return c * lengths * others.max(axis=1), s.max(axis=1)


def _shares(pairs: Pairs, terms: AnchorTerms, k1: float, k2: float) -> tuple[Float64, Float64]:
    """Return the shares in D_i of the T terms, p, and of the k1 term, q, each (N, N)."""
    p = terms.positive + (k2 * terms.negative if k2 else 0.0)
    q = k1 * terms.k1_term if k1 else np.zeros_like(p)
    return p, q


def _spreads(pairs: Pairs, p: Float64, q: Float64, mean_s: Float64) -> tuple[Float64, Float64]:
    """Return mean_P|s| + sum_j p_ij |s_ij|, and how far errors move sum_j p_ij s_ij."""
    expected = (p * pairs.s).sum(axis=1)
    about = (p * np.abs(pairs.s - expected[:, None])).sum(axis=1) + np.abs(expected) * q.sum(axis=1)
    return mean_s + (p * np.abs(pairs.s)).sum(axis=1), about


def _rows(
    pairs: Pairs,
    w: Float64,
    shares: Float64,
    share_error: Float64,
    T: float,
    columns: int,
    *,
    normalize: bool,
) -> Float64:
    """Return what each row of the gradient may err: its addends before cancellation, weighed."""
    mean = pairs.positives / (T * pairs.positive_count[:, None])
    relative = tolerance.row(share_error, len(pairs.s), columns, normalize=normalize)
    A = (w * relative * pairs.is_anchor)[:, None] * (shares + mean)
    lengths = np.sqrt((pairs.z**2).sum(axis=1))
    return np.asarray((A + A.T) @ lengths / pairs.norms)


def _reduced(
    per_anchor: Float64, losses: Float64, pairs: Pairs, reduction: str, shape: tuple[int, ...]
) -> Any:
    if reduction == "none":
        return per_anchor.reshape(shape[:-1])
    count = max(int(pairs.is_anchor.sum()), 1) if reduction == "mean" else 1
    added = per_anchor + tolerance.reduced(len(losses)) * np.abs(losses)
    return added.sum() / count
