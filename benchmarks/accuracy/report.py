"""Writes the page, ``RESULTS.md``, and its figures from the records; the claims stand in order."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.accuracy import caveats, claims, figures, page, summary, tables
from tuned_contrastive.benchmarks.accuracy.data import ALTERED
from tuned_contrastive.benchmarks.accuracy.findings import (
    DIFFERENCES,
    PARTS,
    Comparison,
    Curve,
    Findings,
    across_settings,
    difference_curves,
    movements,
)
from tuned_contrastive.benchmarks.accuracy.movement import Movement
from tuned_contrastive.benchmarks.accuracy.names import ONLY_TCL, TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FRAMEWORKS, Plan
from tuned_contrastive.benchmarks.accuracy.records import Record
from tuned_contrastive.benchmarks.accuracy.statistics import Interval
from tuned_contrastive.benchmarks.response import curves
from tuned_contrastive.benchmarks.response.command import RESULTS as RESPONSES
from tuned_contrastive.benchmarks.response.command import rounded

Document = dict[str, Any]
PAGE, CURVES = Path("RESULTS.md"), Path("results/curves.json")
KINDS = ("linear", "neighbours")


def write(lines: Sequence[Record], plan: Plan, output: Path) -> None:
    """Write the page, the curves that its figures show, and the figures."""
    findings = Findings(lines, plan)
    curves = all_curves(findings)
    (output / CURVES).parent.mkdir(parents=True, exist_ok=True)
    content = [curve.as_json() for curve in curves]
    (output / CURVES).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    figures.draw(curves, (output / CURVES).parent)
    (output / PAGE).write_text(document(findings, output), encoding="utf-8")


def all_curves(findings: Findings) -> list[Curve]:
    """Return what the figures show: accuracies, their differences, and sweeps."""
    return [
        *findings.curves(),
        *difference_curves("labels", across_settings(findings)),
        *difference_curves("supervised", supervised_comparisons(findings)),
        *difference_curves("self-supervised", self_supervised_comparisons(findings, "linear")),
        *difference_curves("neighbours", self_supervised_comparisons(findings, "neighbours")),
    ]


def document(findings: Findings, output: Path) -> str:
    """Return the page that is to stand in a folder, from which its links start."""
    responses = Path(os.path.relpath(RESPONSES, output)).as_posix()
    plan = findings.plan
    labelled = findings.datasets("supervised")
    parts = [
        page.opening(plan),
        page.origin(findings),
        _summary(findings),
        page.how(findings),
        tables.data_sets(findings),
        page.ALTERED if set(plan.datasets) & set(ALTERED) else "",
        _many_positives(findings, f"{responses}/share.svg") if labelled else "",
        claims.responses(responses, *_of_one_pair()),
    ]
    if labelled:
        parts += [_with_labels(findings), _stability(findings)]
    if findings.datasets("self-supervised"):
        parts.append(_without_labels(findings))
    if tables.framework_losses(findings):
        parts.append(_frameworks(findings))
    parts.append(page.limits(plan))
    return "\n".join(part for part in parts if part)


@cache
def _of_one_pair() -> tuple[Document, Document]:
    """Return the arrays of figures 1 and 2 of responses: of a positive, and of a negative."""
    return rounded(curves.positive()), rounded(curves.negative())


def supervised_comparisons(findings: Findings) -> list[Comparison]:
    """Return TCL against each rival, data set by data set."""
    return _against(findings, "supervised", "tcl", "linear")


def default_comparisons(findings: Findings) -> list[Comparison]:
    """Return TCL against each rival before tuning, on validation rows."""
    return [
        findings.compare_defaults(each.dataset, each.first, each.second)
        for each in summary.rivals(supervised_comparisons(findings))
    ]


def self_supervised_comparisons(findings: Findings, kind: str) -> list[Comparison]:
    """Return TCL with three views against each rival, then with two."""
    three = _against(findings, "self-supervised", "tcl-3-views", kind)
    two = _against(findings, "self-supervised", "tcl-2-views", kind)
    return [*three, *(each for each in two if each.second != "tcl-3-views")]


def untrained_comparisons(findings: Findings, kind: str) -> list[Comparison]:
    """Return every loss without labels against the encoder that nothing trained."""
    return [
        findings.compare("self-supervised", dataset, loss, UNTRAINED, kind)
        for dataset in findings.datasets("self-supervised")
        for loss in findings.losses("self-supervised")
        if loss != UNTRAINED
    ]


def _against(findings: Findings, setting: str, ours: str, kind: str) -> list[Comparison]:
    losses = findings.losses(setting)
    return [
        findings.compare(setting, dataset, ours, rival, kind)
        for dataset in findings.datasets(setting)
        for rival in losses
        if ours in losses and rival != ours
    ]


def _with_figure(plan: Plan, name: str, found: Sequence[Comparison], kind: str = "linear") -> str:
    """Return the table of differences, below the figure that shows them."""
    scales = f" {page.OWN_SCALES}" * (len({each.dataset for each in found}) > 1)
    shown = (
        f"![Differences on test rows](results/{name}{DIFFERENCES}.svg)\n\n"
        f"The numbers of the table below: differences in test accuracy by {PARTS[kind]}, after "
        f"tuning, paired by\n{plan.scale.seeds} seeds; bars are 95 % intervals with the variance "
        f"of Nadeau and Bengio.{scales}\n\n"
    )
    return (shown if found else "") + tables.comparisons(found)


def _many_positives(findings: Findings, figure: str) -> str:
    """Claim 1: labels give many positives, two views give one; the same rows, the same probe."""
    found = across_settings(findings)
    if not found:
        return ""
    positives = caveats.positives({each.dataset for each in found})
    compared = _with_figure(findings.plan, "labels", found)
    supported = summary.more_positives(found)
    return claims.many_positives(positives, compared, found, figure, supported)


def _with_labels(findings: Findings) -> str:
    compared = supervised_comparisons(findings)
    differences = _with_figure(findings.plan, "supervised", compared)
    return claims.with_labels(
        findings.plan,
        tables.accuracy(findings, "supervised"),
        "\n".join(filter(None, (differences, caveats.few_rows(findings) if compared else ""))),
        tables.chosen(findings, "supervised"),
        tables.comparisons(default_comparisons(findings)),
        caveats.smallest_k1(findings),
        summary.more_accurate(compared) if summary.rivals(compared) else "",
    )


def _stability(findings: Findings) -> str:
    if not findings.has_sweeps():
        return ""
    return claims.stability(
        findings.plan,
        tables.sweeps(findings),
        tables.moved(findings),
        caveats.unequal_points(findings),
        summary.more_stable(_differences_of_movements(findings)),
    )


def _differences_of_movements(findings: Findings) -> dict[str, Interval]:
    """Return by parameter that both losses have how much more TCL moves."""
    names = [name for name in findings.plan.scale.sweeps if name not in ONLY_TCL]
    return {name: movements(findings, name)[2] for name in names}


def _dependence(findings: Findings) -> tuple[dict[str, Movement], str]:
    """Return how far k1 and k2 move TCL, and on which parameters the losses depend at all."""
    found = {name: movements(findings, name)[:2] for name in findings.plan.scale.sweeps}
    every = {
        (loss, name): pair[at]
        for at, loss in enumerate(("tcl", "supcon"))
        for name, pair in found.items()
        if loss == "tcl" or name not in ONLY_TCL
    }
    own = {name: tcl for name, (tcl, _) in found.items() if name in ONLY_TCL}
    return own, summary.dependence(every)


def _without_labels(findings: Findings) -> str:
    compared = [self_supervised_comparisons(findings, kind) for kind in KINDS]
    linear, neighbours = (tables.accuracy(findings, "self-supervised", kind) for kind in KINDS)
    first = _with_figure(findings.plan, "self-supervised", compared[0])
    second = _with_figure(findings.plan, "neighbours", compared[1], "neighbours")
    return claims.without_labels(
        findings.plan,
        findings.datasets("self-supervised"),
        (linear, neighbours),
        (first, second),
        tables.chosen(findings, "self-supervised"),
        "\n\n".join(_beside_untrained(findings, kind) for kind in KINDS),
        summary.on_par(compared[0]) if compared[0] else "",
    )


def _beside_untrained(findings: Findings, kind: str) -> str:
    """Return the table of each loss less the untrained encoder, and what it says."""
    found = untrained_comparisons(findings, kind)
    told = f"Every loss less the untrained encoder, by {PARTS[kind]}."
    return f"{told}\n\n{tables.comparisons(found)}\n{caveats.beside_untrained(found, kind)}"


def _frameworks(findings: Findings) -> str:
    compared = [
        replace(findings.compare_frameworks(loss, *pair), dataset=TITLES[loss])
        for loss in tables.framework_losses(findings)
        for pair in combinations(FRAMEWORKS, 2)
    ]
    differences = tables.comparisons(compared, "loss")
    supported = summary.overlap(tables.framework_intervals(findings))
    seeds = findings.plan.scale.seeds
    return claims.frameworks(tables.frameworks(findings), differences, supported, seeds)


def _summary(findings: Findings) -> str:
    """Say claim by claim what the comparisons support."""
    said = []
    if across := across_settings(findings):
        told = f"{summary.sides(across)} {summary.more_positives(across)}"
        said.append(f"Claim 1, labels against views. {told}")
    said.append("Claims 2 and 3, responses. " + claims.responses_supported(_of_one_pair()[1]))
    if compared := supervised_comparisons(findings):
        said.append(_labels_in_short(findings, compared))
    if findings.has_sweeps():
        differences = _differences_of_movements(findings)
        told = summary.told_moves(differences, *_dependence(findings))
        said.append(f"Claim 5. {told} {summary.more_stable(differences)}")
    for kind in KINDS:
        if found := self_supervised_comparisons(findings, kind):
            told = summary.sides(summary.rivals(found))
            told += " " + caveats.beside_untrained(untrained_comparisons(findings, kind), kind)
            said.append(f"Claim 6, TCL without labels, {PARTS[kind]}. {told}")
    if found := self_supervised_comparisons(findings, "linear"):
        said.append(f"Claim 6. {summary.on_par(found)}")
    return summary.in_short(said)


def _labels_in_short(findings: Findings, compared: Sequence[Comparison]) -> str:
    rivals = summary.rivals(compared)
    told = [
        summary.sides(rivals) if rivals else "",
        summary.more_accurate(compared) if rivals else "",
        summary.with_defaults(default_comparisons(findings)),
        summary.tally(summary.with_untrained(compared)),
    ]
    return " ".join(["Claim 4, TCL with labels, after tuning.", *filter(None, told)])
