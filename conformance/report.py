"""Says what runs found: the document that all reports are made from, tables, Markdown."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tuned_contrastive.conformance import ledger
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result, environment
from tuned_contrastive.conformance.targets import distribution
from tuned_contrastive.conformance.verdict import AS_DECLARED, KNOWN, PASS, STATUSES, declared_as
from tuned_contrastive.spec.clauses import load_clauses
from tuned_contrastive.spec.contract import SPEC_VERSION

MARKS = {
    "pass": "pass",
    "fail": "FAIL",
    "known": "known",
    "not-applicable": "n/a",
    "planned": "planned",
    "error": "ERROR",
}
REASON_WIDTH = 60
TOLD_FAILURES = 12
MESSAGE_LENGTH = 1000
"""Characters of a message that a document keeps: an implementation may fail thousands of cases."""

FORMAT = "urn:tuned-contrastive:conformance-report:2"
"""The schema's `$id`: its last number grows when a reader of reports would have to change."""

STOPPED = "the run was stopped before"
"""Why a target was not judged that could have been."""
PARTIAL = "Partial: a part of the suite was run, which says nothing about conformance."

COMMAND = "python -m tuned_contrastive.conformance"
Entry = dict[str, Any]
"""One target's part of the document, plain JSON; `report.schema.json` says what is in it."""


def table(entry: Entry) -> str:
    """Return the clauses of one target, line by line, with cases and worst share of the bound."""
    lines = [f"{entry['target']}: TCL and SupCon, specification {SPEC_VERSION}", ""]
    lines.append(f"{'clause':<8} {'status':<8} {'cases':>6} {'worst':>9}")
    lines += [_row(clause) for clause in entry["clauses"]]
    return "\n".join([*lines, "", summary(entry)])


def summary(entry: Entry) -> str:
    """Return how many clauses ended how, what that means, and the notes."""
    ended = [clause["status"] for clause in entry["clauses"]]
    counts = {status: ended.count(status) for status in STATUSES if status in ended}
    told = ", ".join(f"{number} {MARKS[status]}" for status, number in counts.items())
    verdict = "conforming" if entry["conforming"] else "not conforming"
    if entry["partial"]:
        verdict = "partial: a part of the suite says nothing about conformance"
    elif not entry["conforming"] and entry["as_declared"]:
        verdict += ", exactly as declared"
    if any(note.endswith(ledger.HOW) for note in entry["notes"]):
        verdict += ", but beyond the ledger"
    notes = [f"  note: {note}" for note in entry["notes"]]
    notes += [f"  most telling: {', '.join(entry['telling'])}"] if entry["telling"] else []
    return "\n".join([f"{entry['target']}: {'; '.join(filter(None, (told, verdict)))}", *notes])


def failures(result: Result, reproduce: str) -> str:
    """Return the first undeclared failures, each with the command that reproduces it."""
    found = [record for record in result.failures if not declared_as(record, result.declared)]
    lines = []
    for record in found[:TOLD_FAILURES]:
        lines += [
            "",
            f"{record.test} ({', '.join(record.clauses)})",
            *(f"  {line}" for line in record.message.splitlines()),
            f"  reproduce: {reproduce} --test {shlex.quote(record.test)}",
        ]
    more = len(found) - TOLD_FAILURES
    return "\n".join([*lines, *([f"\n{more} more tests failed"] if more > 0 else [])])


def matrix(entries: Sequence[Entry]) -> str:
    """Return clauses down, targets across."""
    widths = [max(len(entry["target"]), 7) for entry in entries]
    rows = [("clause", [entry["target"] for entry in entries]), *_marks(entries)]
    return "\n".join(
        f"{name:<8} " + " ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        for name, cells in rows
    )


def markdown(document: Mapping[str, Any]) -> str:
    """Return the matrix as a Markdown table, and under it what it means for each target.

    Above it stands whether only a part was run.
    """
    entries = document["results"]
    heads = [entry["target"].replace("|", "\\|") for entry in entries]
    lines = [PARTIAL, ""] if document["partial"] else []
    lines.append(f"| clause | {' | '.join(heads)} |")
    lines.append("|---" * (len(entries) + 1) + "|")
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in _marks(entries)]
    summaries = [line for entry in entries for line in _listed(summary(entry))]
    summaries += [f"- {line}" for line in told_not_judged(document)]
    return "\n".join([*lines, "", *summaries, ""])


