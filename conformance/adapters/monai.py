"""`ContrastiveLoss` of MONAI, called as its documentation calls it."""

from monai.losses import ContrastiveLoss
from torch import Tensor

from tuned_contrastive.conformance.adapters.two_views import TwoViews


class Monai(TwoViews):
    """`ContrastiveLoss(temperature)(input, target)`: NT-Xent."""

    name = "monai"

    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views."""
        loss: Tensor = ContrastiveLoss(temperature)(first, second)
        return loss


implementation = Monai
