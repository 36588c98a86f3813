"""From a batch to its pairs: rows, sets, similarities (INP-4 to INP-8, SUP-1 to SUP-4)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.spec import contract

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """A batch as the formulas see it."""

    z: Float64
    """(N, D): the rows that are compared."""
    norms: Float64
    """(N,): ||x_i||; infinite for a zero row, which has gradient 0; 1 without `normalize`."""
    s: Float64
    """(N, N): similarities z_i . z_j."""
    positives: Bool
    """(N, N): whether j is in P(i)."""
    negatives: Bool
    """(N, N): whether j is in N(i)."""

    @property
    def is_anchor(self) -> Bool:
        """(N,): whether P(i) is not empty (SUP-7)."""
        return np.asarray(self.positives.any(axis=1))

    @property
    def positive_count(self) -> Float64:
        """(N,): |P(i)|, or 1 where that is 0, so that it can divide."""
        return np.asarray(np.maximum(self.positives.sum(axis=1), 1), dtype=np.float64)


def make_pairs(embeddings: NDArray[Any], labels: Any, *, normalize: bool) -> Pairs:
    """Read a checked batch; a NaN or an infinity anywhere makes every similarity NaN (NUM-12)."""
    x = np.asarray(embeddings, dtype=np.float64).reshape(-1, embeddings.shape[-1])
    z, norms = unit_rows(x) if normalize else (x, np.ones(len(x)))
    with np.errstate(invalid="ignore", over="ignore"):
        s = z @ z.T if np.isfinite(x).all() else np.full((len(x), len(x)), np.nan)
    classes = row_labels(embeddings.shape, labels)
    same = classes[:, None] == classes[None, :]
    return Pairs(z, norms, s, same & ~np.eye(len(x), dtype=bool), ~same)


def unit_rows(x: Float64) -> tuple[Float64, Float64]:
    """Return x_i/||x_i|| and ||x_i||, scaled by powers of two against over- and underflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        _, exponents = np.frexp(np.abs(x).max(axis=1, keepdims=True))
        scaled = np.ldexp(x, -exponents)
        lengths = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
        norms = np.ldexp(lengths, exponents)
        is_zero = norms < contract.MIN_NORM
        z = np.where(is_zero, 0.0, scaled / lengths)
    return z, np.where(is_zero, np.inf, norms)[:, 0]


def row_labels(shape: tuple[int, ...], labels: Any) -> NDArray[Any]:
    """Return the class of each of the N rows; samples without labels are their own class."""
    if labels is None:
        classes = np.arange(shape[0])
    elif isinstance(labels, np.ndarray):
        classes = labels
    else:
        classes = np.asarray(contract.signed_labels(labels), dtype=np.int64)
    return np.repeat(classes, shape[1]) if len(shape) == 3 else classes


def describe(value: Any) -> contract.Array | None:
    """Describe a NumPy array for the contract; a scalar array's value costs nothing to read."""
    if not isinstance(value, np.ndarray):
        return None
    is_number = value.shape == () and value.dtype.name in contract.COMPUTE_DTYPES
    return contract.Array(value.dtype.name, value.shape, None, float(value) if is_number else None)
