"""Wrong dtypes, lost digits, overflow and chance (NUM-1 to NUM-19)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from dataclasses import replace
from typing import Any

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch, rounded
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome

UNIT = {"normalize": True}
RAW = {"normalize": False}


class AlwaysFloat64(Plain):
    """float32 is computed and returned in float64."""

    breaks = "NUM-1"
    capabilities = claims(dtypes=("float32",))

    def read_rows(self, case: Case) -> Array:
        return super().read_rows(case).astype(np.float64)


class GradientInFloat32(Plain):
    """The gradient of half rows stays in float32."""

    breaks = "NUM-2"
    capabilities = claims(dtypes=("float16",))

    def gradient_dtype(self, b: Batch) -> str:
        return "float32"


class MixedProducts(Plain):
    """Under mixed precision the similarities are bfloat16."""

    breaks = "NUM-3"
    capabilities = claims(modes=("eager", "mixed"), features=frozenset({"mixed-precision"}))

    def similarities(self, b: Batch) -> Array:
        s = super().similarities(b)
        return rounded(s, "bfloat16").astype(b.x.dtype) if b.case.mode == "mixed" else s


class ShortProducts(Plain):
    """Products large enough for the matrix units are taken of 11 significant bits, as in TF32."""

    breaks = "NUM-4"
    capabilities = claims(dtypes=("float32",))

    def similarities(self, b: Batch) -> Array:
        if min(b.z.shape) < 24:
            return super().similarities(b)
        mantissa, exponent = np.frexp(b.z)
        short = np.ldexp(np.round(mantissa * 2**11), exponent - 11)
        return np.asarray(short @ short.T)


class TemperatureRaised(Plain):
    """A temperature below 0.01 is raised to it, so that exp(1/T) cannot overflow."""

    breaks = "NUM-5"
    capabilities = claims()

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "temperature": max(given["temperature"], 0.01)}


class NoMaximum(Plain):
    """No maximum is subtracted from the exponents (X19)."""

    breaks = "NUM-5"
    capabilities = claims(fixed=UNIT)

    def maximum(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        return np.zeros(len(b.x))


class K1Clamped(Plain):
    """k1 is clamped to 1e7, but for the values beyond 1e12 of which NUM-19 speaks."""

    breaks = "NUM-6"
    capabilities = claims(losses=frozenset({"tcl"}))

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "k1": min(given["k1"], 1e7)} if given["k1"] <= 1e12 else given


class PlainSquares(Plain):
    """Norms are the roots of plain sums of squares where these overflow (X22).

    Where they underflow, rows of SUP-2 would be wrong too.
    """

    breaks = "NUM-7"
    capabilities = claims()

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        z, norms = super().normalise(b)
        plain = np.sqrt((b.x * b.x).sum(axis=1))
        return z * (norms / plain)[:, None] if np.isinf(plain).any() else z, norms


class ReciprocalFlushed(Plain):
    """Rows are multiplied by one over their largest entry, which a CPU flushes to 0."""

    breaks = "NUM-7"
    capabilities = claims()

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        z, norms = super().normalise(b)
        is_small = np.abs(b.x).max(axis=1) * np.finfo(b.x.dtype).tiny <= 1
        return z * is_small[:, None], norms


class HalfAngles(Plain):
    """Similarities of small batches come from the tangent of half the angle: none at 180 degrees.

    At one temperature, without gradients and views, and in more columns than one: laws and edges
    have opposite rows too.
    """

    breaks = "NUM-8"
    capabilities = claims(
        fixed={**UNIT, "temperature": 0.5, "reduction": "mean"},
        gradients=frozenset(),
        inputs=frozenset({"flat"}),
    )

    def similarities(self, b: Batch) -> Array:
        if b.z.shape[1] == 1 or len(b.z) > 32:
            return super().similarities(b)
        squares = [((b.z[:, None] + sign * b.z) ** 2).sum(axis=2) for sign in (-1, 1)]
        tangent = squares[0] / squares[1]
        return np.asarray((1 - tangent) / (1 + tangent))


class ExponentsClipped(Plain):
    """Exponents are clipped to where float64's exp is finite.

    Without unit rows, whose exponents reach 700 at the temperatures of NUM-5 alone.
    """

    breaks = "NUM-9"
    capabilities = claims(fixed=RAW)

    def similarities(self, b: Batch) -> Array:
        return np.clip(super().similarities(b), -700 * b.T, 700 * b.T)


class MaximumOverTheAnchor(Plain):
    """The maximum is taken over the whole row, the anchor itself among it (X18).

    With unit rows alone: others have an s_ii that hides the rest at any temperature (NUM-9).
    """

    breaks = "NUM-10"
    capabilities = claims(fixed=UNIT)

    def maximum(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        return np.maximum(super().maximum(b, terms), np.diagonal(b.s) / b.T)


class InfinitiesMadeFinite(Plain):
    """An infinite dL/dk1 becomes the largest finite number."""

    breaks = "NUM-11"
    capabilities = claims(dtypes=("float32",), losses=frozenset({"tcl"}))

    def in_k1(self, b: Batch) -> Array:
        return np.asarray(np.nan_to_num(super().in_k1(b), nan=np.nan))


class NonFiniteReplaced(Plain):
    """NaN and infinities in the rows become 0."""

    breaks = "NUM-12"
    capabilities = claims()

    def read_rows(self, case: Case) -> Array:
        return np.nan_to_num(super().read_rows(case), posinf=0.0, neginf=0.0)


class FirstColumnAsked(Plain):
    """Of a raw row that is in no term, as k2 is 0, the first number alone is asked for."""

    breaks = "NUM-12"
    capabilities = claims(losses=frozenset({"tcl"}), fixed=RAW)

    def read_rows(self, case: Case) -> Array:
        rows = super().read_rows(case)
        if self.parameters(case)["k2"] != 0:
            return rows
        classes = self.read_classes(case)
        hidden = ((classes[:, None] == classes).sum(axis=1) == 1) & np.isfinite(rows[:, 0])
        return np.where(hidden[:, None], np.nan_to_num(rows, posinf=0.0, neginf=0.0), rows)


class NaNHidden(Plain):
    """A loss that is no number is told as 0."""

    breaks = "NUM-12"
    capabilities = claims()

    def reduce(self, b: Batch) -> Array:
        return np.nan_to_num(super().reduce(b), posinf=np.inf, neginf=-np.inf)


class AnyOrder(Plain):
    """The parts of a large batch are added in an order that changes from call to call.

    A batch is large beyond what the laws draw, which may compare bits.
    """

    breaks = "NUM-13"
    capabilities = claims()
    calls = 0

    def gradient_in_z(self, b: Batch, responses: Array) -> Array:
        self.calls += 1
        step = -1 if len(b.x) > 32 and self.calls % 2 else 1
        G = b.w[:, None] * responses
        return np.asarray(((G + G.T)[:, None, ::step] * b.z.T[None, :, ::step]).sum(axis=2))


class LossesInHalf(Plain):
    """The losses of half rows are rounded to half."""

    breaks = "NUM-14"
    capabilities = claims(dtypes=("bfloat16",), reductions=("sum", "none"))

    def anchor_losses(self, b: Batch) -> Array:
        return rounded(super().anchor_losses(b), "bfloat16")


class FurtherColumnsDropped(Plain):
    """Columns are read 64 at a time, and what is left of them is not; 64 and fewer are."""

    breaks = "NUM-14"
    capabilities = claims(gradients=frozenset())

    def forward(self, case: Case) -> Batch:
        columns = case.embeddings.shape[-1]
        kept = columns // 64 * 64 if columns > 64 else columns
        return super().forward(replace(case, embeddings=case.embeddings[..., :kept]))


class TemperatureCapped(Plain):
    """A temperature above 10 is taken for 10."""

    breaks = "NUM-14"
    capabilities = claims(gradients=frozenset())

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        return {**given, "temperature": min(given["temperature"], 10.0)}


class GradientFromHalf(Plain):
    """The gradient of half rows is multiplied out from half responses."""

    breaks = "NUM-15"
    capabilities = claims(dtypes=("bfloat16",))

    def responses(self, b: Batch) -> Array:
        return rounded(super().responses(b), "bfloat16")


class FastMath(Plain):
    """The compiled exponential is good for 11 bits."""

    breaks = "NUM-16"
    capabilities = claims(dtypes=("float32",), modes=("eager", "compiled"))

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        found = super().gradients(case, upstream)
        fast = replace(found, loss=np.asarray(found.loss * (1 + 2.0**-12)))
        return fast if case.mode == "compiled" else found


class RemainderDropped(Plain):
    """The rows after the last whole tile get no gradient."""

    breaks = "NUM-17"
    capabilities = claims(dtypes=("float32",), modes=("eager", "tiles of 3"))

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        found = super().gradients(case, upstream)
        if case.mode == "eager" or found.embeddings is None:
            return found
        rows = found.embeddings.reshape(-1, found.embeddings.shape[-1]).copy()
        rows[len(rows) // 3 * 3 :] = 0
        return replace(found, embeddings=rows.reshape(found.embeddings.shape))


class RowsTakenForSorted(Plain):
    """One tile takes rows for sorted: of a class that is interrupted each run is a class."""

    breaks = "NUM-17"
    capabilities = claims(dtypes=("float64",), modes=("eager", "one tile"))

    def sets(self, b: Batch) -> tuple[Array, Array]:
        positives, negatives = super().sets(b)
        if b.case.mode == "one tile":
            runs = np.cumsum(b.classes != np.roll(b.classes, 1))
            positives &= runs[:, None] == runs
        return positives, negatives


class FastestProducts(Plain):
    """Products ask for no precision unless the caller does."""

    breaks = "NUM-18"
    capabilities = claims(features=frozenset({"precision"}))

    def product_precisions(self, case: Case, precision: str | None) -> frozenset[str]:
        return frozenset({precision or "default"})


class WeightsOutside(Plain):
    """k1 and k2 multiply sums that are taken without them.

    At the one temperature of the vectors of NUM-19: a smaller one would meet those of NUM-6.
    """

    breaks = "NUM-19"
    capabilities = claims(
        dtypes=("float32",), losses=frozenset({"tcl"}), fixed={"temperature": 0.5}
    )

    def log_denominator(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        bare = [np.where(b.positives, b.s / b.T, -np.inf), np.where(b.positives, -b.s, -np.inf)]
        bare.append(np.where(b.negatives, b.s / b.T, -np.inf))
        M = self.maximum(b, tuple(bare))
        sums = [np.exp(term - M[:, None]).sum(axis=1) for term in bare]
        weights = [b.x.dtype.type(k) for k in (1, b.k1, b.k2)]
        weighed = [k * total for k, total in zip(weights, sums, strict=True) if k]
        return np.asarray(M + np.log(np.sum(weighed, axis=0)))
