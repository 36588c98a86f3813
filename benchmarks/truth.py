"""What a case's loss and gradient are exactly, in O(N D) memory, and what float32 may err.

NumPy float64, by blocks of rows: every anchor's denominator, hence the whole loss and the gradients
of T, k1 and k2. Of the embeddings' gradient a sample of rows is computed, each over all N columns
in both directions. The bounds are those of spec/tolerance.py (NUM-14, NUM-15), for that very input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.conformance.judge import rows_share, value_share
from tuned_contrastive.reference.pairs import unit_rows
from tuned_contrastive.spec import tolerance

Float64 = NDArray[np.float64]
SAMPLE = 128
"""Rows of the gradient that are compared; all of them up to this N."""

BLOCK = 2**22
"""Numbers in one block of rows: 32 MiB."""


@dataclass(frozen=True)
class Truth:
    """Exact values and, in units of u, what each may err."""

    sample: NDArray[np.int64]
    """(R,): the rows whose gradient is known."""
    exact: dict[str, Float64]
    """``loss``, ``embeddings`` (R, D) and the gradient of each scalar."""
    bounds: dict[str, Float64]
    """``loss``, ``embeddings`` (R,) and of each scalar."""

    def share(self, found: Mapping[str, Float64], dtype: str) -> float:
        """Return the largest share of the allowed error; up to 1 is right, NaN is infinite."""
        shares = []
        for name, value in found.items():
            if name == "embeddings":
                rows = value.reshape(-1, value.shape[-1])[self.sample]
                shares.append(rows_share(rows, self.exact[name], self.bounds[name], dtype))
            else:
                shares.append(value_share(value, self.exact[name], self.bounds[name], dtype))
        return max(shares)


@dataclass(frozen=True)
class _Anchors:
    """One number for each row of the sorted batch, or for each row of a block of it."""

    log_D: Float64
    mean: Float64
    """Mean of s over the positives."""
    mean_abs: Float64
    largest: Float64
    """Largest |s|."""
    low: Float64
    """sum_P exp(-s) / D: dl/dk1."""
    negative: Float64
    """sum_N exp(s/T) / D: dl/dk2."""
    expected: Float64
    """sum_j p_j s_j."""
    spread: Float64
    """sum_j p_j |s_j|."""
    centred: Float64


def truth(case: Case, batch: Batch, folder: Path | None = None) -> Truth:
    """Return the truth of a case; kept in `folder`, where other processes find it."""
    name = f"{case.loss}-{case.N}-{case.D}-{case.classes}-{case.temperature}-{case.views}"
    file = None if folder is None else folder / f"{name}-{case.learnable}-{case.dtype}.npz"
    if file is not None and file.is_file():
        return _load(file)
    found = _truth(case, batch)
    if file is not None:
        exact = {f"exact_{key}": value for key, value in found.exact.items()}
        bounds = {f"bounds_{key}": value for key, value in found.bounds.items()}
        kept: dict[str, Any] = {"sample": found.sample, **exact, **bounds}
        np.savez(file, **kept)
    return found


def _load(file: Path) -> Truth:
    with np.load(file) as kept:
        parts = {
            kind: {key.removeprefix(kind): kept[key] for key in kept if key.startswith(kind)}
            for kind in ("exact_", "bounds_")
        }
        return Truth(kept["sample"], parts["exact_"], parts["bounds_"])


def _truth(case: Case, batch: Batch) -> Truth:
    order = np.argsort(batch.labels, kind="stable")
    classes = batch.labels[order]
    z, norms = unit_rows(batch.embeddings[order].astype(np.float64))
    sizes = np.searchsorted(classes, classes, "right") - np.searchsorted(classes, classes) - 1
    is_anchor = sizes > 0
    P = np.maximum(sizes, 1).astype(np.float64)
    w = is_anchor / max(int(is_anchor.sum()), 1)
    T, k1, k2 = case.temperature, case.parameters.get("k1", 0.0), case.parameters.get("k2", 1.0)
    step = max(1, BLOCK // case.N)
    blocks = [
        _anchors(slice(low, low + step), z, classes, P, T, k1, k2, moments=case.learnable)
        for low in range(0, case.N, step)
    ]
    names = _Anchors.__dataclass_fields__
    a = _Anchors(**{n: np.concatenate([getattr(block, n) for block in blocks]) for n in names})
    log_D = np.where(is_anchor, a.log_D, 0.0)
    losses = np.where(is_anchor, log_D - a.mean / T, 0.0)
    dT = (w * (a.mean - a.expected)).sum() / T**2
    exact = {"loss": losses.sum() / max(int(is_anchor.sum()), 1), "temperature": dT}
    exact |= {"k1": (w * a.low).sum(), "k2": (w * a.negative).sum()} if case.loss == "tcl" else {}

    ds = tolerance.similarity(case.D, normalize=True)
    error = tolerance.exponent(ds, a.largest, T, k1, k2)
    share = tolerance.share(error, np.abs(log_D), case.N)
    each = tolerance.anchor_loss(error, ds, a.largest, a.mean_abs, np.abs(log_D), T, case.N)
    rounding = tolerance.share_rounding(np.abs(log_D), case.N)
    spread = a.mean_abs + a.spread
    of_T = tolerance.temperature(error, rounding, ds, a.centred, spread, case.N, T)
    weight = w * tolerance.weight(share, ds, a.largest, np.abs(log_D), case.N)
    bounds = {
        "loss": (w * (each + tolerance.reduced(case.N) * np.abs(losses))).sum(),
        "temperature": (w * of_T).sum(),
        "k1": (weight * a.low).sum(),
        "k2": (weight * a.negative).sum(),
    }
    picked = np.unique(np.linspace(0, case.N - 1, min(case.N, SAMPLE)).astype(np.int64))
    relative = tolerance.row(share, case.N, case.D, normalize=True)
    of_anchors = np.where(is_anchor, a.log_D, np.inf)  # the others' exponentials are 0
    rows, allowed = _gradient_rows(picked, z, classes, P, w, of_anchors, relative, T, k1, k2)
    along = (rows * z[picked]).sum(1, keepdims=True)
    exact["embeddings"] = (rows - along * z[picked]) / norms[picked, None]
    bounds["embeddings"] = allowed / norms[picked]
    return Truth(
        order[picked],
        {name: np.asarray(value) for name, value in exact.items()},
        {name: np.asarray(bounds[name]) for name in exact},
    )


def _anchors(
    rows: slice,
    z: Float64,
    classes: NDArray[np.int64],
    P: Float64,
    T: float,
    k1: float,
    k2: float,
    *,
    moments: bool,
) -> _Anchors:
    """Return the sums of a block of anchors; `moments` are what only dL/dT needs."""
    own = classes[rows]
    s = z[rows] @ z.T  # (R, N)
    itself = (np.arange(len(own)), np.arange(len(own)) + rows.start)
    s[itself] = 0.0
    largest = np.maximum(s.max(1), -s.min(1))
    t = s / T
    t[itself] = -np.inf
    M = t.max(1, initial=-1 / T)
    t -= M[:, None]
    e = np.exp(t, out=t)
    # Sorted by class: all positives of the block stand in these columns.
    near = slice(np.searchsorted(classes, own[0]), np.searchsorted(classes, own[-1], "right"))
    same = own[:, None] == classes[near]
    same[itself[0], itself[1] - near.start] = False
    of_same = np.where(same, e[:, near], 0.0)
    positive, total = of_same.sum(1), e.sum(1)
    low = np.where(same, np.exp(-s[:, near]), 0.0).sum(1)
    D = positive + k2 * (total - positive) + k1 * low * np.exp(-M)
    D = np.where(D > 0, D, 1.0)
    near_s = np.where(same, s[:, near], 0.0)
    zero = np.zeros(len(own))
    expected = spread = centred = zero
    if moments:
        if k2 != 1:
            e *= k2
            e[:, near] = np.where(same, of_same, e[:, near])
        expected = np.einsum("ij,ij->i", e, s) / D
        spread = np.einsum("ij,ij->i", e, np.abs(s)) / D
        q = k1 * low * np.exp(-M) / D
        centred = np.einsum("ij,ij->i", e, np.abs(s - expected[:, None])) / D + np.abs(expected) * q
    return _Anchors(
        log_D=M + np.log(D),
        mean=near_s.sum(1) / P[rows],
        mean_abs=np.abs(near_s).sum(1) / P[rows],
        largest=largest,
        low=low * np.exp(-M) / D,
        negative=(total - positive) / D,
        expected=expected,
        spread=spread,
        centred=centred,
    )


def _gradient_rows(
    picked: NDArray[np.int64],
    z: Float64,
    classes: NDArray[np.int64],
    P: Float64,
    w: Float64,
    log_D: Float64,
    relative: Float64,
    T: float,
    k1: float,
    k2: float,
) -> tuple[Float64, Float64]:
    """Return dL/dz of some rows, (R, D), and what each may err before the projection, (R,)."""
    s = z[picked] @ z.T  # (R, N)
    same = classes[picked][:, None] == classes
    other = ~same
    itself = (np.arange(len(picked)), picked)
    same[itself] = False
    gradient, allowed = np.zeros_like(s), np.zeros(len(picked))
    for log, weight, size, rel in (
        (log_D[picked, None], w[picked, None], P[picked, None], relative[picked, None]),
        (log_D, w, P, relative),
    ):
        t = s / T - log
        t[itself] = -np.inf  # at a low T its exponential would be infinite
        p = np.exp(t) * (same + k2 * other)
        q = k1 * np.exp(-s - log) * same if k1 else np.zeros_like(s)
        mean = same / (T * size)
        gradient += weight * (p / T - q - mean)
        allowed += (weight * rel * (p / T + q + mean)).sum(1)
    return gradient @ z, allowed
