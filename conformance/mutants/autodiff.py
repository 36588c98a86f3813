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
    """A right SupCon as its formula stands, differentiated by autograd; mutants override a step."""

    name = "formula"
    breaks: ClassVar[str] = ""
    capabilities = claims()

    def _loss(self, case: Case, arguments: dict[str, Any]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.mode == "mixed"):
            return self.reduced(arguments)

    def reduced(self, arguments: dict[str, Any]) -> Tensor:
        rows = arguments["embeddings"]
        x = self.read_rows(rows.flatten(0, -2))
        labels = arguments["labels"]
        labels = torch.arange(len(rows)) if labels is None else labels
        labels = self.read_labels(labels).repeat_interleave(len(x) // max(len(rows), 1))
        z = self.normalise(x) if arguments.get("normalize", True) else x
        T = self.temperature(arguments.get("temperature", contract.TEMPERATURE))
        t = self.products(z) / T
        if not torch.isfinite(x).all():  # NUM-12
            t = t * math.nan
        itself = torch.eye(len(x), dtype=torch.bool)
        positives = (labels[:, None] == labels) & ~itself
        count = positives.sum(1)
        losses = self.losses(t, itself, positives, count)
        reduction = arguments.get("reduction", "mean")
        if reduction == "none":
            return losses.reshape(rows.shape[:-1])
        anchors = (count > 0).sum().clamp(min=1)
        return losses.sum() / anchors if reduction == "mean" else losses.sum()

    def read_rows(self, x: Tensor) -> Tensor:
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def read_labels(self, labels: Tensor) -> Tensor:
        return labels

    def normalise(self, x: Tensor) -> Tensor:
        largest = x.detach().abs().amax(1, keepdim=True)
        scaled = x / torch.where(largest > 0, largest, 1)  # whose squares do not overflow
        zero = (largest * scaled.detach().norm(dim=1, keepdim=True)).double() < contract.MIN_NORM
        scaled = torch.where(zero, 1, scaled)
        return torch.where(zero, 0, scaled / scaled.norm(dim=1, keepdim=True))

    def temperature(self, T: Tensor | float) -> Tensor | float:
        return T

    def products(self, z: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # NUM-3
            return z @ z.T

    def losses(self, t: Tensor, itself: Tensor, positives: Tensor, count: Tensor) -> Tensor:
        lonely = count == 0
        others = torch.where(lonely[:, None], 0, t.masked_fill(itself, -math.inf))
        mean = (t * positives).sum(1) / count.clamp(min=1)
        return torch.where(lonely, 0, self.logsumexp(others) - mean)

    def logsumexp(self, t: Tensor) -> Tensor:
        return t.logsumexp(1)


class GatheredRowsDetached(Formula):
    """Of the rows that an anchor is compared with, those after the first eight are detached.

    What is gathered from other processes comes without a gradient.
    """

    breaks = "GRD-3"

    def products(self, z: Tensor) -> Tensor:
        return z @ torch.cat((z[:8], z[8:].detach())).T


class NormalisationDetached(Formula):
    """Normalising is detached: the gradient in the unit row is taken for that in the row."""

    breaks = "GRD-4"

    def normalise(self, x: Tensor) -> Tensor:
        return super().normalise(x).detach() + (x - x.detach())


class TemperatureDetached(Formula):
    """A learnable temperature is read as a number: its gradient is 0."""

    breaks = "GRD-6"

    def temperature(self, T: Tensor | float) -> Tensor | float:
        return T.detach() + 0 * T if isinstance(T, Tensor) else T


class NaNBehindWhere(Formula):
    """Behind the 0 of a row without a positive stands NaN, and so its gradient is NaN."""

    breaks = "SUP-7"

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
    """The sums over a row are made in float16."""

    breaks = "NUM-14"
    capabilities = IN_FLOAT32

    def logsumexp(self, t: Tensor) -> Tensor:
        return t.half().logsumexp(1).to(t.dtype)


class ComputedInFloat32(Formula):
    """Rows of every dtype are converted to float32 first, float64 ones, too."""

    breaks = "NUM-1"

    def read_rows(self, x: Tensor) -> Tensor:
        return x.float()


class HalfRowsInHalf(Formula):
    """Half rows are computed in half, as an operation does that is not told otherwise."""

    breaks = "NUM-2"
    capabilities = claims(dtypes=("bfloat16",))

    def read_rows(self, x: Tensor) -> Tensor:
        return x


class ProductsUnderAutocast(Formula):
    """Under automatic mixed precision products are left to it."""

    breaks = "NUM-3"
    capabilities = claims(
        dtypes=("float32",), modes=("eager", "mixed"), features=frozenset({"mixed-precision"})
    )

    def products(self, z: Tensor) -> Tensor:
        return z @ z.T


class LabelsMergedInFloat32(Formula):
    """Labels are compared as float32, where those above 2^24 meet."""

    breaks = "INP-7"

    def read_labels(self, labels: Tensor) -> Tensor:
        return labels.float()
