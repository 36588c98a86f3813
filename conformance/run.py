"""Judges one implementation: `run(implementation)` returns a `Result`, in this process."""

import os
import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from tuned_contrastive.conformance.interrupts import Interrupts
from tuned_contrastive.conformance.judging import Judge
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.terminal import TOLD_INTERRUPTED
from tuned_contrastive.conformance.vectors import VectorSet, load_vectors
from tuned_contrastive.conformance.verdict import (
    AS_DECLARED,
    CONFORMING,
    PASS,
    ClauseResult,
    declared_as,
    judge_clauses,
    missing_vectors,
    most_telling,
    with_error,
)

HERE = Path(__file__).resolve().parent
VERSIONS = (
    "tuned-contrastive", "numpy", "torch", "tensorflow", "keras", "jax", "hypothesis",
    "pytorch-metric-learning", "optax", "monai", "info-nce-pytorch", "lightly",
)  # fmt: skip
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Result:
    """What a run found."""

    target: str
    clauses: tuple[ClauseResult, ...]
    ran: tuple[Ran, ...]
    notes: tuple[str, ...] = ()
    partial: bool = False
    """Whether only some clauses or tests ran: it then says nothing about conformance."""
    declared: tuple[Deviation, ...] = ()
    """The known deviations that it was held to."""
    interrupted: bool = False
    """Whether somebody ended it before it was done."""

    @property
    def status(self) -> dict[str, str]:
        """The status of each clause by id."""
        return {clause.id: clause.status for clause in self.clauses}

    @property
    def failures(self) -> tuple[Ran, ...]:
        """The tests that did not pass, with the clauses they cite."""
        return tuple(record for record in self.ran if record.status != "pass")

    @property
    def conforming(self) -> bool:
        """Whether no clause is fail, known or error (CNF-5)."""
        return not self.partial and all(c.status in CONFORMING for c in self.clauses)

    @property
    def as_declared(self) -> bool:
        """Whether every clause passes or fails exactly as declared (CNF-3)."""
        return not self.interrupted and all(clause.status in AS_DECLARED for clause in self.clauses)

    @property
    def telling(self) -> tuple[str, ...]:
        """The failed clauses whose citations fit the failures best, at most four, best first.

        What was declared tells nothing new.
        """
        return most_telling([each for each in self.ran if not declared_as(each, self.declared)])

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """The worst share of the allowed error over the vectors, per dtype and quantity."""
        worst: dict[str, dict[str, float]] = {}
        for record in self.ran:
            if record.share is not None and record.dtype and record.quantity:
                row = worst.setdefault(record.dtype, {})
                row[record.quantity] = max(row.get(record.quantity, 0.0), record.share)
        return worst


def run(
    implementation: Implementation,
    *,
    target: str | None = None,
    clauses: Collection[str] | None = None,
    tests: Collection[str] | None = None,
    of_vectors: Collection[str] | None = None,
    seed: int | None = None,
    performance: bool = False,
    declared: Sequence[Deviation] = (),
    not_applicable: frozenset[str] | None = None,
    vectors: VectorSet | None = None,
    progress: Progress | None = None,
    stop_at_first: bool = False,
    warnings_are_errors: bool = False,
    interrupts: Interrupts | None = None,
) -> Result:
    """Run the suite on one implementation.

    Parameters
    ----------
    implementation : Implementation
    target : str, optional
        What the report calls it; by default its name.
    clauses, tests : collections of str, optional
        Run only the tests that cite one of these clauses, or that have one of these names.
    of_vectors : collection of str, optional
        Run only the tests on the vectors with these ids.
    seed : int, optional
        Draw the laws' examples from this seed instead of always the same.
    performance : bool
        Measure memory and time, too (PRF-1, PRF-2); nothing else may keep the machine busy.
    declared : sequence of Deviation
        Clauses that are known to fail.
    not_applicable : frozenset of str, optional
        The committed list of clauses that must be not applicable, for an own target.
    vectors : VectorSet, optional
        Other vectors than the frozen ones.
    progress : callable, optional
        Called with the name of each test that ended, how many have, and how many there are.
    stop_at_first : bool
        Stop at the first failure that is not declared.
    warnings_are_errors : bool
        Whether a warning fails a test, as for our own targets.
    interrupts : Interrupts, optional
        What hears ctrl-C; from the last test on it is held.

    Returns
    -------
    Result
    """
    judge = Judge(
        implementation,
        vectors or load_vectors(),
        clauses=None if clauses is None else frozenset(clauses),
        tests=None if tests is None else frozenset(tests),
        of_vectors=None if of_vectors is None else frozenset(of_vectors),
        seed=seed,
        performance=performance,
        progress=progress,
        stop_at=_undeclared(declared) if stop_at_first else None,
        interrupts=interrupts,
    )
    with _own_environment():
        try:
            code = pytest.main(_arguments(warnings_are_errors), plugins=[judge])
        except BaseException as error:  # a callback makes a warning of it, which is an error
            if not (judge.interrupts.came or isinstance(error, KeyboardInterrupt)):
                raise
            judge.interrupted, code = True, pytest.ExitCode.INTERRUPTED
    judge.interrupts.held = True
    judge.interrupted |= judge.interrupts.came
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        judge.records.broken.append(f"pytest itself failed, with exit code {int(code)}")
    narrowed = (clauses, tests, of_vectors) != (None, None, None)
    partial = narrowed or judge.stopped or judge.interrupted
    name = target or implementation.name
    return _conclude(judge, name, declared, not_applicable, partial=partial)


