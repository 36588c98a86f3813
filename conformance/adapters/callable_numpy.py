"""A bare NumPy function: its values alone can be judged."""

from typing import Any

import numpy as np

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.adapters.callable import Bare
from tuned_contrastive.conformance.protocol import Case, Float64, Outcome
from tuned_contrastive.spec import contract


class BareNumpy:
    """A NumPy function: its values alone can be judged."""

    def __init__(self, bare: Bare) -> None:
        if bare.device != "cpu" or "bfloat16" in bare.capabilities.dtypes:
            raise ValueError("NumPy has the cpu alone, and no bfloat16")
        self.bare = bare
        self.name = bare.name
        self.capabilities = bare.capabilities
        self.notes = bare.notes

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        rows = given = self.bare.rows(case).astype(case.dtype)
        labels = None if case.labels is None else case.labels.copy()
        if self.bare.unit_input and case.parameters.get("normalize", True):
            given = _unit_rows(rows)
        kinds = (np.ndarray, np.generic, float, int)
        found = self.bare(case, given, labels)
        value = np.asarray(self.bare.returned(found, "a NumPy array or a number", *kinds))
        losses = self.bare.losses(value.astype(np.float64), case)
        left = intact(case, rows, labels)
        return Outcome(losses, loss_dtype=str(value.dtype), intact=left)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Refuse: a bare NumPy function has no gradients."""
        raise TypeError(
            f"{self.name} must offer gradients to be asked for them, got a bare function"
        )


implementation = BareNumpy


def _unit_rows(rows: Any) -> Any:
    """Return SUP-1 and SUP-2, scaled so that squares neither overflow nor underflow."""
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    short = norms * largest < contract.MIN_NORM
    return np.where(short, 0, scaled / np.where(short, 1, norms))
