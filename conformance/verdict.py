"""Turns what happened in a run into one status per clause (CNF-1 to CNF-5)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tuned_contrastive.conformance.applicability import LACKS, NOT_RUN
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.records import Ran, Records
from tuned_contrastive.conformance.vectors import VectorSet
from tuned_contrastive.spec.clauses import PLANNED, SUITE, load_clauses

PASS, FAIL, KNOWN, ERROR = "pass", "fail", "known", "error"
NOT_APPLICABLE, STATUS_PLANNED = "not-applicable", "planned"
STATUSES = (PASS, FAIL, KNOWN, NOT_APPLICABLE, STATUS_PLANNED, ERROR)
AS_DECLARED = (PASS, KNOWN, NOT_APPLICABLE, STATUS_PLANNED)
CONFORMING = (PASS, NOT_APPLICABLE, STATUS_PLANNED)
UNTESTED = {
    **dict.fromkeys(PLANNED, (STATUS_PLANNED, "its subject comes in a later version")),
    **dict.fromkeys(
        SUITE,
        (NOT_APPLICABLE, "about the suite and the reference, tested by the self-test"),
    ),
}
"""How a clause ends that no test of an implementation judges, and why."""


@dataclass(frozen=True)
class ClauseResult:
    """How one clause ended; `worst_ratio` is the largest share of the allowed error, or None."""

    id: str
    status: str
    cases: int = 0
    worst_ratio: float | None = None
    reason: str = ""


def judge_clauses(
    records: Records,
    declared: Sequence[Deviation] = (),
    not_applicable: frozenset[str] | None = None,
    *,
    partial: bool = False,
) -> tuple[ClauseResult, ...]:
    """Return one result per clause of the spec, in the document's order.

    `declared` are the known deviations; `not_applicable` is the committed list of an own target,
    None for others. A partial run is held neither to that list nor to stale declarations.
    """
    results = (_clause(name, records) for name in load_clauses())
    held = (_hold_to_declarations(result, records, declared, partial) for result in results)
    return tuple(_hold_to_list(result, None if partial else not_applicable) for result in held)


def missing_vectors(records: Records, vectors: VectorSet) -> str:
    """Return what CNF-1 asks about: vectors that apply and did not run; empty if there are none."""
    executed = {record.test for record in records.ran if record.status != ERROR}
    short = sorted(set(records.planned) - executed)
    seen = {record.vector for record in records.ran}
    seen |= {record.vector for record in records.not_applicable}
    absent = sorted(vectors.declared - seen)
    if absent:
        return f"{len(absent)} of {len(vectors.declared)} vectors never ran, {absent[0]} first"
    if short:
        return f"{len(short)} of {len(records.planned)} cases never ran, {short[0]} first"
    if not any(record.vector is not None for record in records.ran):
        left_out = [record.reason for record in records.not_applicable if record.vector]
        lacking = [reason for reason in left_out if reason.startswith(LACKS)]
        return f"no vector ran: {joined(lacking or left_out)}".removesuffix(": ")
    return ""


def joined(reasons: Iterable[str]) -> str:
    """Return each reason once, parameters that are not known first: those one may --set."""
    return "; ".join(
        sorted(dict.fromkeys(reasons), key=lambda reason: not reason.startswith(LACKS))
    )


def with_error(
    results: Iterable[ClauseResult], clause: str, reason: str
) -> tuple[ClauseResult, ...]:
    """Return the results with one clause turned into an error, or first where it is missing."""
    wrong = ClauseResult(clause, ERROR, reason=reason)
    found = tuple(wrong if result.id == clause else result for result in results)
    return found if wrong in found else (wrong, *found)


def most_telling(ran: Sequence[Ran], most: int = 4) -> tuple[str, ...]:
    """Return the clauses whose citing tests and the failing tests overlap most, by F1 score.

    NUM-14 and NUM-15 say only that some number is off, and yield to any other clause.
    """
    bad = [record for record in ran if record.status != PASS]
    cited = Counter(clause for record in ran for clause in record.clauses)
    failed = Counter(clause for record in bad for clause in record.clauses)
    specific = [clause for clause in failed if clause not in ("NUM-14", "NUM-15")] or [*failed]
    fit = {clause: 2 * failed[clause] / (cited[clause] + len(bad)) for clause in specific}
    best = sorted(specific, key=lambda clause: -fit[clause])
    return tuple(clause for clause in best[:most] if fit[clause] >= fit[best[0]] / 2)


def declared_as(record: Ran, declared: Sequence[Deviation]) -> tuple[Deviation, ...]:
    """Return the deviations that declare one failure: empty unless each clause it cites has one."""
    if record.status != FAIL:
        return ()
    about = [deviation for deviation in declared if _names(deviation, record)]
    covered = {clause for deviation in about for clause in deviation.clauses}
    if not covered.issuperset(record.clauses):
        return ()
    return tuple(d for d in about if not d.clauses.isdisjoint(record.clauses))


def _clause(name: str, records: Records) -> ClauseResult:
    if name in UNTESTED:
        status, reason = UNTESTED[name]
        return ClauseResult(name, status, reason=reason)
    ran = [record for record in records.ran if name in record.clauses]
    if ran:
        return _judged(name, ran)
    left_out = [record.reason for record in records.not_applicable if name in record.clauses]
    if left_out:
        return ClauseResult(name, NOT_APPLICABLE, reason=min(left_out, key=_vagueness))
    return ClauseResult(name, ERROR, reason="no test cites it")


def _vagueness(reason: str) -> tuple[bool, bool]:
    """Order reasons: what cannot run on this machine first, a dtype that is not claimed last."""
    return (not reason.startswith(NOT_RUN), "dtype" in reason)


def _judged(name: str, ran: Sequence[Ran]) -> ClauseResult:
    shares = [record.share for record in ran if record.share is not None]
    bad = [record for record in ran if record.status == ERROR] or [
        record for record in ran if record.status == FAIL
    ]
    first = f"{len(bad)} of {len(ran)} cases, {bad[0].test} first" if bad else ""
    return ClauseResult(
        name, bad[0].status if bad else PASS, len(ran), max(shares, default=None), first
    )


def _hold_to_declarations(
    result: ClauseResult, records: Records, declared: Sequence[Deviation], partial: bool
) -> ClauseResult:
    """Turn a declared failure into `known`, a stale declaration into `fail`."""
    about = [deviation for deviation in declared if result.id in deviation.clauses]
    if result.status == ERROR or not about:
        return result
    cites = (record for record in records.ran if result.id in record.clauses)
    failed = [record for record in cites if record.status == FAIL]
    undeclared = [r for r in failed if not any(_names(deviation, r) for deviation in about)]
    if undeclared:
        reason = f"{len(undeclared)} undeclared failures, {undeclared[0].test} first"
        return replace(result, reason=reason)
    stale = [
        d
        for d in about
        if _passing_cases(d, records)
        or not any(_names(d, r) for r in failed)
        or not _shows_alone(d, declared, records)
    ]
    if partial and not failed:
        return result
    if stale and not partial:
        passing = sorted(_passing_cases(stale[0], records))
        why = f"no longer failing: {', '.join(passing)}" if passing else "it no longer fails so"
        reason = f"the declaration of {stale[0].code} is stale: {why}"
        return replace(result, status=FAIL, reason=reason)
    reason = "; ".join(dict.fromkeys(f"{d.code}: {d.reason}" for d in about))
    return replace(result, status=KNOWN, reason=reason)


def _names(deviation: Deviation, record: Ran) -> bool:
    """Return whether a deviation names a case, by its vector or by its test."""
    return not deviation.cases.isdisjoint(_case(record))


def _passing_cases(deviation: Deviation, records: Records) -> set[str]:
    """Return the cases of a deviation that fail at none of its clauses any more."""
    failed = (r for r in records.ran if r.status == FAIL and deviation.clauses & set(r.clauses))
    return set(deviation.cases) - {name for record in failed for name in _case(record)}


def _shows_alone(deviation: Deviation, declared: Sequence[Deviation], records: Records) -> bool:
    """Return whether a failure has no other reason: else nothing would tell that it is gone."""
    others = [d for d in declared if d is not deviation]
    return any(
        record.status == FAIL
        and _names(deviation, record)
        and any(
            clause in deviation.clauses
            and not any(clause in d.clauses and _names(d, record) for d in others)
            for clause in record.clauses
        )
        for record in records.ran
    )


def _case(record: Ran) -> set[str]:
    """Return the names under which a declaration may speak of a test."""
    return {record.vector or "", record.test.partition("[")[0]}


def _hold_to_list(result: ClauseResult, listed: frozenset[str] | None) -> ClauseResult:
    if listed is None or result.id in SUITE or result.reason.startswith(NOT_RUN):
        return result
    if result.status == NOT_APPLICABLE and result.id not in listed:
        reason = f"not in the committed list of not-applicable clauses: {result.reason}"
        return replace(result, status=ERROR, reason=reason)
    if result.status != NOT_APPLICABLE and result.id in listed:
        return replace(result, status=ERROR, reason="listed as not applicable, but it was judged")
    return result
