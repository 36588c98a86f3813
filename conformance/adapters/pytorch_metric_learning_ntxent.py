"""`NTXentLoss` of pytorch-metric-learning, called as its documentation calls it."""

from dataclasses import replace

from pytorch_metric_learning import losses

from tuned_contrastive.conformance.adapters.pytorch_metric_learning import PytorchMetricLearning


class NTXent(PytorchMetricLearning):
    """`NTXentLoss`: one term for each positive pair, reduced over pairs."""

    loss_class = losses.NTXentLoss
    name = "pytorch_metric_learning_ntxent"
    # It holds a table of positive pairs by negative pairs (X25).
    capabilities = replace(PytorchMetricLearning.capabilities, most_rows=128)
    notes = (
        PytorchMetricLearning.notes[0],
        "its terms are of pairs, not of anchors: reduction 'none' is not judged",
    )


implementation = NTXent
