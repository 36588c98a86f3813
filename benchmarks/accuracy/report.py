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
    rivals,
    spread_difference,
)
from tuned_contrastive.benchmarks.accuracy.plan import FRAMEWORKS, TITLES, Plan

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
    parts += [_summary(findings), page.LIMITS]
    return "\n".join(part for part in parts if part)


def supervised_comparisons(findings: Findings) -> list[Comparison]:
    """Return TCL against each rival, data set by data set."""
    return _against(findings, "supervised", ("tcl",), "linear")


def self_supervised_comparisons(findings: Findings, kind: str) -> list[Comparison]:
    """Return TCL with three views, then with two, against each rival."""
    return _against(findings, "self-supervised", ("tcl-3-views", "tcl-2-views"), kind)


def _against(findings: Findings, setting: str, ours: Sequence[str], kind: str) -> list[Comparison]:
    losses = findings.losses(setting)
    return [
        findings.compare(setting, dataset, loss, rival, kind)
        for loss in ours
        if loss in losses
        for dataset in findings.datasets(setting)
        for rival in rivals(loss, losses)
    ]


def _many_positives(findings: Findings) -> str:
    """Claim 1: labels give many positives, two views give one; the same rows, the same probe."""
    found = across_settings(findings)
    return page.claim_1(tables.comparisons(found), found) if found else ""


def _supervised(findings: Findings) -> str:
    compared = supervised_comparisons(findings)
    defaults = [
        findings.compare_defaults(dataset, "tcl", rival)
        for dataset in findings.datasets("supervised")
        for rival in rivals("tcl", findings.losses("supervised"))
        if "tcl" in findings.losses("supervised")
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
    return page.claim_6(
        *(tables.accuracy(findings, "self-supervised", kind) for kind in ("linear", "neighbours")),
        *(
            tables.comparisons(self_supervised_comparisons(findings, kind))
            for kind in ("linear", "neighbours")
        ),
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
    """Say of each comparison with an interval beside 0 what it supports, and count the others."""
    groups: dict[str, list[Comparison]] = {}
    if "supervised" in findings.plan.settings:
        groups["Supervised, test rows"] = supervised_comparisons(findings)
    if "self-supervised" in findings.plan.settings:
        for kind in ("linear", "neighbours"):
            name = f"Self-supervised, test rows, {PARTS[kind]}"
            groups[name] = self_supervised_comparisons(findings, kind)
    said = [page.counted(name, found) for name, found in groups.items() if found]
    if findings.has_sweeps():
        names = [name for name in findings.plan.scale.sweeps if name not in ("k1", "k2")]
        verdicts = {name: tables.moves(spread_difference(findings, name)[2]) for name in names}
        said.append(page.counted_moves(verdicts))
    return page.summary(said)
