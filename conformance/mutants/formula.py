"""Wrong losses of the anchors and wrong reductions (SUP-5 to SUP-11, TCL-1 to TCL-5)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from dataclasses import replace
from typing import Any

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case

VALUE = claims(losses=frozenset({"supcon", "tcl"}), gradients=frozenset())
"""The value alone: the gradient of a wrong loss is the right gradient of another function."""
TCL = claims(losses=frozenset({"tcl"}), gradients=frozenset())


class LogOfTheMean(Plain):
    """The mean over the positives stands inside the logarithm: L_in (X8)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def mean_of_positives(self, b: Batch) -> Array:
        terms = np.where(b.positives, b.s / b.T, -np.inf)
        M = np.where(b.anchors, terms.max(axis=1), 0)
        return np.asarray(M + np.log(np.exp(terms - M[:, None]).sum(axis=1) / b.counts))


class CountedTwice(Plain):
    """The sum over the positives is divided by |P(i)| twice (X3)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return super().anchor_losses(b) / b.counts


class BaseTemperature(Plain):
    """The loss is multiplied by T/0.07, as in released code (X1)."""

    breaks = "SUP-6"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        return super().anchor_losses(b) * b.T / 0.07


class LonelyRowsLeftOut(Plain):
    """A row without a positive is left out of the batch, as a negative of the others too."""

    breaks = "SUP-7"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        return positives, negatives & positives.any(axis=1)


class ZerosInTheMean(Plain):
    """The mean divides by N, the zeros of rows without a positive among them (X4)."""

    breaks = "SUP-8"
    capabilities = VALUE

    def divisor(self, b: Batch) -> Any:
        return len(b.x)


class EmptyMean(Plain):
    """The mean over no anchors is 0/0."""

    breaks = "SUP-9"
    capabilities = VALUE

    def divisor(self, b: Batch) -> Any:
        return np.float64(b.anchors.sum())


class SumIsTheMean(Plain):
    """The sum is divided by the number of anchors."""

    breaks = "SUP-10"
    capabilities = VALUE

    def reduce(self, b: Batch) -> Array:
        loss = super().reduce(b)
        return loss / self.divisor(b) if b.given["reduction"] == "sum" else loss


class OnlyAnchors(Plain):
    """Unreduced losses leave out the rows without a positive."""

    breaks = "SUP-11"
    capabilities = VALUE

    def reduce(self, b: Batch) -> Array:
        return b.losses[b.anchors] if b.given["reduction"] == "none" else super().reduce(b)


class PositiveK1Exponent(Plain):
    """The k1 term grows with the similarity: exp(s) for exp(-s)."""

    breaks = "TCL-1"
    capabilities = TCL

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        first, second, third = super().exponents(b)
        return first, np.where(b.positives, second + 2 * b.s, -np.inf), third


class TemperatureInK1(Plain):
    """The k1 term is divided by the temperature: exp(-s/T) (X15)."""

    breaks = "TCL-2"
    capabilities = TCL

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        first, _, third = super().exponents(b)
        return first, np.where(b.positives, np.log(b.k1) - b.s / b.T, -np.inf), third


class DenominatorOfThePositive(Plain):
    """Each positive is divided by its own denominator, the column's for the row's (X14)."""

    breaks = "TCL-3"
    capabilities = TCL

    def anchor_losses(self, b: Batch) -> Array:
        columns = np.where(b.positives, b.log_D[None, :], 0).sum(axis=1) / b.counts
        return np.where(b.anchors, columns - self.mean_of_positives(b), 0)


class K1OnEverything(Plain):
    """k1 weighs the negatives too."""

    breaks = "TCL-4"
    capabilities = TCL

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        first, second, third = super().exponents(b)
        return first, np.where(b.negatives, np.log(b.k1) - b.s, second), third


class NoZeroWeights(Plain):
    """A weight of 0 becomes a small one, so that it has a logarithm."""

    breaks = "TCL-5"
    capabilities = TCL

    def forward(self, case: Case) -> Batch:
        given = {**case.parameters}
        given |= {name: given[name] or 1e-6 for name in ("k1", "k2") if name in given}
        return super().forward(replace(case, parameters=given))


class LogOfTheSum(Plain):
    """The positives are added inside the logarithm: -log of their share of the sum (X8)."""

    breaks = "SUP-5"
    capabilities = VALUE

    def mean_of_positives(self, b: Batch) -> Array:
        return np.asarray(np.log(np.where(b.positives, np.exp(b.s / b.T), 0).sum(axis=1)))
