"""A torch loss of two views without labels, given batches in which every class has two rows."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuned_contrastive.conformance.adapters.tensors import outcome
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import Capabilities, Case, Float64, Outcome

CLAIMS = Capabilities(
    losses=frozenset({"supcon"}),
    reductions=("mean",),
    pairs_only=True,
    fixed={"normalize": True, "reduction": "mean"},
    gradients=frozenset({"embeddings"}),
)
NOTE = "it takes two views and no labels: judged where every class has two rows, one in each view"


class TwoViews(ABC):
    """Calls `of_pairs(first, second, temperature)`: row b of `first` is the partner of row b."""

    name = "two_views"
    capabilities = CLAIMS
    notes: tuple[str, ...] = (NOTE,)

    @abstractmethod
    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views, (B, D) each."""

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        rows, loss = self._call(case)
        return outcome(case, rows, None, loss)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        rows, loss = self._call(case)
        arriving = torch.tensor(upstream, dtype=loss.dtype)
        (gradient,) = torch.autograd.grad(loss, [rows], arriving)
        return outcome(case, rows, None, loss, gradient)

    def _call(self, case: Case) -> tuple[Tensor, Tensor]:
        """Return the rows as they are after the call, and the loss."""
        flat = case.embeddings.reshape(-1, case.embeddings.shape[-1])
        rows = torch.tensor(flat, dtype=getattr(torch, case.dtype), requires_grad=True)
        first, second = partners(case).T
        temperature = {**DEFAULTS, **case.parameters}["temperature"]
        return rows, self.of_pairs(rows[first], rows[second], temperature)


def partners(case: Case) -> NDArray[np.int64]:
    """Return the numbers of the two rows of each class; (B, 2)."""
    samples, views = len(case.embeddings), case.embeddings.size // case.embeddings.shape[-1]
    classes: Any = np.arange(samples) if case.labels is None else case.labels
    order = np.argsort(np.repeat(classes, views // samples), kind="stable")
    return order.reshape(-1, 2)
