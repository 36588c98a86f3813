"""Responses measured on given embeddings: how they are distributed, by the pair's similarity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.benchmarks.processes import UsageError
from tuned_contrastive.reference import Response, responses
from tuned_contrastive.spec import contract

Document = dict[str, Any]
PERCENTILES = (10.0, 50.0, 90.0)
LOSSES = ("supcon", "tcl")
EDGES = (-1, -0.5, 0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995,
         0.9998, 0.9999, 1)  # fmt: skip
"""Of the bins: narrower towards 1, where trained encoders put most positives."""
FEWEST = 20
"""Pairs of a bin whose percentiles are drawn; fewer would look like any other."""


def hardness(
    embeddings: NDArray[Any],
    labels: Any = None,
    *,
    temperature: float = contract.TEMPERATURE,
    k1: float = contract.K1,
    k2: float = contract.K2,
    batch_size: int | None = None,
    edges: Sequence[float] = EDGES,
) -> Document:
    """Measure dl_i/ds_ij of both losses for every pair of an anchor, binned by similarity.

    Parameters
    ----------
    embeddings, labels, temperature, k1, k2
        As for `tcl_loss`, with its errors.
    batch_size : int, optional
        Samples of a batch, taken in the order given; a last batch that is not full is left out.
        None makes one batch of all: responses depend on its size.
    edges : sequence of float
        Of the bins of similarity, rising from -1 to 1.

    Returns
    -------
    dict
        ``setting``, ``edges`` and, under ``positive`` and ``negative``: ``count``
        (bins), and under ``supcon`` and ``tcl`` the 10th, 50th and 90th percentile of the
        responses of each bin, (3, bins), None where it is empty, and ``share above 0`` of all
        pairs. Numbers and lists only, as JSON has them.

    Raises
    ------
    TypeError, ValueError
        As `tcl_loss`; ValueError for a `batch_size` of fewer than 1 or more than all samples, and
        for other edges.

    Examples
    --------
    Orthonormal rows: every positive has SupCon's response (1/3 - 1)/T, every negative (1/3)/T.

    >>> import numpy as np
    >>> measured = hardness(np.eye(4), [0, 0, 1, 1], temperature=0.5, edges=(-1, 1))
    >>> for kind in ("positive", "negative"):
    ...     print(round(measured[kind]["supcon"]["percentiles"][1][0], 9))
    -1.333333333
    0.666666667
    """
    size = len(embeddings) if batch_size is None else batch_size
    if not 1 <= size <= len(embeddings):
        raise ValueError(f"batch_size must be 1 to {len(embeddings)}, got {batch_size}")
    limits = np.asarray(edges, dtype=np.float64)
    if len(limits) < 2 or limits[0] != -1 or limits[-1] != 1 or not (np.diff(limits) > 0).all():
        raise ValueError(f"edges must rise from -1 to 1, got {edges}")
    parameters: Document = {"temperature": temperature, "k1": k1, "k2": k2}
    found = [
        responses(
            embeddings[start : start + size],
            None if labels is None else labels[start : start + size],
            **parameters,
        )
        for start in range(0, len(embeddings) - size + 1, size)
    ]
    setting = {**parameters, "batch_size": size, "batches": len(found)}
    return {
        "setting": setting,
        "edges": limits.tolist(),
        "positive": _binned(found, "positives", limits),
        "negative": _binned(found, "negatives", limits),
    }


def read(file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the arrays `embeddings` and `labels` of an .npz file."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = arrays["embeddings"], arrays["labels"]
            if not all(array.ndim for array in found):
                raise ValueError("they must have rows")
            return found
    except (OSError, ValueError, KeyError, AttributeError) as error:
        message = f"{file} must be an .npz file with the arrays embeddings and labels"
        raise UsageError(message) from error


def about(file: Path) -> str:
    """Return what an .npz file says of its embeddings in the array `about`, or nothing."""
    with np.load(file, allow_pickle=False) as arrays:
        return str(arrays["about"]) if "about" in arrays else ""


def _binned(found: list[Response], kind: str, edges: NDArray[np.float64]) -> Document:
    """Put the pairs of one kind into bins; a similarity rounded past 1 belongs to the last."""
    # A row without a positive is no anchor, and its pairs have no response.
    masks = [getattr(each, kind) & each.positives.any(axis=1, keepdims=True) for each in found]
    s = np.concatenate([each.similarities[mask] for each, mask in zip(found, masks, strict=True)])
    bin_of = np.clip(np.searchsorted(edges, s, side="right") - 1, 0, len(edges) - 2)
    binned: Document = {"count": np.bincount(bin_of, minlength=len(edges) - 1).tolist()}
    for loss in LOSSES:
        values = np.concatenate(
            [getattr(each, loss)[mask] for each, mask in zip(found, masks, strict=True)]
        )
        columns = [values[bin_of == number] for number in range(len(edges) - 1)]
        table = [
            np.percentile(column, PERCENTILES).tolist() if len(column) else [None] * 3
            for column in columns
        ]
        binned[loss] = {
            "percentiles": [list(line) for line in zip(*table, strict=True)],
            "share above 0": float((values > 0).mean()) if len(values) else None,
        }
    return binned
