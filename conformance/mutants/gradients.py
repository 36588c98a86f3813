"""Right losses with wrong first derivatives (GRD-1 to GRD-12)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from dataclasses import replace

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome

ONLY_TCL = claims(losses=frozenset({"tcl"}))


class PositivesWithoutK1(Plain):
    """The response of a positive leaves out the k1 term."""

    breaks = "GRD-1"
    capabilities = ONLY_TCL

    def responses(self, b: Batch) -> Array:
        return super().responses(b) + self.shares(b)[1]


class NegativesWithoutK2(Plain):
    """The response of a negative leaves out k2."""

    breaks = "GRD-2"
    capabilities = ONLY_TCL

    def responses(self, b: Batch) -> Array:
        n = self.shares(b)[2]
        return super().responses(b) + n * (1 / b.k2 - 1 if b.k2 else 0) / b.T


class OnlyAsAnchor(Plain):
    """The contrasted rows are detached: a row counts as anchor alone."""

    breaks = "GRD-3"
    capabilities = claims()

    def gradient_in_z(self, b: Batch, responses: Array) -> Array:
        return np.asarray((b.w[:, None] * responses) @ b.z)


class NotProjected(Plain):
    """The norm is taken for a constant: the gradient keeps its part along the row."""

    breaks = "GRD-4"
    capabilities = claims()

    def project(self, b: Batch, g: Array) -> Array:
        return g / b.norms[:, None]


class AlwaysProjected(Plain):
    """The gradient loses its part along the row without `normalize` too."""

    breaks = "GRD-5"
    capabilities = claims()

    def unprojected(self, b: Batch, g: Array) -> Array:
        z, _ = self.normalise(b)
        return np.asarray(g - (g * z).sum(axis=1)[:, None] * z)


class TemperatureWithoutNegatives(Plain):
    """dL/dT leaves out the negatives of D_i."""

    breaks = "GRD-6"
    capabilities = claims()

    def in_temperature(self, b: Batch) -> Array:
        n = self.shares(b)[2]
        return np.asarray(super().in_temperature(b) + (b.w * (n * b.s).sum(axis=1)).sum() / b.T**2)


class LogarithmOfK1(Plain):
    """dL/dk1 is the derivative in log k1."""

    breaks = "GRD-7"
    capabilities = ONLY_TCL

    def in_k1(self, b: Batch) -> Array:
        return np.asarray(super().in_k1(b) * b.k1)


class LogarithmOfK2(Plain):
    """dL/dk2 is the derivative in log k2."""

    breaks = "GRD-8"
    capabilities = ONLY_TCL

    def in_k2(self, b: Batch) -> Array:
        return np.asarray(super().in_k2(b) * b.k2)


class ThroughTheLogarithm(Plain):
    """dL/dk1 is that of the share of k1, divided by k1: NaN at 0."""

    breaks = "GRD-9"
    capabilities = ONLY_TCL

    def in_k1(self, b: Batch) -> Array:
        return np.asarray(super().in_k1(b) * np.divide(b.k1, b.k1))


class UpstreamIgnored(Plain):
    """The gradient of a reduced loss is that of an upstream gradient of 1."""

    breaks = "GRD-10"
    capabilities = claims()

    def weights(self, b: Batch, upstream: Array) -> Array:
        is_array = b.given["reduction"] == "none"
        return super().weights(b, upstream if is_array else np.ones_like(upstream))


class UpstreamAveraged(Plain):
    """An upstream gradient with an entry per anchor is replaced by its mean."""

    breaks = "GRD-11"
    capabilities = claims()

    def weights(self, b: Batch, upstream: Array) -> Array:
        return super().weights(b, np.full_like(upstream, upstream.mean()))


class LogitScale(Plain):
    """Without a gradient, a learnable temperature is read as its inverse, a logit scale."""

    breaks = "GRD-12"
    capabilities = claims(features=frozenset({"learnable"}))

    def loss(self, case: Case) -> Outcome:
        T = case.parameters.get("temperature", 0.1)
        scale = {**case.parameters, "temperature": 1 / T}
        return super().loss(replace(case, parameters=scale) if case.learnable else case)
