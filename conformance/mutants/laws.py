"""Shortcuts and stale caches that only a law sees (LAW-1 to LAW-11)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome

RAW = {"normalize": False}
TCL = frozenset({"tcl"})
BOTH = frozenset({"supcon", "tcl"})


def call_key(b: Batch, *left_out: str) -> tuple[object, ...]:
    """Return what tells a call from another but its rows: loss, classes, parameters."""
    kept = sorted((name, value) for name, value in b.given.items() if name not in left_out)
    return b.case.loss, b.classes.tobytes(), *kept


class SupConOnItsOwn(Plain):
    """SupCon has its own code, whose logarithm is taken to base 2."""

    breaks = "LAW-1"
    capabilities = claims(losses=BOTH)

    def log_denominator(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        if b.case.loss == "tcl":
            return super().log_denominator(b, terms)
        M = self.maximum(b, terms)
        return np.asarray(
            M
            + np.log2(
                np.exp(terms[0] - M[:, None]).sum(axis=1)
                + np.exp(terms[2] - M[:, None]).sum(axis=1)
            )
            * np.log(2)
        )


class TwoViewsAtOneTemperature(Plain):
    """The path for two views without labels has its temperature, 0.5, written in."""

    breaks = "LAW-2"
    capabilities = claims()

    def parameters(self, case: Case) -> dict[str, object]:
        two_views = case.labels is None and case.embeddings.shape[1] == 2
        return {**super().parameters(case), **({"temperature": 0.5} if two_views else {})}


class CachedBySet(Plain):
    """Gradients are kept for a batch whatever the order of its rows."""

    breaks = "LAW-3"
    capabilities = claims()

    def __init__(self) -> None:
        self.kept: dict[object, Outcome] = {}

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        b = self.forward(case)
        rows = sorted((x.tobytes(), int(c) % 2**64) for x, c in zip(b.x, b.classes, strict=True))
        key = (case.loss, upstream.tobytes(), *rows, *sorted(b.given.items()))
        return self.kept.setdefault(key, super().gradients(case, upstream))


class HashedLabels(Plain):
    """Labels are hashed into 171043 places, where two classes may meet: those of the law do.

    Those of INP-5 and INP-7 do not, which a smaller table would merge too.
    """

    breaks = "LAW-4"
    capabilities = claims()

    def read_classes(self, case: Case) -> Array:
        return np.asarray(super().read_classes(case).astype(np.int64) % 171043)


class CachedBySimilarities(Plain):
    """The gradient is kept for a batch of the same similarities."""

    breaks = "LAW-5"
    capabilities = claims(fixed=RAW)

    def __init__(self) -> None:
        self.kept: dict[object, Array] = {}

    def gradient_in_z(self, b: Batch, responses: Array) -> Array:
        key = (b.s.tobytes(), b.w.tobytes(), *call_key(b))
        return self.kept.setdefault(key, super().gradient_in_z(b, responses))


class CachedByDirections(Plain):
    """The gradient is kept for rows of the same directions, whatever their lengths."""

    breaks = "LAW-6"
    capabilities = claims(reductions=("sum", "none"))

    def __init__(self) -> None:
        self.kept: dict[object, Array] = {}

    def project(self, b: Batch, g: Array) -> Array:
        key = (np.round(b.z, 12).tobytes(), b.w.tobytes(), *call_key(b))
        return self.kept.setdefault(key, super().project(b, g))


class ProjectionSkipped(Plain):
    """A shortcut for k1 between 50 and 4999 forgets the projection.

    The laws draw such a k1; no ordinary vector, whose gradient cites GRD-4, has one.
    """

    breaks = "LAW-7"
    capabilities = claims(losses=TCL)

    def project(self, b: Batch, g: Array) -> Array:
        return g / b.norms[:, None] if 50 <= b.k1 < 5000 else super().project(b, g)


class LastLossKept(Plain):
    """The last loss is returned again for a call that differs in one parameter."""

    capabilities = claims(fixed=RAW, losses=TCL)
    ignored = ""
    last: tuple[object, Outcome] | None = None

    def loss(self, case: Case) -> Outcome:
        b = self.forward(case)
        key = (b.x.tobytes(), *call_key(b, self.ignored))
        if self.last is None or self.last[0] != key:
            self.last = key, super().loss(case)
        return self.last[1]


class K1NotInTheKey(LastLossKept):
    """A change of k1 alone gives the last loss again."""

    breaks = "LAW-8"
    ignored = "k1"


class K2NotInTheKey(LastLossKept):
    """A change of k2 alone gives the last loss again."""

    breaks = "LAW-9"
    ignored = "k2"


class CollapseWithoutK2(Plain):
    """The shortcut for equal rows and k1 = 0 is log(N - 1), without k2.

    With any k1 it would meet the vectors of equal rows, which cite NUM-8.
    """

    breaks = "LAW-10"
    capabilities = claims(losses=TCL)

    def anchor_losses(self, b: Batch) -> Array:
        collapsed = b.k1 == 0 and (b.x == b.x[0]).all() and b.x.any()
        known = np.where(b.anchors, np.log(max(len(b.x) - 1, 1)), 0)
        return known if collapsed else super().anchor_losses(b)


class OrthonormalWithoutK2(Plain):
    """The shortcut for orthogonal rows is log(|P| (1 + k1) + |N|), without k2."""

    breaks = "LAW-11"
    capabilities = claims(losses=TCL)

    def anchor_losses(self, b: Batch) -> Array:
        known = np.log(b.positives.sum(axis=1) * (1 + b.k1) + b.negatives.sum(axis=1))
        orthogonal = not (b.s * ~np.eye(len(b.x), dtype=bool)).any()
        return np.where(b.anchors, known, 0) if orthogonal else super().anchor_losses(b)
