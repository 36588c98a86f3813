"""Losses of pytorch-metric-learning, called as their documentation calls them."""

from functools import cache
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, reducers
from torch import Tensor

from tuned_contrastive.conformance.adapters.tensors import outcome
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import Capabilities, Case, Float64, Outcome


class PytorchMetricLearning:
    """`SupConLoss` with its own reducers and distances; labels are required, rows are (N, D)."""

    loss_class = losses.SupConLoss
    name = "pytorch_metric_learning"
    capabilities = Capabilities(
        losses=frozenset({"supcon"}),
        reductions=("mean", "sum"),
        inputs=frozenset({"flat"}),
        unlabelled=False,
        gradients=frozenset({"embeddings"}),
    )
    notes: tuple[str, ...] = (
        "reduction is its default reducer or SumReducer, normalize its cosine or dot distance",
        "its per-anchor losses are not judged: DoNothingReducer returns a dictionary, not losses",
    )

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return outcome(case, *self._call(case))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        rows, labels, loss = self._call(case)
        (gradient,) = torch.autograd.grad(loss, [rows], torch.tensor(upstream, dtype=loss.dtype))
        return outcome(case, rows, labels, loss, gradient)

    def _call(self, case: Case) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows and the labels as they are after the call, and the loss."""
        rows = torch.tensor(case.embeddings, dtype=getattr(torch, case.dtype), requires_grad=True)
        given = {**DEFAULTS, **case.parameters}
        module = _module(
            self.loss_class, given["temperature"], given["normalize"], given["reduction"]
        )
        labels = torch.tensor(case.labels)
        return rows, labels, module(rows, labels)


implementation = PytorchMetricLearning


@cache
def _module(loss_class: Any, temperature: float, normalize: bool, reduction: str) -> Any:
    distance = (
        distances.CosineSimilarity()
        if normalize
        else distances.DotProductSimilarity(normalize_embeddings=False)
    )
    chosen = {"sum": {"reducer": reducers.SumReducer()}}.get(reduction, {})
    return loss_class(temperature=temperature, distance=distance, **chosen)
