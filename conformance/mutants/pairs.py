"""Wrong rows, labels and sets (INP-3 to INP-8, INP-25, INP-27, SUP-1 to SUP-4, LAW-11)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from dataclasses import replace

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.formula import VALUE
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome

NO_GRADIENT = claims(gradients=frozenset())


class OneNumberIsAScalar(Plain):
    """A batch of one row and one column is taken for a scalar."""

    breaks = "INP-3"
    capabilities = NO_GRADIENT

    def read_rows(self, case: Case) -> Array:
        rows = super().read_rows(case)
        return np.squeeze(rows)[:, None] if rows.size == 1 else rows


class LabelsTiled(Plain):
    """Labels are repeated batch by batch, as if the views were concatenated."""

    breaks = "INP-4"
    capabilities = claims(losses=frozenset({"tcl"}), unlabelled=False)

    def read_classes(self, case: Case) -> Array:
        views = case.embeddings.shape[1] if case.embeddings.ndim == 3 else 1
        return super().read_classes(case) if case.labels is None else np.tile(case.labels, views)


class FalseIsNoClass(Plain):
    """A boolean label of False is read as having no class."""

    breaks = "INP-5"
    capabilities = NO_GRADIENT

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        return positives & (b.classes if b.classes.dtype == bool else True), negatives


class ListsAreSorted(Plain):
    """A list of labels is sorted on its way to an array."""

    breaks = "INP-6"
    capabilities = claims(features=frozenset({"native-labels"}), inputs=frozenset())

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        labels = np.sort(case.labels) if kind == "list" and case.labels is not None else case.labels
        return super().loss_with_labels_as(kind, replace(case, labels=labels))


class Labels32(Plain):
    """Labels are cast to 32 bits."""

    breaks = "INP-7"
    capabilities = NO_GRADIENT

    def read_classes(self, case: Case) -> Array:
        return super().read_classes(case).astype(np.int32)


class LabelsInFloat32(Plain):
    """A restored module leaves the labels as Keras' loop casts them."""

    breaks = "INP-27"
    capabilities = claims(
        dtypes=("float32",), modes=("eager", "restored"), features=frozenset({"keras"})
    )

    def read_classes(self, case: Case) -> Array:
        classes = super().read_classes(case)
        return classes.astype(np.float32) if case.mode == "restored" else classes


class FirstViewLabelled(Plain):
    """Labels are not repeated: they are the first view's, and any other is its own class."""

    breaks = "INP-4"
    capabilities = claims(losses=frozenset({"tcl"}), unlabelled=False)

    def read_classes(self, case: Case) -> Array:
        _, classes = np.unique(super().read_classes(case), return_inverse=True)
        views = case.embeddings.shape[1] if case.embeddings.ndim == 3 else 1
        rows = np.arange(len(classes))
        return np.where(rows % views == 0, classes, len(classes) + rows)


class EveryViewIsAClass(Plain):
    """Without labels every view is its own class."""

    breaks = "INP-8"
    capabilities = claims(losses=frozenset({"tcl"}))

    def read_classes(self, case: Case) -> Array:
        classes = super().read_classes(case)
        return np.arange(len(classes)) if case.labels is None else classes


class NormalisesInPlace(Plain):
    """A small batch is normalised where it lies, in the caller's memory."""

    breaks = "INP-25"
    capabilities = claims(dtypes=("float16",), inputs=frozenset())

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        z, norms = super().normalise(b)
        if len(b.x) < 8:
            b.case.embeddings[...] = z.reshape(b.case.embeddings.shape)
        return z, norms


class NeverNormalised(Plain):
    """The rows are compared as they are, whatever `normalize` says."""

    breaks = "SUP-1"
    capabilities = VALUE

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        return self.unnormalised(b)


class ZeroRowsDividedByEpsilon(Plain):
    """The gradient of a zero row is divided by the smallest norm, not 0."""

    breaks = "SUP-2"
    capabilities = claims()

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        z, norms = super().normalise(b)
        return z, np.minimum(norms, np.where(np.isinf(norms), 1e-12, norms))


class AlwaysNormalised(Plain):
    """The rows are normalised, whatever `normalize` says."""

    breaks = "SUP-3"
    capabilities = VALUE

    def unnormalised(self, b: Batch) -> tuple[Array, Array]:
        return self.normalise(b)


class AnchorInTheDenominator(Plain):
    """The anchor itself is one of its negatives."""

    breaks = "SUP-4"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        return positives, negatives | np.eye(len(b.x), dtype=bool)


class SumOverSamples(Plain):
    """The sum of views is over samples, the views of each being averaged."""

    breaks = "INP-4"
    capabilities = VALUE

    def reduce(self, b: Batch) -> Array:
        loss = super().reduce(b)
        per_sample = b.given["reduction"] == "sum" and b.case.embeddings.ndim == 3
        return np.asarray(loss / b.case.embeddings.shape[1]) if per_sample else loss


class RawViewsNormalised(Plain):
    """Views are normalised, whatever `normalize` says."""

    breaks = "INP-4"
    capabilities = VALUE

    def unnormalised(self, b: Batch) -> tuple[Array, Array]:
        return self.normalise(b) if b.case.embeddings.ndim == 3 else super().unnormalised(b)


class SignsOfLabelsLost(Plain):
    """A label and its negative are one class."""

    breaks = "INP-5"
    capabilities = VALUE

    def read_classes(self, case: Case) -> Array:
        return np.asarray(np.abs(super().read_classes(case)))


class HundredClasses(Plain):
    """There are a hundred classes, as of ImageNet-100: what is above is the last one."""

    breaks = "LAW-11"
    capabilities = VALUE

    def sets(self, b: Batch) -> tuple[Array, Array]:
        b.classes = np.minimum(np.unique(b.classes, return_inverse=True)[1], 99)
        return super().sets(b)
