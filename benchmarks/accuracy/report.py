"""Writes the page, ``RESULTS.md``, and its figures from the records; the claims stand in order."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.accuracy import figures, page, tables
from tuned_contrastive.benchmarks.accuracy.findings import (
    PARTS,
    Comparison,
    Findings,
    across_settings,
    spread_difference,
)
from tuned_contrastive.benchmarks.accuracy.names import TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FRAMEWORKS, Plan

Record = Mapping[str, Any]
PAGE, CURVES = Path("RESULTS.md"), Path("results/curves.json")


def write(lines: Sequence[Record], plan: Plan, output: Path) -> None:
    """Write the page, the curves that its figures show, and the figures."""
    findings = Findings(lines, plan)
    curves = findings.curves()
    (output / CURVES).parent.mkdir(parents=True, exist_ok=True)
    content = [curve.as_json() for curve in curves]
    (output / CURVES).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    figures.draw(curves, (output / CURVES).parent)
    (output / PAGE).write_text(document(findings), encoding="utf-8")


def document(findings: Findings) -> str:
    """Return the page."""
    parts = [
        page.OPENING,
        page.origin(findings),
        _summary(findings),
        page.how(findings.plan),
        tables.data_sets(findings),
        page.CLAIMS_2_3,
    ]
    settings = findings.plan.settings
    if "supervised" in settings:
        parts += [_many_positives(findings), _supervised(findings), _stability(findings)]
    if "self-supervised" in settings and findings.datasets("self-supervised"):
        parts.append(_self_supervised(findings))
    if "frameworks" in settings and tables.framework_losses(findings):
        parts.append(_frameworks(findings))
    parts.append(page.LIMITS)
    return "\n".join(part for part in parts if part)


def supervised_comparisons(findings: Findings) -> list[Comparison]:
    """Return TCL against each rival, data set by data set."""
    return _against(findings, "supervised", "tcl", "linear")


def self_supervised_comparisons(findings: Findings, kind: str) -> list[Comparison]:
    """Return TCL with three views against each rival, then with two."""
    three = _against(findings, "self-supervised", "tcl-3-views", kind)
    two = _against(findings, "self-supervised", "tcl-2-views", kind)
    return [*three, *(each for each in two if each.second != "tcl-3-views")]


def _against(findings: Findings, setting: str, ours: str, kind: str) -> list[Comparison]:
    losses = findings.losses(setting)
    return [
        findings.compare(setting, dataset, ours, rival, kind)
        for dataset in findings.datasets(setting)
        for rival in losses
        if ours in losses and rival != ours
    ]


def _many_positives(findings: Findings) -> str:
    """Claim 1: labels give many positives, two views give one; the same rows, the same probe."""
    found = across_settings(findings)
    return page.claim_1(tables.comparisons(found), found) if found else ""


def _supervised(findings: Findings) -> str:
    compared = supervised_comparisons(findings)
    defaults = [
        findings.compare_defaults(each.dataset, each.first, each.second)
        for each in compared
        if each.second != UNTRAINED
    ]
    chosen = tables.chosen(findings, "supervised", "tcl") if compared else ""
    return page.claim_4(
        tables.accuracy(findings, "supervised"),
        tables.comparisons(compared),
        chosen,
        tables.comparisons(defaults),
    )


def _stability(findings: Findings) -> str:
    if not findings.has_sweeps():
        return ""
    return page.claim_5(tables.sweeps(findings), tables.spreads(findings))


def _self_supervised(findings: Findings) -> str:
    kinds = ("linear", "neighbours")
    compared = [self_supervised_comparisons(findings, kind) for kind in kinds]
    return page.claim_6(
        *(tables.accuracy(findings, "self-supervised", kind) for kind in kinds),
        *(tables.comparisons(found) for found in compared),
    )


def _frameworks(findings: Findings) -> str:
    said = []
    for loss in tables.framework_losses(findings):
        for pair in combinations(FRAMEWORKS, 2):
            a, b = (tables.framework_interval(findings, name, loss) for name in pair)
            overlap = a.low <= b.high and b.low <= a.high
            told = "overlap" if overlap else "do not overlap"
            said.append(f"{TITLES[loss]}, {pair[0]} and {pair[1]}: the intervals {told}.")
    return page.frameworks(tables.frameworks(findings), said)


def _summary(findings: Findings) -> str:
    """Say claim by claim what the comparisons support."""
    said = [page.sides("Claim 1, labels against views", across_settings(findings))]
    if "supervised" in findings.plan.settings:
        said.append(page.sides("Claim 4, TCL with labels", supervised_comparisons(findings)))
    if findings.has_sweeps():
        names = [name for name in findings.plan.scale.sweeps if name not in ("k1", "k2")]
        verdicts = {name: tables.moves(spread_difference(findings, name)[2]) for name in names}
        said.append(page.told_moves(verdicts))
    if "self-supervised" in findings.plan.settings:
        for kind in ("linear", "neighbours"):
            found = self_supervised_comparisons(findings, kind)
            said.append(page.sides(f"Claim 6, TCL without labels, {PARTS[kind]}", found))
    return page.summary([each for each in said if each])
