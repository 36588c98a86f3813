"""`InfoNCE` of info-nce-pytorch as its first example calls it: negatives are the other keys."""

from info_nce import InfoNCE
from torch import Tensor

from tuned_contrastive.conformance.adapters.two_views import NOTE, TwoViews


class OtherKeys(TwoViews):
    """`InfoNCE(temperature)(query, positive_key)`: one view's rows among the other's, one way."""

    name = "info_nce"
    notes = (NOTE, "without negative_keys: the other positive keys are the negatives")

    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views."""
        loss: Tensor = InfoNCE(temperature)(first, second)
        return loss


implementation = OtherKeys
