"""What the records say: accuracies by seed, comparisons with their intervals, curves of figures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuned_contrastive.benchmarks.accuracy.movement import (
    Movement,
    movement,
    movement_difference,
)
from tuned_contrastive.benchmarks.accuracy.names import CROSS_ENTROPY, TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FINAL, SWEPT, TUNED_AS, Plan, batch_count
from tuned_contrastive.benchmarks.accuracy.records import Record
from tuned_contrastive.benchmarks.accuracy.statistics import (
    Interval,
    mean_interval,
    paired_interval,
)

DIFFERENCES = "-differences"
"""How the names of figures end that show differences."""
PARTS = {"linear": "linear probe", "neighbours": "5 nearest neighbours"}


@dataclass(frozen=True)
class Comparison:
    """The difference of two losses on one data set."""

    first: str
    second: str
    dataset: str
    difference: Interval
    higher: int
    """Seeds where the first is higher."""
    lower: int


@dataclass(frozen=True)
class Curve:
    """One line with its band, or one row of points with their intervals, before it is drawn."""

    figure: str
    panel: str
    name: str
    x: tuple[Any, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as `results/curves.json` holds it, an end that there is not as null."""
        return {key: _listed(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


class Findings:
    """The records of one plan.

    Raises
    ------
    ValueError
        Where a run of the plan has no record.
    """

    def __init__(self, lines: Sequence[Record], plan: Plan) -> None:
        self.plan = plan
        self.environments = [line["environment"] for line in lines if "environment" in line]
        found = {line["key"]: line for line in lines if "key" in line}
        first = [*plan.first_runs(), *plan.framework_runs()]
        missing = [run for run in first if run.key not in found]
        wanted = first if missing else [*first, *plan.final_runs(list(found.values()))]
        missing = [run for run in wanted if run.key not in found]
        if missing:
            raise ValueError(f"{len(missing)} runs have no record, the first is {missing[0].key}")
        self.by_key = found
        self.records: list[Record] = [found[run.key] for run in wanted]

    def finals(self, setting: str, dataset: str, loss: str) -> list[Record]:
        """Return the runs that count, in the order of seeds."""
        return self._of(FINAL, setting, dataset, loss)

    def frameworks(self, framework: str, loss: str) -> list[Record]:
        """Return a framework's runs, in the order of seeds."""
        return self._of(framework, "frameworks", "digits", loss)

    def _of(self, role: str, setting: str, dataset: str, loss: str) -> list[Record]:
        wanted = {"role": role, "setting": setting, "dataset": dataset, "loss": loss}
        found = [each for each in self.records if wanted.items() <= each["run"].items()]
        return sorted(found, key=lambda each: int(each["run"]["seed"]))

    def losses(self, setting: str) -> list[str]:
        """Return the losses that were compared, as they are listed everywhere."""
        return list(dict.fromkeys(loss for s, _, loss, _ in self.plan.compared() if s == setting))

    def datasets(self, setting: str) -> list[str]:
        """Return the data sets of a setting."""
        return list(dict.fromkeys(data for s, data, _, _ in self.plan.compared() if s == setting))

    def compare(
        self, setting: str, dataset: str, first: str, second: str, part: str = "linear"
    ) -> Comparison:
        """Return the difference of two losses on the test rows, paired by seed."""
        pairs = [self.finals(setting, dataset, loss) for loss in (first, second)]
        return _comparison(first, second, dataset, pairs, "test", part)

    def compare_defaults(self, dataset: str, first: str, second: str) -> Comparison:
        """Return the difference on the validation rows, both with their defaults."""
        seeds = range(self.plan.scale.seeds)
        pairs = [
            [self.by_key[self.plan.tuning_runs("supervised", dataset, loss, seed)[0].key]
             for seed in seeds]
            for loss in (first, second)
        ]  # fmt: skip
        return _comparison(first, second, dataset, pairs, "validation", "linear")

    def ties(self) -> dict[str, tuple[int, int]]:
        """Return by data set how many choices of tuning had equals, of how many."""
        counts: dict[str, tuple[int, int]] = {}
        for setting, dataset, loss, seed in self.plan.compared():
            if loss == UNTRAINED or loss in TUNED_AS:
                continue
            runs = self.plan.tuning_runs(setting, dataset, loss, seed)
            found = accuracies([self.by_key[run.key] for run in runs], "validation", "linear")
            tied, of = counts.get(dataset, (0, 0))
            counts[dataset] = tied + (found.count(max(found)) > 1), of + 1
        return counts

    def compare_frameworks(self, loss: str, first: str, second: str) -> Comparison:
        """Return the difference of two frameworks on the test rows, paired by seed."""
        pairs = [self.frameworks(name, loss) for name in (first, second)]
        return _comparison(first, second, "digits", pairs, "test", "linear")

    def diverged(self) -> int:
        """Return how many trainings gave no finite features, which counts as an accuracy of 0."""
        parts = [record.get("validation") or record["test"] for record in self.records]
        return sum(part["linear"] == 0 for part in parts)

    def swept_values(self, name: str) -> tuple[float, ...]:
        """Return the values of a sweep; of batch sizes, the mean rows that a batch really had."""
        values = self.plan.scale.sweeps[name]
        if name != "batch_size":
            return tuple(values)
        run = self.plan.swept(SWEPT[0], name, values[0], 0)
        rows = self.by_key[run.key]["rows"]["train"]
        return tuple(round(rows / batch_count(rows, value)) for value in values)

    def swept(self, loss: str, name: str) -> list[list[float]]:
        """Return validation accuracies of a sweep: for each value, those of the seeds."""
        seeds, values = range(self.plan.scale.sweep_seeds), self.plan.scale.sweeps[name]
        runs = [[self.plan.swept(loss, name, value, seed) for seed in seeds] for value in values]
        return [
            accuracies([self.by_key[run.key] for run in of_value], "validation", "linear")
            for of_value in runs
        ]

    def has_sweeps(self) -> bool:
        """Return whether parameters were swept, for both losses."""
        runs = self.plan.sweep_runs()
        return {run.loss for run in runs} == set(SWEPT)

    def curves(self) -> list[Curve]:
        """Return everything that the figures show, in percent."""
        return [*self._accuracy_curves(), *self._sweep_curves()]

    def _accuracy_curves(self) -> Iterable[Curve]:
        parts = {"supervised": ("linear",), "self-supervised": ("linear", "neighbours")}
        for setting, kinds in parts.items():
            for kind in kinds:
                for dataset in self.datasets(setting):
                    names = self.losses(setting)
                    values = [self.finals(setting, dataset, loss) for loss in names]
                    means = [mean_interval(accuracies(each, "test", kind)) for each in values]
                    panel = dataset if len(kinds) == 1 else f"{dataset}, {PARTS[kind]}"
                    yield _curve(setting, panel, "", [TITLES[loss] for loss in names], means)

    def _sweep_curves(self) -> Iterable[Curve]:
        if self.has_sweeps():
            for name in self.plan.scale.sweeps:
                for loss in SWEPT:
                    means = [mean_interval(each) for each in self.swept(loss, name)]
                    yield _curve("sweeps", name, TITLES[loss], self.swept_values(name), means)


def accuracies(records: Sequence[Record], part: str, kind: str) -> list[float]:
    """Return one accuracy of every record."""
    return [float(each[part][kind]) for each in records]


def movements(findings: Findings, name: str) -> tuple[Movement, Movement, Interval]:
    """Return how far a parameter moves TCL and SupCon, and the difference of the two variances."""
    run = findings.plan.sweep_runs()[0]
    ratio = judged_over_trained(findings.by_key[run.key], "validation")
    tcl, supcon = (movement(findings.swept(loss, name), ratio) for loss in ("tcl", "supcon"))
    return tcl, supcon, movement_difference(tcl, supcon, ratio)


def judged_over_trained(record: Record, part: str) -> float:
    """Return the rows that judge over the rows that trained."""
    return float(record["rows"][part] / record["rows"]["train"])


def own_classifier(records: Sequence[Record]) -> Interval | None:
    """Return the accuracy of cross-entropy's own classifier on the test rows."""
    if not records or records[0]["run"]["loss"] != CROSS_ENTROPY:
        return None
    return mean_interval(accuracies(records, "test", "own"))


def _comparison(
    first: str, second: str, dataset: str, pairs: Sequence[Sequence[Record]], part: str, kind: str
) -> Comparison:
    a, b = (accuracies(records, part, kind) for records in pairs)
    difference = paired_interval(a, b, judged_over_trained(pairs[0][0], part))
    higher = sum(x > y for x, y in zip(a, b, strict=True))
    lower = sum(x < y for x, y in zip(a, b, strict=True))
    return Comparison(first, second, dataset, difference, higher, lower)


def _curve(
    figure: str, panel: str, name: str, x: Iterable[Any], means: Sequence[Interval]
) -> Curve:
    ends = [tuple(100 * getattr(each, end) for each in means) for end in ("mean", "low", "high")]
    return Curve(figure, panel, name, tuple(x), *ends)


def _listed(values: tuple[Any, ...]) -> list[Any]:
    """Return a list as JSON has it: it knows no infinity."""
    return [None if isinstance(v, float) and math.isinf(v) else v for v in values]


def difference_curves(name: str, found: Sequence[Comparison]) -> list[Curve]:
    """Return differences as a figure shows them, in points, a panel for each data set."""
    return [
        _curve(
            name + DIFFERENCES,
            dataset,
            "",
            [f"{TITLES[c.first]} less {TITLES[c.second]}" for c in found if c.dataset == dataset],
            [c.difference for c in found if c.dataset == dataset],
        )
        for dataset in dict.fromkeys(each.dataset for each in found)
    ]


def across_settings(findings: Findings) -> list[Comparison]:
    """Return labels against views alone: the same loss, rows, seeds, encoder and probe."""
    pairs = {"tcl": "tcl-2-views", "supcon": "simclr"}
    found = []
    for dataset in findings.datasets("self-supervised"):
        for labelled, unlabelled in pairs.items():
            settings = {"supervised": labelled, "self-supervised": unlabelled}
            if dataset in findings.datasets("supervised") and all(
                loss in findings.losses(setting) for setting, loss in settings.items()
            ):
                records = [findings.finals(s, dataset, loss) for s, loss in settings.items()]
                found.append(_comparison(labelled, unlabelled, dataset, records, "test", "linear"))
    return found
