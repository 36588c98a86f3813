"""TCL with its parameters in the wrong place, and gradients that autodiff would not have given."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from copy import copy
from typing import Any

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome

VALUE = claims(losses=frozenset({"tcl"}), gradients=frozenset())
TCL = claims(losses=frozenset({"tcl"}))


class K1AndK2Swapped(Plain):
    """k1 weighs the negatives, and k2 the positives."""

    breaks = "TCL-1"
    capabilities = VALUE

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "k1": given["k2"], "k2": given["k1"]}


class K2OnPositives(Plain):
    """k2 weighs the first term of the positives, too."""

    breaks = "TCL-1"
    capabilities = VALUE

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        first, second, third = super().exponents(b)
        return first + np.log(b.k2), second, third


class K1OutsideTheLogarithm(Plain):
    """k1 times its term is added to the loss, not inside the logarithm."""

    breaks = "TCL-1"
    capabilities = VALUE

    def anchor_losses(self, b: Batch) -> Array:
        first, second, third = self.exponents(b)
        total = np.exp(first).sum(axis=1) + np.exp(third).sum(axis=1)
        added = np.log(np.where(total > 0, total, 1)) + np.exp(second).sum(axis=1)
        return np.where(b.anchors, added - self.mean_of_positives(b), 0)


class K2Squared(Plain):
    """The weight of a negative is the square of k2."""

    breaks = "TCL-1"
    capabilities = VALUE

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "k2": given["k2"] ** 2}


class NoTemperatureInTheMean(Plain):
    """The mean of the positives is not divided by T."""

    breaks = "SUP-5"
    capabilities = VALUE

    def mean_of_positives(self, b: Batch) -> Array:
        return super().mean_of_positives(b) * b.T


class NoTemperatureInTheDenominator(Plain):
    """Nothing of the denominator is divided by T."""

    breaks = "SUP-5"
    capabilities = VALUE

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        first, second, third = super().exponents(b)
        shift = np.where(b.negatives, b.s - b.s / b.T, 0)
        return np.where(b.positives, b.s, first), second, third + shift


class TemperatureSquared(Plain):
    """Similarities over T are divided by T again; those of the k1 term are not."""

    breaks = "SUP-5"
    capabilities = VALUE

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "temperature": given["temperature"] ** 2}


class ProjectedOnTheRow(Plain):
    """The gradient is projected with the row as it came in place of the unit row."""

    breaks = "GRD-4"
    capabilities = TCL

    def project(self, b: Batch, g: Array) -> Array:
        return np.asarray((g - (g * b.x).sum(axis=1)[:, None] * b.x) / b.norms[:, None])


class TwiceTheGradient(Plain):
    """Every pair is counted for both its rows, and twice."""

    breaks = "GRD-3"
    capabilities = TCL

    def gradient_in_z(self, b: Batch, responses: Array) -> Array:
        return 2 * super().gradient_in_z(b, responses)


class UpstreamSquared(Plain):
    """The arriving gradient is multiplied in twice."""

    breaks = "GRD-10"
    capabilities = TCL

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        return super().gradients(case, upstream * upstream)


class NothingForK1(Plain):
    """dL/dk1 is 0, as if k1 were a number."""

    breaks = "GRD-7"
    capabilities = TCL

    def in_k1(self, b: Batch) -> Array:
        return np.zeros(())


class NothingForK2(Plain):
    """dL/dk2 is 0, as if k2 were a number."""

    breaks = "GRD-8"
    capabilities = TCL

    def in_k2(self, b: Batch) -> Array:
        return np.zeros(())


class TemperatureOfTheMeanOnly(Plain):
    """dL/dT has the mean of the positives alone, without the term of D_i."""

    breaks = "GRD-6"
    capabilities = TCL

    def in_temperature(self, b: Batch) -> Array:
        mean = np.where(b.positives, b.s, 0).sum(axis=1) / b.counts
        return np.asarray((b.w * mean).sum() / b.T**2)


class GradientOfSupCon(Plain):
    """The value is that of TCL, the gradient that of SupCon."""

    breaks = "GRD-1"
    capabilities = TCL

    def responses(self, b: Batch) -> Array:
        plain = copy(b)
        plain.given = {**b.given, "k1": 0.0, "k2": 1.0}
        plain.log_D = self.log_denominator(plain, self.exponents(plain))
        return super().responses(plain)
