"""`NTXentLoss` of pytorch-metric-learning, called as its documentation calls it."""

import numpy as np
from pytorch_metric_learning import losses

from tuned_contrastive.conformance.adapters.pytorch_metric_learning import (
    Call,
    PytorchMetricLearning,
)
from tuned_contrastive.conformance.protocol import Case

ROOM = 2**26
"""The entries that a table of pairs may have here: half a gigabyte of float64."""


class NTXent(PytorchMetricLearning):
    """`NTXentLoss`: one term for each positive pair, reduced over pairs."""

    loss_class = losses.NTXentLoss
    name = "pytorch_metric_learning_ntxent"
    notes = (
        PytorchMetricLearning.notes[0],
        "its terms are of pairs, not of anchors: reduction 'none' is not judged",
        f"not called where its table, positive pairs by negative pairs, exceeds {ROOM} entries",
    )

    def _call(self, case: Case) -> Call:
        entries = _positive_pairs(case) * _negative_pairs(case)
        if entries > ROOM:
            raise MemoryError(f"a table of {entries} entries, several times over")
        return super()._call(case)


implementation = NTXent


def _positive_pairs(case: Case) -> int:
    members = np.unique(np.asarray(case.labels), return_counts=True)[1].tolist()
    return sum(count * (count - 1) for count in members)


def _negative_pairs(case: Case) -> int:
    rows = len(case.embeddings)
    return rows * (rows - 1) - _positive_pairs(case)
