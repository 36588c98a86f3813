"""Faults of the suite itself and of the reference, as patches (CNF-1 to CNF-8)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tuned_contrastive.conformance import judge, run, verdict
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.records import Records
from tuned_contrastive.conformance.verdict import ClauseResult
from tuned_contrastive.reference import gradients, losses
from tuned_contrastive.spec.clauses import SUITE
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF

Patch = Callable[[Any, str, object], None]
"""What pytest's ``monkeypatch.setattr`` takes: a module, a name in it, the faulty value."""


def vectors_that_never_ran_are_forgotten(patch: Patch) -> None:
    """Call a run complete whatever ran (CNF-1)."""
    patch(run, "missing_vectors", lambda *_: "")


def what_is_not_claimed_passes(patch: Patch) -> None:
    """Pass a clause that no test applied to (CNF-2)."""
    right = verdict._clause

    def faulty(name: str, records: Records) -> ClauseResult:
        result = right(name, records)
        unclaimed = result.status == verdict.NOT_APPLICABLE and name not in SUITE
        return replace(result, status=verdict.PASS) if unclaimed else result

    patch(verdict, "_clause", faulty)


def a_failure_is_as_declared(patch: Patch) -> None:
    """Leave the exit status at 0 where a failure is undeclared (CNF-3)."""
    patch(run, "AS_DECLARED", (*verdict.AS_DECLARED, verdict.FAIL))


def a_stale_declaration_stays(patch: Patch) -> None:
    """Pass over a declared deviation that no longer fails (CNF-4)."""
    right = verdict._hold_to_declarations

    def faulty(
        result: ClauseResult, records: Records, declared: Sequence[Deviation], partial: bool
    ) -> ClauseResult:
        return right(result, records, declared, True)

    patch(verdict, "_hold_to_declarations", faulty)


def a_known_failure_conforms(patch: Patch) -> None:
    """Count a declared failure as conforming (CNF-5)."""
    patch(run, "CONFORMING", (*verdict.CONFORMING, verdict.KNOWN))


def the_reference_returns_float32(patch: Patch) -> None:
    """Return the reference's losses in float32 (CNF-6)."""
    right = losses.reduce
    patch(gradients, "reduce", lambda *given: np.float32(right(*given)))


def products_stay_as_the_process_has_them(patch: Patch) -> None:
    """Leave the precision of float32 products to whoever was there before (CNF-7)."""
    patch(torch, "set_float32_matmul_precision", lambda _: None)


def bounds_are_padded(patch: Patch) -> None:
    """Allow a hundred times the derived error (CNF-8)."""
    padded = {dtype: 100 * u for dtype, u in UNIT_ROUNDOFF.items()}
    patch(judge, "UNIT_ROUNDOFF", padded)
