"""`NTXentLoss` of lightly, called as its documentation calls it."""

from lightly.loss import NTXentLoss
from torch import Tensor

from tuned_contrastive.conformance.adapters.two_views import NOTE, TwoViews


class Lightly(TwoViews):
    """`NTXentLoss(temperature)(out0, out1)`: NT-Xent."""

    name = "lightly"
    notes = (NOTE, "without a memory bank and in one process")

    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views."""
        loss: Tensor = NTXentLoss(temperature)(first, second)
        return loss


implementation = Lightly
