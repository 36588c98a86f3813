"""One call on its way through the steps of `Plain`, and what its arrays need."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.conformance.protocol import Case
from tuned_contrastive.spec import contract

Array = NDArray[Any]


@dataclass
class Batch:
    """One call on its way: what the steps have found so far, N rows of D columns."""

    case: Case
    given: dict[str, Any]
    """The parameters, defaults filled in; SupCon has k1 = 0 and k2 = 1."""
    x: Array
    classes: Array = field(init=False)
    z: Array = field(init=False)
    norms: Array = field(init=False)
    s: Array = field(init=False)
    positives: Array = field(init=False)
    negatives: Array = field(init=False)
    log_D: Array = field(init=False)
    losses: Array = field(init=False)
    w: Array = field(init=False)

    @property
    def T(self) -> float:  # noqa: N802 -- the letter of the specification
        """Return the temperature."""
        return float(self.given["temperature"])

    @property
    def k1(self) -> float:
        """Return the weight of the positives' second term."""
        return float(self.given["k1"])

    @property
    def k2(self) -> float:
        """Return the weight of the negatives."""
        return float(self.given["k2"])

    @property
    def counts(self) -> Array:
        """Return |P(i)|, or 1 where that is 0; (N,)."""
        return np.asarray(np.maximum(self.positives.sum(axis=1), 1))

    @property
    def anchors(self) -> Array:
        """Return whether P(i) has a member; (N,)."""
        return np.asarray(self.positives.any(axis=1))


def rounded(values: Array, dtype: str) -> Array:
    """Return float32 values rounded to a half dtype, to nearest even, as float32."""
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    bits = values.astype(np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return np.asarray(nearest.astype(np.uint32).view(np.float32))


def describe(value: Any) -> contract.Array | None:
    """Describe a NumPy array to the contract."""
    if not isinstance(value, np.ndarray):
        return None
    readable = value.shape == () and value.dtype.name in contract.COMPUTE_DTYPES
    return contract.Array(value.dtype.name, value.shape, None, float(value) if readable else None)
