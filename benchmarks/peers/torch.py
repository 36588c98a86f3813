"""Dense SupCon and TCL in PyTorch: lean, in the steps of two well-known releases, and installed.

The formulas are written from their descriptions; no line is copied.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tuned_contrastive.spec import contract


def supcon(embeddings: Tensor, labels: Tensor, temperature: Tensor | float) -> Tensor:
    """Return the lean dense SupCon: one product, one mask, a detached maximum."""
    return tcl(embeddings, labels, temperature, 0.0, contract.K2)


def tcl(
    embeddings: Tensor,
    labels: Tensor,
    temperature: Tensor | float,
    k1: Tensor | float,
    k2: Tensor | float,
) -> Tensor:
    """Return the lean dense TCL."""
    z = normalize(embeddings.float())
    s = z @ z.T
    positives = labels[:, None] == labels
    positives.fill_diagonal_(False)
    sizes = positives.sum(1)
    t = (s / temperature).fill_diagonal_(-torch.inf)
    M = t.detach().amax(1, keepdim=True)
    e = (t - M).exp()
    if isinstance(k2, Tensor) or k2 != 1:
        e = torch.where(positives, e, k2 * e)
    D = e.sum(1)
    if isinstance(k1, Tensor) or k1 != 0:
        D = D + k1 * torch.where(positives, (-s - M).exp(), 0).sum(1)
    mean = torch.where(positives, s, 0).sum(1) / sizes.clamp(min=1) / temperature
    anchors = sizes > 0
    losses = torch.where(anchors, M[:, 0] + D.log() - mean, 0)
    return losses.sum() / anchors.sum().clamp(min=1)


def as_in_supcontrast(
    embeddings: Tensor, labels: Tensor, temperature: Tensor | float = contract.TEMPERATURE
) -> Tensor:
    """Return SupCon in the steps of SupContrast's SupConLoss, one view, without its T/0.07.

    Features (B, V, D) become one contrast set; similarities over T, the row maximum detached and
    subtracted; a float mask of equal labels and one without the diagonal, both N x N; exponentials
    times the second; log-probabilities of every pair; their mean over the first; the mean over all
    anchors, in which one without a positive counts as 0.
    """
    features = normalize(embeddings).unsqueeze(1)  # (B, 1, D)
    count, views = features.shape[:2]
    same = torch.eq(labels.view(-1, 1), labels.view(1, -1)).float()
    contrast = torch.cat(torch.unbind(features, dim=1), dim=0)
    scores = torch.div(torch.matmul(contrast, contrast.T), temperature)
    largest, _ = torch.max(scores, dim=1, keepdim=True)
    scores = scores - largest.detach()
    same = same.repeat(views, views)
    others = torch.ones_like(same)
    others.fill_diagonal_(0)
    same = same * others
    terms = torch.exp(scores) * others
    log_probabilities = scores - torch.log(terms.sum(1, keepdim=True))
    sizes = same.sum(1)
    sizes = torch.where(sizes < 1e-6, torch.ones_like(sizes), sizes)
    means = (same * log_probabilities).sum(1) / sizes
    return -means.view(views, count).mean()


def as_in_released_tcl(
    embeddings: Tensor,
    labels: Tensor,
    temperature: Tensor | float = contract.TEMPERATURE,
    k1: Tensor | float = contract.K1,
    k2: Tensor | float = contract.K2,
) -> Tensor:
    """Return TCL in the steps of the authors' release.

    Float masks of positives and of negatives, N x N, and both exponentials of every pair; no
    maximum is subtracted. The denominators, a vector, divide along the columns: mean and gradient
    are those of the row-wise definition, since the masks are symmetric.
    """
    z = normalize(embeddings)
    same = torch.eq(labels.view(-1, 1), labels.view(1, -1)).float()
    positives = same - torch.eye(len(z), device=z.device)
    negatives = 1 - same
    s = torch.matmul(z, z.T)
    attracted = torch.exp(s / temperature)
    repelled = torch.exp(-s)
    D = (
        (attracted * positives).sum(1)
        + k1 * (repelled * positives).sum(1)
        + k2 * (attracted * negatives).sum(1)
    )
    log_probabilities = torch.log(attracted / D)
    means = (log_probabilities * positives).sum(1) / positives.sum(1)
    return -means.mean()


def pytorch_metric_learning(temperature: float) -> Callable[..., Any] | None:
    """Return SupConLoss of pytorch-metric-learning with its own defaults; None if not installed."""
    try:
        from pytorch_metric_learning.losses import SupConLoss
    except ImportError:
        return None
    module = SupConLoss(temperature=temperature)
    return lambda embeddings, labels, **_: module(embeddings, labels)


LEAN: dict[str, Callable[..., Any]] = {"supcon": supcon, "tcl": tcl}
