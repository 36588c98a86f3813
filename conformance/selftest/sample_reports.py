"""Reports to test reports with: of right, wrong, declared, broken and hostile implementations."""

from dataclasses import replace
from functools import cache
from typing import Any

from tuned_contrastive.conformance import report
from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.parametrise import cited
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.selftest.doctored import OnlySupcon, WrongMean
from tuned_contrastive.conformance.targets import known_targets
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.conformance.verdict import ClauseResult
from tuned_contrastive.spec.clauses import load_clauses

HOSTILE = "</script><img src=x onerror='window.hit = 1'> <!-- {{data}} ]]> \u2028 \x1b[31m \ud800"
"""What might end a script, start an element, name a place of the template or be no XML."""

CASES = 4000


@cache
def right() -> Result:
    """Return what passes all that it claims."""
    return run(OnlySupcon())


@cache
def wrong() -> Result:
    """Return failures that nobody declared."""
    return run(WrongMean())


@cache
def declared() -> Result:
    """Return the same failures, every one declared."""
    failing = frozenset(name for name, ended in wrong().status.items() if ended == "fail")
    names = {record.vector or record.test.partition("[")[0] for record in wrong().failures}
    deviation = Deviation("X4", "zeros stay in the mean", failing, frozenset(names))
    return replace(run(WrongMean(), declared=[deviation]), target="declared")


def declared_but_for(case: str) -> Result:
    """Return the same failures, those of one test or vector left out of the declaration."""
    (deviation,) = declared().declared
    left = replace(deviation, cases=deviation.cases - {case})
    return run(WrongMean(), declared=[left])


def stale_beside_live() -> Result:
    """Return the declared failures, and beside them a declaration of what does not fail."""
    (deviation,) = declared().declared
    stale = replace(deviation, code="X5", reason="never", cases=frozenset({"supcon-002"}))
    return run(WrongMean(), declared=[deviation, stale])


@cache
def part() -> Result:
    """Return a run of one clause."""
    return run(NumpyReference(), clauses=["SUP-9"])


def broken() -> Result:
    """Return what is told of a process that ended without a result."""
    errors = tuple(ClauseResult(name, "error", reason="no result") for name in load_clauses())
    return Result("broken", errors, ())


def hostile() -> Result:
    """Return texts that a page or a file might take for its own."""
    test = f"test_it['{HOSTILE}']"
    ran = Ran(test, ("SUP-5",), "fail", float("inf"), f"{HOSTILE}\n{HOSTILE}")
    clause = ClauseResult("SUP-5", "fail", 1, float("inf"), HOSTILE)
    return Result(HOSTILE, (clause,), (ran,), (HOSTILE,), partial=True)


def every_kind() -> dict[str, Any]:
    """Return the document of one of each kind."""
    results = (right(), wrong(), declared(), part(), broken(), hostile())
    entries = [report.entry_of(result) for result in results]
    return report.document(entries, {"absent": "it is not installed", "left": report.STOPPED})


def as_large_as_they_come() -> dict[str, Any]:
    """Return a document of as many targets and cases as there are, with real names."""
    names = [
        (f"test_value[{vector.id}-{dtype}-{quantity}]", tuple(cited(vector, dtype, quantity)))
        for vector in load_vectors().values
        for dtype in vector.dtypes
        for quantity in vector.expected
    ]
    repeated = (names * (1 + CASES // len(names)))[:CASES]
    ran = tuple(Ran(name, cites, "pass", 0.123456789) for name, cites in repeated)
    clauses = tuple(ClauseResult(name, "pass", 700, 0.123456789012) for name in load_clauses())
    return report.document([report.entry_of(Result("torch", clauses, ran))] * len(known_targets()))
