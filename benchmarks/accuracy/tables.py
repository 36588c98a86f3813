"""Markdown tables of the findings, and what each comparison supports, in words."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from tuned_contrastive.benchmarks.accuracy.data import ABOUT
from tuned_contrastive.benchmarks.accuracy.findings import (
    PARTS,
    Comparison,
    Findings,
    accuracies,
    movements,
    own_classifier,
)
from tuned_contrastive.benchmarks.accuracy.movement import Movement
from tuned_contrastive.benchmarks.accuracy.names import CROSS_ENTROPY, ONLY_TCL, TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FRAMEWORKS, SWEPT, batch_count
from tuned_contrastive.benchmarks.accuracy.statistics import LEVEL, Interval, holm, mean_interval
from tuned_contrastive.benchmarks.accuracy.tuning import BASE, RANGES
from tuned_contrastive.benchmarks.tables import table

SMALLEST_P = 0.001
MOST_CHOSEN = 3
"""Choices of a loss that the page shows, the most frequent ones."""


def percent(interval: Interval) -> str:
    """Return a mean with its interval, in percent."""
    return f"{100 * interval.mean:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def counted(number: int, one: str) -> str:
    """Return a number of things."""
    return f"{number} {one}{'' if number == 1 else 'es' if one.endswith('s') else 's'}"


def points(interval: Interval) -> str:
    """Return a difference with its interval, in points of percent, with signs."""
    if math.isinf(interval.high):
        return f"{100 * interval.mean:+.1f} (no interval)"
    return f"{100 * interval.mean:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def verdict(compared: Comparison) -> str:
    """Return what a comparison supports."""
    if not compared.difference.side:
        return "no difference claimed"
    better, worse = (compared.first, compared.second)[:: compared.difference.side]
    return f"{_title(better)} above {_title(worse)}"


def alone(difference: Interval, adjusted: float) -> str:
    """Return what is to say of a claim that Holm's correction does not leave."""
    return " (not after Holm)" if difference.side and adjusted >= 1 - LEVEL else ""


def data_sets(findings: Findings) -> str:
    """Return the table of the data sets: what they are, and their rows."""
    rows = []
    names = dict.fromkeys((*findings.datasets("supervised"), *findings.datasets("self-supervised")))
    for name in names:
        setting = "supervised" if name in findings.datasets("supervised") else "self-supervised"
        losses = findings.losses(setting)
        counts = findings.finals(setting, name, losses[0])[0]["rows"]
        steps = max(record["steps"] for record in findings.finals(setting, name, losses[-1]))
        sizes = [str(counts[part]) for part in ("train", "validation", "test")]
        batch = round(counts["train"] / batch_count(counts["train"], BASE["batch_size"]))
        rows.append([name, ABOUT[name], *sizes, str(batch), str(steps)])
    head = ["data set", "", "training", "validation", "test", "rows of a batch", "steps"]
    return table(head, rows)


def accuracy(findings: Findings, setting: str, kind: str = "linear") -> str:
    """Return accuracies on the test rows: data sets down, losses across, or the other way."""
    losses, datasets = findings.losses(setting), findings.datasets(setting)
    cells = {
        (dataset, loss): percent(
            mean_interval(accuracies(findings.finals(setting, dataset, loss), "test", kind))
        )
        for dataset in datasets
        for loss in losses
    }
    if setting == "supervised":
        head = ["data set", *(TITLES[loss] for loss in losses)]
        rows = [[dataset, *(cells[dataset, loss] for loss in losses)] for dataset in datasets]
        if CROSS_ENTROPY in losses:
            head.append("cross-entropy, its own classifier")
            for row in rows:
                own = own_classifier(findings.finals(setting, row[0], CROSS_ENTROPY))
                row.append(percent(own) if own else "")
        return table(head, rows)
    head = ["loss", *(f"{dataset}, {PARTS[kind]}" for dataset in datasets)]
    return table(head, [[TITLES[loss], *(cells[d, loss] for d in datasets)] for loss in losses])


def comparisons(found: Sequence[Comparison], over: str = "data set") -> str:
    """Return differences, paired by seed, and what they support."""
    head = [over, "difference", "points (95 % interval)", "p", "p, Holm", "seeds", "supports"]
    together = holm([each.difference.p for each in found])
    return table(
        head,
        [
            [
                each.dataset,
                f"{_title(each.first)} less {_title(each.second)}",
                points(each.difference),
                _p(each.difference.p),
                _p(adjusted),
                f"{each.higher} higher, {each.lower} lower",
                verdict(each) + alone(each.difference, adjusted),
            ]
            for each, adjusted in zip(found, together, strict=True)
        ],
    )


