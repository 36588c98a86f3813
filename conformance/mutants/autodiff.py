"""SupCon in plain PyTorch operations, and faults of its automatic derivatives and its dtypes.

What autograd makes of a detached tensor or of a sum in half precision is what a user would meet.
"""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from tuned_contrastive.conformance.adapters.torch import Torch
from tuned_contrastive.conformance.mutants.plain import claims
from tuned_contrastive.conformance.protocol import Case
from tuned_contrastive.spec import contract

IN_FLOAT32 = claims(dtypes=("float32",))


class Formula(Torch):
    """SupCon as its formula stands, differentiated by autograd; a mutant overrides one step."""

    name = "formula"
    breaks: ClassVar[str] = ""
    capabilities = claims()

    def _loss(self, case: Case, arguments: dict[str, Any]) -> Tensor:
        rows = arguments["embeddings"]
        x = rows.flatten(0, -2)
        labels = arguments["labels"]
        labels = torch.arange(len(rows)) if labels is None else labels
        labels = labels.repeat_interleave(len(x) // max(len(rows), 1))
        z = self.normalise(x) if arguments.get("normalize", True) else x
        T = self.temperature(arguments.get("temperature", contract.TEMPERATURE))
        t = self.products(z) / T
        itself = torch.eye(len(x), dtype=torch.bool)
        positives = (labels[:, None] == labels) & ~itself
        count = positives.sum(1)
        losses = self.losses(t, itself, positives, count)
        reduction = arguments.get("reduction", "mean")
        if reduction == "none":
            return losses.reshape(rows.shape[:-1])
        anchors = (count > 0).sum().clamp(min=1)
        return losses.sum() / anchors if reduction == "mean" else losses.sum()

    def normalise(self, x: Tensor) -> Tensor:
        zero = x.detach().norm(dim=1, keepdim=True) < contract.MIN_NORM
        norm = torch.where(zero, 1, x).norm(dim=1, keepdim=True)
        return torch.where(zero, 0, x / norm)

    def temperature(self, T: Tensor | float) -> Tensor | float:
        return T

    def products(self, z: Tensor) -> Tensor:
        return z @ z.T

    def losses(self, t: Tensor, itself: Tensor, positives: Tensor, count: Tensor) -> Tensor:
        lonely = count == 0
        others = torch.where(lonely[:, None], 0, t.masked_fill(itself, -math.inf))
        mean = (t * positives).sum(1) / count.clamp(min=1)
        return torch.where(lonely, 0, self.logsumexp(others) - mean)

    def logsumexp(self, t: Tensor) -> Tensor:
        return t.logsumexp(1)


class ContrastSideDetached(Formula):
    """The rows that an anchor is compared with are detached."""

    breaks = "GRD-3"

    def products(self, z: Tensor) -> Tensor:
        return z @ z.detach().T


class NormDetached(Formula):
    """The norm is detached."""

    breaks = "GRD-4"

    def normalise(self, x: Tensor) -> Tensor:
        scale = super().normalise(x).norm(dim=1) / x.norm(dim=1).clamp(min=1e-30)
        z: Tensor = x * scale.detach()[:, None]
        return z


class TemperatureDetached(Formula):
    """A learnable temperature is read as a number: its gradient is 0."""

    breaks = "GRD-6"

    def temperature(self, T: Tensor | float) -> Tensor | float:
        return T.detach() + 0 * T if isinstance(T, Tensor) else T


class NaNBehindWhere(Formula):
    """Behind the 0 of a row without a positive stands NaN, and so its gradient is NaN."""

    breaks = "NUM-15"

    def losses(self, t: Tensor, itself: Tensor, positives: Tensor, count: Tensor) -> Tensor:
        mean = (t * positives).sum(1) / count
        loss = self.logsumexp(t.masked_fill(itself, -math.inf)) - mean
        return torch.where(count == 0, 0, loss)


class ProductsInHalf(Formula):
    """Products are made in float16, as an enabled autocast makes them."""

    breaks = "NUM-4"
    capabilities = IN_FLOAT32

    def products(self, z: Tensor) -> Tensor:
        return (z.half() @ z.half().T).to(z.dtype)


class SumsInHalf(Formula):
    """The sums over a row are made in bfloat16."""

    breaks = "NUM-14"
    capabilities = IN_FLOAT32

    def logsumexp(self, t: Tensor) -> Tensor:
        return t.bfloat16().logsumexp(1).to(t.dtype)