def _conclude(
    judge: Judge,
    target: str,
    declared: Sequence[Deviation] = (),
    not_applicable: frozenset[str] | None = None,
    *,
    partial: bool = False,
) -> Result:
    """Return the result of what a judge recorded."""
    records = judge.records
    reason = "; ".join(records.broken)
    results = judge_clauses(records, declared, not_applicable, partial=partial)
    if partial:
        results = _touched(results, judge)
    else:
        reason = reason or missing_vectors(records, judge.vectors)
    results = with_error(results, "CNF-1", reason) if reason else results
    notes = tuple(getattr(judge.subject, "notes", ()))
    notes += (TOLD_INTERRUPTED,) if judge.interrupted else ()
    return Result(
        target, results, tuple(records.ran), notes, partial, tuple(declared), judge.interrupted
    )


def not_begun(target: str) -> Result:
    """Return the result of a run that somebody ended before its first test."""
    return Result(target, (), (), (TOLD_INTERRUPTED,), partial=True, interrupted=True)


def collected(implementation: Implementation) -> tuple[pytest.Item, ...]:
    """Return the tests that there are for an implementation, whether or not they apply."""
    judge = Judge(implementation, load_vectors(), tests=frozenset())  # none of them runs
    with _own_environment():
        pytest.main(_arguments(warnings_are_errors=False), plugins=[judge])
    return judge.collected


def environment() -> dict[str, str]:
    """Return the versions that a report names."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in VERSIONS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _undeclared(declared: Sequence[Deviation]) -> Callable[[Ran], bool]:
    """Return what tells whether a test did not pass, and no deviation declares that."""
    return lambda record: record.status != PASS and not declared_as(record, declared)


def _touched(results: Sequence[ClauseResult], judge: Judge) -> tuple[ClauseResult, ...]:
    """Keep the clauses that a partial run judged; what it did not run cannot be stale."""
    records = judge.records
    cited = {name for record in records.ran for name in record.clauses}
    if not judge.interrupted:  # else tests that still were to come may have been applicable
        cited |= {name for record in records.not_applicable for name in record.clauses}
    asked = cited if judge.clauses is None else cited & judge.clauses
    return tuple(result for result in results if result.id in asked)


def _arguments(warnings_are_errors: bool) -> list[str]:
    """Return pytest's arguments: nothing of the place it is started from has a say."""
    return [
        str(HERE / "suite"),
        f"--config-file={HERE / 'suite.toml'}",
        f"--rootdir={HERE}",
        # That plugin collects garbage twice for warnings, longer than a clause takes to judge.
        *(["-W", "error"] if warnings_are_errors else ["-p", "no:unraisableexception"]),
    ]


@contextmanager
def _own_environment() -> Iterator[None]:
    """Hide the user's pytest options and plugins from the run."""
    changed = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ""}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
