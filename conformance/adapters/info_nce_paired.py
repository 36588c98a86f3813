"""`InfoNCE` of info-nce-pytorch with all other rows as the negatives of each: NT-Xent."""

import torch
from info_nce import InfoNCE
from torch import Tensor

from tuned_contrastive.conformance.adapters.two_views import NOTE, TwoViews


class AllOtherRows(TwoViews):
    """`InfoNCE(temperature, negative_mode="paired")(rows, partners, all_others)`."""

    name = "info_nce_paired"
    notes = (NOTE, "each row of both views is a query, the rows of all other pairs its negatives")

    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views."""
        queries, keys = torch.cat([first, second]), torch.cat([second, first])
        pair = torch.arange(len(first)).repeat(2)
        elsewhere = (pair[:, None] != pair).nonzero()[:, 1].reshape(len(queries), len(queries) - 2)
        negatives = queries[elsewhere]  # (N, N - 2, D)
        loss: Tensor = InfoNCE(temperature, negative_mode="paired")(queries, keys, negatives)
        return loss


implementation = AllOtherRows
