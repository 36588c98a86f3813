"""The measured clauses: what holds all pairs fails PRF-1, what is slower by tiles fails PRF-2."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from tuned_contrastive.conformance import performance
from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.performance import growth_in_new_process
from tuned_contrastive.conformance.protocol import Case, Outcome
from tuned_contrastive.conformance.run import run
from tuned_contrastive.spec.clauses import PERFORMANCE

GIB = 2**30


class Measured(NumpyReference):
    """Says what memory it takes, and what time, on a clock of its own."""

    capabilities = replace(
        NumpyReference.capabilities,
        dtypes=("float32",),
        modes=("eager", "dense"),
        features=frozenset({"performance"}),
    )
    bytes_of_a_row = 128
    bytes_of_a_pair = 0
    seconds: ClassVar[dict[str, float]] = {"eager": 1.0, "dense": 2.0}
    now: ClassVar[float] = 0.0

    def peak_memory(self, loss: str, rows: int) -> int:
        """Return what the class declares."""
        return self.bytes_of_a_row * rows + self.bytes_of_a_pair * rows**2

    def gradients(self, case: Case, upstream: Any) -> Outcome:
        """Let the seconds pass that the class declares."""
        Measured.now += self.seconds[case.mode]
        return Outcome(upstream, case.embeddings)


class Large(Measured):
    """Holds one mask of all pairs."""

    bytes_of_a_pair = 1


class Slow(Measured):
    """Is slower by tiles."""

    seconds: ClassVar[dict[str, float]] = {"eager": 2.0, "dense": 1.0}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure by the clock of the class."""
    monkeypatch.setattr(performance, "perf_counter", lambda: Measured.now)


def status(subject: Any, **given: Any) -> dict[str, str]:
    return run(subject, clauses=PERFORMANCE, **given).status


def test_what_is_small_and_fast_passes() -> None:
    assert status(Measured(), performance=True) == {"PRF-1": "pass", "PRF-2": "pass"}


def test_a_mask_of_all_pairs_fails() -> None:
    assert status(Large(), performance=True) == {"PRF-1": "fail", "PRF-2": "pass"}


def test_slower_tiles_fail() -> None:
    assert status(Slow(), performance=True) == {"PRF-1": "pass", "PRF-2": "fail"}


def test_nothing_is_measured_unless_asked_for() -> None:
    results = run(Large(), clauses=PERFORMANCE).clauses
    assert {result.status for result in results} == {"not-applicable"}
    assert {result.reason for result in results} == {
        "not run: memory and time are measured with --performance"
    }


def test_growth_is_that_of_the_call_whatever_this_process_holds() -> None:
    held = np.ones(GIB // 8)
    # The reference holds several arrays of all pairs in float64.
    growth = growth_in_new_process("numpy", "supcon", 1536)
    assert 2 * 8 * 1536**2 < growth < held.nbytes