def chosen(findings: Findings, setting: str) -> str:
    """Return the parameters that tuning chose most often for each loss, and in how many seeds."""
    rows = []
    for dataset in findings.datasets(setting):
        for loss in findings.losses(setting):
            given = [each["run"]["parameters"] for each in findings.finals(setting, dataset, loss)]
            counts = Counter(_tuned(each) for each in given)
            for told, count in counts.most_common(MOST_CHOSEN) if loss != UNTRAINED else ():
                rows.append([dataset, TITLES[loss], told, str(count)])
    return table(["data set", "loss", "chosen", "seeds"], rows)


def sweeps(findings: Findings) -> str:
    """Return the mean accuracy at every value of every sweep."""
    rows = []
    for name in findings.plan.scale.sweeps:
        values = findings.swept_values(name)
        for loss in SWEPT:
            means = [mean_interval(each).mean for each in findings.swept(loss, name)]
            told = [f"{v:g}: {100 * m:.1f}" for v, m in zip(values, means, strict=True)]
            if loss == "tcl" or name not in ONLY_TCL:
                rows.append([name.replace("_", " "), TITLES[loss], ", ".join(told)])
    return table(["parameter", "loss", "value: mean validation accuracy, %"], rows)


def moved(findings: Findings) -> str:
    """Return how far accuracy moves over each sweep, for both losses."""
    found = {name: movements(findings, name) for name in findings.plan.scale.sweeps}
    both = [name for name in found if name not in ONLY_TCL]
    together = dict(zip(both, holm([found[name][2].p for name in both]), strict=True))
    rows = []
    for name, (tcl, supcon, difference) in found.items():
        told = [""] * 5
        if name in together:
            told = [move(supcon), _squares(difference), _p(difference.p), _p(together[name])]
            told.append(moves(difference) + alone(difference, together[name]))
        rows.append([name.replace("_", " "), move(tcl), *told])
    head = ["parameter", "TCL moves", "SupCon moves", "TCL less SupCon, points squared"]
    return table([*head, "p", "p, Holm", "supports"], rows)


def move(found: Movement) -> str:
    """Return how far one loss moves, in points, beside what scatter alone moves it."""
    moved, scatter = (100 * math.sqrt(max(v, 0.0)) for v in (found.variance, found.by_scatter))
    return f"{moved:.1f} (scatter {scatter:.1f}; {_equation(found.p)})"


def moves(difference: Interval) -> str:
    """Return what the difference of two movements supports."""
    if not difference.side:
        return "no difference claimed"
    return "TCL moves more" if difference.side > 0 else "TCL moves less"


def frameworks(findings: Findings) -> str:
    """Return the accuracies of the README's example in each framework."""
    losses = framework_losses(findings)
    rows = [
        [name, *(percent(framework_interval(findings, name, loss)) for loss in losses)]
        for name in FRAMEWORKS
    ]
    return table(["framework", *(TITLES[loss] for loss in losses)], rows)


def framework_losses(findings: Findings) -> list[str]:
    """Return the losses that ran in every framework."""
    return list(dict.fromkeys(run.loss for run in findings.plan.framework_runs()))


def framework_interval(findings: Findings, name: str, loss: str) -> Interval:
    """Return the mean accuracy of one framework."""
    return mean_interval(accuracies(findings.frameworks(name, loss), "test", "linear"))


def framework_intervals(findings: Findings) -> dict[str, list[Interval]]:
    """Return by loss the mean accuracy of every framework."""
    return {
        loss: [framework_interval(findings, name, loss) for name in FRAMEWORKS]
        for loss in framework_losses(findings)
    }


def _tuned(parameters: Mapping[str, float]) -> str:
    names = {name: name.replace("_", " ") for name in (*RANGES, "smoothing")}
    names["temperature"] = "T"
    told = [f"{names[name]} {parameters[name]:g}" for name in names if name in parameters]
    return ", ".join(told)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= SMALLEST_P else f"< {SMALLEST_P:g}"


def _equation(p: float) -> str:
    return f"p {'' if p < SMALLEST_P else '= '}{_p(p)}"


def _squares(difference: Interval) -> str:
    """Return a difference of variances with its interval, in squares of points."""
    mean, low, high = (1e4 * v for v in (difference.mean, difference.low, difference.high))
    return f"{mean:+.2f} " + (
        f"({low:+.2f} to {high:+.2f})" if low > -math.inf else "(no interval)"
    )


def _title(name: str) -> str:
    return TITLES.get(name, name)  # a framework has no other name
