"""Faults that only the laws of the responses see (LAW-12 to LAW-15)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from typing import Any

import numpy as np

from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.laws import BOTH, RAW, call_key
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case


class ShiftedK1(Plain):
    """A power of two above 2 multiplies by a shift, in the gradient by one place too far.

    The laws draw 64 and 4096; the vectors, which cite GRD-1, have no such k1.
    """

    breaks = "LAW-12"
    capabilities = claims(losses=BOTH)

    def responses(self, b: Batch) -> Array:
        is_power = b.k1 > 2 and np.log2(b.k1) % 1 == 0
        return super().responses(b) - (self.shares(b)[1] if is_power else 0)


class PositivesInReverse(Plain):
    """A shortcut for some k1 gives the nearest positive the response of the farthest.

    It leaves out every k1 of the vectors, which cite GRD-1.
    """

    breaks = "LAW-13"
    capabilities = claims(losses=BOTH)

    def responses(self, b: Batch) -> Array:
        found = super().responses(b)
        if not (0.25 < b.k1 < 1 or 50 <= b.k1 < 5000):
            return found
        for row, s, positives in zip(found, b.s, b.positives, strict=True):
            nearest_last = np.flatnonzero(positives)[np.argsort(s[positives], kind="stable")]
            row[nearest_last] = row[nearest_last][::-1]
        return found


class NegativesWithoutK1InTheKey(Plain):
    """A change of k1 alone gives the last responses of negatives again."""

    breaks = "LAW-14"
    capabilities = claims(fixed=RAW, losses=BOTH)
    last: tuple[object, Array] | None = None

    def responses(self, b: Batch) -> Array:
        key = (b.x.tobytes(), b.w.tobytes(), *call_key(b, "k1"))
        if self.last is None or self.last[0] != key:
            self.last = key, super().responses(b)
        return np.where(b.negatives, self.last[1], super().responses(b))


class K2InHalf(Plain):
    """k2 is stored in float16 where it fits."""

    breaks = "LAW-15"
    capabilities = claims(losses=BOTH)

    def parameters(self, case: Case) -> dict[str, Any]:
        given = super().parameters(case)
        short = float(np.float16(min(given["k2"], 65504)))
        return {**given, "k2": short} if given["k2"] <= 65504 else given
