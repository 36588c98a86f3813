"""Wrong defaults, errors and modules, and calls that should be refused.

They break INP-1, INP-2, INP-9 to INP-13, INP-15 to INP-24, INP-26, INP-28 and INP-29.
"""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tuned_contrastive.conformance.adapters import native
from tuned_contrastive.conformance.mutants.batch import Array, describe
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.protocol import Case, Outcome
from tuned_contrastive.conformance.vectors import Reject
from tuned_contrastive.spec import contract

BOTH = frozenset({"supcon", "tcl"})
LARGEST = 2**36
"""More bytes than a test may ask for: a machine may promise memory that it does not have."""
ONLY_ERRORS = claims(losses=BOTH, inputs=frozenset(), errors="text")


class TemperatureOfThePaper(Plain):
    """The default temperature is 0.07."""

    breaks = "INP-1"
    capabilities = claims(features=frozenset({"defaults"}))

    def parameters(self, case: Case) -> dict[str, Any]:
        return {**super().parameters(case), "temperature": case.parameters.get("temperature", 0.07)}


class SmallK1(Plain):
    """The default of k1 is 1."""

    breaks = "INP-2"
    capabilities = claims(
        losses=frozenset({"tcl"}), reductions=("sum",), features=frozenset({"defaults"})
    )

    def parameters(self, case: Case) -> dict[str, Any]:
        return {**super().parameters(case), "k1": case.parameters.get("k1", 1.0)}


class ShortMessages(Plain):
    """An error names the argument alone."""

    breaks = "INP-21"
    capabilities = ONLY_ERRORS

    def check(self, given: dict[str, Any]) -> None:
        try:
            super().check(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"bad {str(error).split()[0]}") from error


class TypesExchanged(Plain):
    """A wrong value raises TypeError, and a wrong type ValueError."""

    breaks = "INP-20"
    capabilities = claims(losses=BOTH, inputs=frozenset(), errors="category")

    def check(self, given: dict[str, Any]) -> None:
        try:
            super().check(given)
        except (TypeError, ValueError) as error:
            other = ValueError if isinstance(error, TypeError) else TypeError
            raise other(*error.args) from error


class WordsFirst(Plain):
    """The cheap arguments are checked before the arrays."""

    breaks = "INP-22"
    capabilities = ONLY_ERRORS

    def check(self, given: dict[str, Any]) -> None:
        words = {name: given[name] for name in given if name not in ("embeddings", "labels")}
        contract.check_parameters(describe, **words)
        super().check(given)


class ChecksLast(Plain):
    """The similarities of all pairs are computed before the arguments are looked at."""

    breaks = "INP-29"
    capabilities = ONLY_ERRORS

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        rows = native(arguments.get("embeddings"), np.ones)
        if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind == "f":
            size = len(rows) ** 2 * rows.itemsize
            if size > LARGEST:
                raise MemoryError(f"Unable to allocate {size} bytes")
            rows @ rows.T
        return super().call(loss, arguments)


class ForgetfulModule(Plain):
    """The module always takes the mean."""

    breaks = "INP-26"
    capabilities = claims(dtypes=("float32",), modes=("eager", "module"))

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        if case.mode == "module":
            case = replace(case, parameters={**case.parameters, "reduction": "mean"})
        return super().gradients(case, upstream)


class CutTo32Bits(Plain):
    """Without 64-bit integers labels are cut to what is there."""

    breaks = "INP-28"
    capabilities = claims(losses=BOTH, inputs=frozenset(), features=frozenset({"32-bit-integers"}))

    def call_in_32_bits(self, loss: str, arguments: Mapping[str, Any]) -> object:
        return None


class Accepts(Plain):
    """One wrong call is accepted in silence."""

    capabilities = claims(losses=BOTH, inputs=frozenset(), errors="category")

    def __init__(self, reject: Reject) -> None:
        self.accepted = reject.loss, reject.arguments

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        return None if (loss, arguments) == self.accepted else super().call(loss, arguments)
