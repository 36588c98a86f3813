"""The losses that are compared, by name, each as f(projections (B, V, E), labels (B,))."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from tuned_contrastive.backends.torch import SupConLoss, TCLLoss
from tuned_contrastive.benchmarks.accuracy.names import CROSS_ENTROPY, TITLES


def view_count(name: str) -> int:
    """Return how many views of a row a loss is given."""
    return 3 if name.endswith("3-views") else 2


def build(name: str, embedding: int, parameters: Mapping[str, float]) -> nn.Module:
    """Return a loss by its name, with the parameters that it has."""
    own: dict[str, Any] = {
        key: parameters[key] for key in ("temperature", "k1", "k2") if key in parameters
    }
    if name == CROSS_ENTROPY:
        return CrossEntropy(parameters["smoothing"])
    if name in ("tcl", "supcon"):
        return TCLLoss(**own) if name == "tcl" else SupConLoss(**own)
    if name.startswith(("tcl-", "simclr")):
        return Unlabelled(TCLLoss(**own) if name.startswith("tcl-") else SupConLoss(**own))
    if name == "ntxent":
        return NTXent(own["temperature"])
    if name == "vicreg":
        return VICReg(parameters["covariance"])
    if name == "barlow-twins":
        return BarlowTwins(parameters["redundancy"])
    if name == "simsiam":
        return SimSiam(embedding)
    raise ValueError(f"loss must be one of {', '.join(TITLES)}, got {name}")


class CrossEntropy(nn.Module):
    """Cross-entropy of logits, every view with its row's label."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss(label_smoothing=smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over rows and views."""
        repeated = labels.repeat_interleave(logits.shape[1])
        return cast(Tensor, self.loss(logits.flatten(0, 1), repeated))


class Unlabelled(nn.Module):
    """A loss of ours without labels: the views of a row are each other's positives."""

    def __init__(self, loss: SupConLoss | TCLLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over all views."""
        return cast(Tensor, self.loss(z))


class NTXent(nn.Module):
    """NT-Xent of pytorch-metric-learning; the views of a row share a number as their label."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        from pytorch_metric_learning.losses import NTXentLoss

        self.loss = NTXentLoss(temperature=temperature)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over all pairs of views of a row."""
        rows = torch.arange(len(z)).repeat_interleave(z.shape[1])
        return cast(Tensor, self.loss(z.flatten(0, 1), rows))


class VICReg(nn.Module):
    """VICReg of pytorch-metric-learning, invariance and variance weighted by 25."""

    def __init__(self, covariance: float) -> None:
        super().__init__()
        from pytorch_metric_learning.losses import VICRegLoss

        self.loss = VICRegLoss(covariance_v=covariance)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the two views."""
        return cast(Tensor, self.loss(z[:, 0], ref_emb=z[:, 1]))


class BarlowTwins(nn.Module):
    """Barlow Twins: the cross-correlation C of two views' columns is drawn to the identity.

    sum_a (1 - C_aa)^2 + redundancy * sum_(a != b) C_ab^2, columns standardised over the batch.

    References
    ----------
    J. Zbontar et al., "Barlow Twins", ICML 2021, equations 1 and 2.
    """

    def __init__(self, redundancy: float) -> None:
        super().__init__()
        self.redundancy = redundancy

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the two views."""
        centred = z - z.mean(0)
        first, second = (centred / (centred.std(0, correction=0) + 1e-6)).unbind(1)
        correlation = first.T @ second / len(z)
        on = correlation.diagonal()
        off = correlation.square().sum() - on.square().sum()
        return (1 - on).square().sum() + self.redundancy * off


class SimSiam(nn.Module):
    """SimSiam: a predictor on each view finds the other, through which no gradient flows.

    The paper's projection ends in a batch normalisation, which the head that all losses share has
    not: it stands here, without parameters. The paper keeps the predictor's learning rate fixed;
    here it falls with the rest.

    References
    ----------
    X. Chen and K. He, "Exploring Simple Siamese Representation Learning", CVPR 2021, equation 2.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        hidden = max(embedding // 4, 1)
        self.normalise = nn.BatchNorm1d(embedding, affine=False)
        self.predictor = nn.Sequential(
            nn.Linear(embedding, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, embedding),
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return minus the mean cosine of prediction and view, in [-1, 1]."""
        views = [self.normalise(view) for view in z.unbind(1)]
        found = [self.predictor(view) for view in views]
        cosine = nn.functional.cosine_similarity
        pairs = ((found[0], views[1]), (found[1], views[0]))
        return -sum((cosine(p, v.detach(), dim=1).mean() for p, v in pairs), z.new_zeros(())) / 2
