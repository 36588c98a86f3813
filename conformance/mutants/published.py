"""What published code computes for SupCon, by the specification's codes of deviations."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from typing import Any

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case

VALUE = claims(gradients=frozenset())


class TimesTemperature(Plain):
    """The loss is multiplied by T (X2)."""

    breaks = "SUP-6"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return super().anchor_losses(b) * b.T


class PositiveLossesOnly(Plain):
    """The mean runs over the losses above 0 alone: not over one that rounds to it (X5)."""

    breaks = "SUP-8"
    capabilities = VALUE

    def divisor(self, b: Batch) -> Any:
        return max(int((b.losses > 0).sum()), 1)


class NoNegativeNoLoss(Plain):
    """A batch without a negative has the loss 0 (X6)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return super().anchor_losses(b) * b.negatives.any()


class OwnPositiveOnly(Plain):
    """Of the positives only the pair's own stands in the denominator (X9)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        t = b.s / b.T
        others = np.where(b.negatives, np.exp(t), 0).sum(axis=1)[:, None]
        pairs = np.where(b.positives, np.log(np.exp(t) + others) - t, 0)
        return np.asarray(pairs.sum(axis=1) / b.counts)


class MeanOverPairs(Plain):
    """The mean runs over the positive pairs: a large class counts for more (X10)."""

    breaks = "SUP-8"
    capabilities = VALUE

    def reduce(self, b: Batch) -> Array:
        if b.given["reduction"] != "mean":
            return super().reduce(b)
        pairs = b.positives.sum(axis=1)
        return np.asarray((b.losses * pairs).sum() / max(int(pairs.sum()), 1))


class EpsilonInTheLogarithm(Plain):
    """1e-6 is added inside the logarithm, so that it is never that of 0 (X12)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def log_denominator(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        M = self.maximum(b, terms)
        total = np.sum([np.exp(term - M[:, None]).sum(axis=1) for term in terms], axis=0)
        return np.asarray(M + np.log(total + 1e-6))


class BothDirections(Plain):
    """The losses of both directions are added: a factor of 2 (X13)."""

    breaks = "SUP-6"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return super().anchor_losses(b) * 2


class MaskOfTheFirstCall(Plain):
    """The masks are kept from the first batch of a size, whatever the labels of the next (X16)."""

    breaks = "SUP-4"
    capabilities = VALUE

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Array, Array]] = {}

    def sets(self, b: Batch) -> tuple[Array, Array]:
        return self.kept.setdefault(len(b.x), super().sets(b))


class OwnTermSubtracted(Plain):
    """exp(1/T) leaves a sum over all rows, where the anchor's own term hides the others."""

    breaks = "NUM-10"
    capabilities = VALUE

    def log_denominator(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        return np.asarray(np.log(np.exp(b.s / b.T).sum(axis=1) - np.exp(1 / b.T)))


class CappedPositivesLeave(Plain):
    """At most two positives are kept, and the others leave the denominator too (X20)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        return positives & (positives.cumsum(axis=1) <= 2), negatives


class NaNWithoutAPositive(Plain):
    """A row without a positive divides by their number, 0: the batch has no loss (X7)."""

    breaks = "SUP-7"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return np.where(b.anchors, super().anchor_losses(b), np.nan)


class AnchorIsItsPositive(Plain):
    """The anchor is one of its own positives, in the mean and in the denominator (X11)."""

    breaks = "SUP-4"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        return positives | np.eye(len(b.x), dtype=bool), negatives


class SmallNormsRaised(Plain):
    """Norms below 1e-8 are raised to it: such a row is neither a unit row nor zero (X21)."""

    breaks = "SUP-2"
    capabilities = VALUE

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        norms = np.maximum(np.linalg.norm(b.x, axis=1), 1e-8)
        return b.x / norms[:, None], norms


class OtherViewsAlone(Plain):
    """Rows of the anchor's own view are not among its negatives (X23)."""

    breaks = "SUP-4"
    capabilities = claims(gradients=frozenset(), inputs=frozenset({"views"}))

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        view = np.arange(len(b.x)) % b.case.embeddings.shape[1]
        return positives, negatives & (view[:, None] != view)


class TemperatureInFloat32(Plain):
    """The temperature is kept in float32, whatever the rows are (X24)."""

    breaks = "NUM-1"
    capabilities = VALUE

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "temperature": np.float32(given["temperature"])}


class LastRowDropped(Plain):
    """The last row of an odd batch is dropped, as by whole pairs of views."""

    breaks = "SUP-4"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        kept = np.arange(len(b.x)) < len(b.x) // 2 * 2
        return positives & kept & kept[:, None], negatives & kept


class LabelsInHalf(Plain):
    """Labels are compared as float16, where those above 2048 meet."""

    breaks = "INP-7"
    capabilities = VALUE

    def read_classes(self, case: Case) -> Array:
        return super().read_classes(case).astype(np.float16)
