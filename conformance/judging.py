"""Runs the suite on one implementation: chooses its tests, records how they ended."""

import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test
from hypothesis import seed as hypothesis_seed

from tuned_contrastive.conformance import parametrise
from tuned_contrastive.conformance.applicability import NOT_RUN, why_not
from tuned_contrastive.conformance.hearing import HeardLostError, Hearing
from tuned_contrastive.conformance.interrupts import Interrupts
from tuned_contrastive.conformance.protocol import AnswerError, Implementation
from tuned_contrastive.conformance.records import NotApplicable, Ran, Records
from tuned_contrastive.conformance.vectors import VectorSet

Accept = Callable[..., None]
SUBJECT = pytest.StashKey[Implementation]()
SHARE = pytest.StashKey[float]()
MESSAGE_LINES = 40


class OutOfBoundsError(AssertionError):
    """A number that is further from the exact one than the specification allows."""


@pytest.fixture(scope="session")
def implementation(pytestconfig: pytest.Config) -> Any:
    """Return what is judged."""
    return Hearing(pytestconfig.stash[SUBJECT])


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> Accept:
    """Return `accept(share, what)`, which fails for a share above 1 and records the largest."""

    def accept(share: float, what: str = "the result") -> None:
        stash = request.node.stash
        stash[SHARE] = max(stash.get(SHARE, 0.0), float(share))
        if not share <= 1:
            why = getattr(share, "why", "") or f"has {share:.3g} times the allowed error"
            raise OutOfBoundsError(f"{what} {why}")

    return accept


class Judge:
    """A pytest plugin object for one run of the suite on one implementation."""

    def __init__(
        self,
        implementation: Implementation,
        vectors: VectorSet,
        *,
        clauses: frozenset[str] | None = None,
        tests: frozenset[str] | None = None,
        of_vectors: frozenset[str] | None = None,
        seed: int | None = None,
        performance: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
        stop_at: Callable[[Ran], bool] | None = None,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.subject = implementation
        self.vectors = vectors
        self.clauses = clauses
        self.tests = tests
        self.of_vectors = of_vectors
        self.seed = seed
        self.performance = performance
        self.progress = progress or (lambda test, done, total: None)
        self.stop_at = stop_at or (lambda record: False)
        self.records = Records()
        self.interrupts = interrupts or Interrupts()
        self.interrupted = False
        self.stopped = False
        self.collected: tuple[pytest.Item, ...] = ()
        self._total = 0

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the fixtures find what is judged."""
        config.stash[SUBJECT] = self.subject
        config.option.tbstyle = "no"  # a record keeps the message; a traceback costs 20 ms

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give a test its vectors, dtypes, modes, losses or transforms."""
        parametrise.generate(metafunc, self.subject, self.vectors, self.clauses)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what was not asked for and what does not apply, each with its reason."""
        self.collected = tuple(items)
        kept = []
        for item in items:
            if not self._selected(item):
                continue
            reason = why_not(parametrise.needs_of(item), self.subject.capabilities)
            if item.get_closest_marker("performance") and not self.performance:
                reason = reason or f"{NOT_RUN}memory and time are measured with --performance"
            if reason is None:
                kept.append(item)
            else:
                self.records.not_applicable.append(_not_applicable(item, reason))
        left_out = [item for item in items if item not in set(kept)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
        self.records.planned.extend(i.name for i in kept if parametrise.vector_of(i) is not None)
        self._total = len(kept)
        for item in kept:
            if self.seed is not None and is_hypothesis_test(getattr(item, "obj", None)):
                hypothesis_seed(self.seed)(item.obj)  # type: ignore[attr-defined]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what stopped a test file from being read."""
        if report.failed:
            self.records.broken.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep that somebody stopped the run; pytest calls a file that it cannot read so, too."""
        self.interrupted |= not isinstance(excinfo.value, pytest.Session.Interrupted)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record how a test ended, and end the run after one that it is to stop at."""
        report = yield
        self.interrupts.raise_lost()
        if report.when == "call" or report.failed or report.skipped:
            record = _ran(item, call, report)
            self.records.ran.append(record)
            self.progress(item.name, len(self.records.ran), self._total)
            if self.stop_at(record):
                self.stopped = True
                item.session.shouldfail = f"stopped at {item.name}"
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Hold interrupts: in what pytest does to end, one would lose all that was judged."""
        self.interrupts.held = True

    def _selected(self, item: pytest.Item) -> bool:
        if self.tests is not None and item.name not in self.tests:
            return False
        if self.of_vectors is not None and parametrise.vector_of(item) not in self.of_vectors:
            return False
        return self.clauses is None or not self.clauses.isdisjoint(parametrise.clauses_of(item))


def _not_applicable(item: pytest.Item, reason: str) -> NotApplicable:
    return NotApplicable(
        item.name, parametrise.clauses_of(item), reason, parametrise.vector_of(item)
    )


def _ran(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> Ran:
    status = "pass" if report.passed else "error"
    if report.failed and report.when == "call":
        status = "fail"
    parameters = parametrise.parameters_of(item)
    return Ran(
        test=item.name,
        clauses=parametrise.clauses_of(item),
        status=status,
        share=item.stash.get(SHARE, None),
        message=_message(call),
        vector=parametrise.vector_of(item),
        dtype=parameters.get("dtype"),
        quantity=parameters.get("quantity"),
    )


def _message(call: pytest.CallInfo[Any]) -> str:
    """Return the exception with its notes, where Hypothesis tells the falsifying example."""
    if call.excinfo is None:
        return ""
    error = call.excinfo.value
    if isinstance(error, HeardLostError):
        error = error.__cause__ or error
    while isinstance(error, BaseExceptionGroup):  # Hypothesis' of what did not fail twice
        error = error.exceptions[0]
    told = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, (AnswerError, OutOfBoundsError)):  # whose sentences say it all
        told = told.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
    text = told.splitlines()
    if not isinstance(error, AssertionError):
        entry = call.excinfo.traceback[-1]
        text.append(f"at {Path(entry.path).name}:{entry.lineno + 1}")
    return "\n".join(text[:MESSAGE_LINES])