def told_not_judged(document: Mapping[str, Any]) -> list[str]:
    """Return a line for each target that was not judged, with the reason."""
    return [f"{each['target']}: not judged, {each['reason']}" for each in document["not_judged"]]


def document(
    entries: Sequence[Entry], not_judged: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what ``--json`` writes; with one target its fields stand at top level, too.

    `not_judged` has the targets that a run of all left out, each with the reason.
    """
    left = dict(not_judged or {})
    top: dict[str, Any] = {
        "format": FORMAT,
        "spec_version": SPEC_VERSION,
        "environment": environment(),
        "partial": STOPPED in left.values() or any(entry["partial"] for entry in entries),
        "not_judged": [{"target": name, "reason": reason} for name, reason in left.items()],
    }
    if len(entries) == 1:
        top |= {name: entries[0][name] for name in ("target", "conforming", "clauses")}
    return {**top, "results": list(entries)}


def entry_of(result: Result, reproduce: str = "") -> Entry:
    """Return one target's part of the document; `reproduce` is the command that judges it again."""
    citations = list(dict.fromkeys(record.clauses for record in result.ran))
    place = {clauses: index for index, clauses in enumerate(citations)}
    return {
        "target": result.target,
        "version": environment().get(distribution(result.target), ""),
        "reproduce": reproduce or f"{COMMAND} {shlex.quote(result.target)}",
        "conforming": result.conforming,
        "as_declared": result.as_declared,
        "partial": result.partial,
        "notes": list(result.notes),
        "telling": [] if result.as_declared else list(result.telling),
        "vectors": len({record.vector for record in result.ran} - {None}),
        "cases": len(result.ran),
        "shares": {
            dtype: {quantity: _number(share) for quantity, share in shares.items()}
            for dtype, shares in result.shares.items()
        },
        "clauses": [
            {**asdict(clause), "worst_ratio": _number(clause.worst_ratio)}
            for clause in result.clauses
        ],
        "citations": [list(clauses) for clauses in citations],
        "ran": [_case(record, place[record.clauses], result.declared) for record in result.ran],
    }


def _case(record: Ran, cites: int, declared: Sequence[Deviation]) -> dict[str, Any]:
    """Return one case; of one that passed only what there is to say, as there are thousands."""
    case: dict[str, Any] = {"test": record.test, "cites": cites}
    if record.share is not None:
        case["share"] = _number(float(f"{record.share:.4g}"))
    if record.status != PASS:
        reasons = [f"{d.code}: {d.reason}" for d in declared_as(record, declared)]
        case["status"] = KNOWN if reasons else record.status
        if reasons:
            case["reason"] = "; ".join(dict.fromkeys(reasons))
        case["message"] = _shortened(record.message)
    return case


def _shortened(message: str) -> str:
    more = len(message) - MESSAGE_LENGTH
    return message if more <= 0 else f"{message[:MESSAGE_LENGTH]}... ({more} characters more)"


def _number(value: float | None) -> float | str | None:
    """Return a number as JSON has it: an infinity is the string of the vectors."""
    return "Infinity" if value is not None and math.isinf(value) else value


def _listed(summary: str) -> list[str]:
    """Return a summary as an item of a Markdown list, its notes as items below it."""
    first, *notes = summary.split("\n")
    return [f"- {first}", *(f"  - {note.strip()}" for note in notes)]


def _row(clause: Mapping[str, Any]) -> str:
    worst = "" if clause["worst_ratio"] is None else f"{float(clause['worst_ratio']):9.3g}"
    reason = clause["reason"]
    if clause["status"] in AS_DECLARED and len(reason) > REASON_WIDTH:
        reason = reason[: REASON_WIDTH - 3] + "..."
    start = f"{clause['id']:<8} {MARKS[clause['status']]:<8} {clause['cases'] or '':>6}"
    return f"{start} {worst:>9}  {reason}".rstrip()


def _marks(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Return for every clause how it ended for each target, empty where it was not asked for."""
    statuses = [{c["id"]: MARKS[c["status"]] for c in entry["clauses"]} for entry in entries]
    return [(name, [status.get(name, "") for status in statuses]) for name in load_clauses()]
