"""Sources and implementations, right and wrong, that the self-test of the command judges."""

from dataclasses import replace

import numpy as np

from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.protocol import Capabilities, Case, Outcome

PLAIN_SUPCON = """
import torch


def supcon(embeddings, labels, *, temperature=0.1, normalize=True, reduction="mean"):
    x = embeddings
    if normalize:
        largest = x.detach().abs().amax(dim=1, keepdim=True)
        y = x / torch.where(largest > 0, largest, 1.0)
        zero = largest * y.detach().norm(dim=1, keepdim=True) < 1e-12
        y = torch.where(zero, 1.0, y)
        x = torch.where(zero, 0.0, y / y.norm(dim=1, keepdim=True))
    s = x @ x.T / temperature
    itself = torch.eye(len(x), dtype=torch.bool)
    positives = (labels[:, None] == labels[None, :]) & ~itself
    count = positives.sum(dim=1)
    others = s.masked_fill(itself, -torch.inf)
    log_D = torch.logsumexp(torch.where(count[:, None] > 0, others, 0.0), dim=1)
    mean = torch.where(positives, s, 0.0).sum(dim=1) / count.clamp(min=1)
    losses = torch.where(count > 0, log_D - mean, 0.0)
    if not torch.isfinite(embeddings).all():
        losses = torch.where(count > 0, torch.nan, losses)
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / (count > 0).sum().clamp(min=1)


class SupCon(torch.nn.Module):
    def __init__(self, temperature=0.1, reduction="mean"):
        super().__init__()
        self.parameters_of_the_loss = dict(temperature=temperature, reduction=reduction)

    def forward(self, features, targets):
        return supcon(features, targets, normalize=False, **self.parameters_of_the_loss)
"""

WRONG_SIGN = PLAIN_SUPCON.replace("log_D - mean", "log_D + mean")

PLAIN_NUMPY = """
import numpy as np
from tuned_contrastive.reference import tcl_loss


def tcl(rows, classes, k1=5000.0, k2=1.0, normalize=True):
    return tcl_loss(rows, classes, k1=k1, k2=k2, normalize=normalize)
"""


class OnlySupcon(NumpyReference):
    """Claims less than the reference can do."""

    name = "only-supcon"
    capabilities = Capabilities(
        losses=frozenset({"supcon"}),
        dtypes=("float64",),
        gradients=frozenset(),
        modes=("eager", "compiled"),
        not_run={"compiled": "there is no compiler"},
    )


class WrongMean(OnlySupcon):
    """Divides the mean by all rows (X4): a plausible fault, at one clause."""

    name = "wrong-mean"

    def loss(self, case: Case) -> Outcome:
        """Return the loss, zeros kept in the mean."""
        outcome = super().loss(case)
        return replace(outcome, loss=outcome.loss * self._factor(case))

    def _factor(self, case: Case) -> float:
        if case.parameters.get("reduction", "mean") != "mean" or case.labels is None:
            return 1.0
        anchors = np.equal.outer(case.labels, case.labels).sum(axis=1) > 1
        return float(anchors.mean())
