"""Which runs there are: tuning, the runs that count, sweeps, and the frameworks'."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuned_contrastive.benchmarks.accuracy.data import INSTALLED
from tuned_contrastive.benchmarks.accuracy.names import SELF_SUPERVISED, SUPERVISED, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.records import Record
from tuned_contrastive.benchmarks.accuracy.tuning import defaults, trials

SETTINGS = ("supervised", "self-supervised", "frameworks")
SWEEP, EMBEDDINGS, TUNING, FINAL = "sweep", "embeddings", "tuning", "final"
FRAMEWORKS = ("torch", "jax", "keras")

TUNED_AS = {"ntxent": "simclr"}
"""Two implementations of one loss, which a test compares, share their tuning."""

SWEEPS: dict[str, tuple[float, ...]] = {
    "k1": (0, 1, 10, 100, 1e3, 5e3, 1e4, 1e5),
    "k2": (0.1, 0.5, 1, 2, 5, 10),
    "temperature": (0.05, 0.07, 0.1, 0.2, 0.5, 1),
    "batch_size": (16, 32, 64, 128, 256),
    "learning_rate": (0.01, 0.03, 0.1, 0.3, 1),
    "epochs": (5, 10, 20, 30, 40, 80),
    "embedding": (4, 8, 16, 32, 64, 128),
}
SWEPT = ("supcon", "tcl")


@dataclass(frozen=True)
class Run:
    """One training, and what is measured of it."""

    setting: str
    dataset: str
    loss: str
    seed: int
    role: str
    """TUNING, FINAL, SWEEP or EMBEDDINGS; in the setting "frameworks" the framework's name."""
    parameters: tuple[tuple[str, float], ...]

    @property
    def key(self) -> str:
        """Return what tells this run from all others."""
        return json.dumps(self.as_json(), sort_keys=True)

    def as_json(self) -> dict[str, Any]:
        """Return what a record keeps of it."""
        return {**self.__dict__, "parameters": dict(self.parameters)}


@dataclass(frozen=True)
class Scale:
    """How much is run."""

    seeds: int
    trials: int
    epochs: int
    steps: int
    """Small training sets get so many epochs that they make this many steps."""
    sweeps: Mapping[str, tuple[float, ...]]
    sweep_seeds: int
    framework_epochs: int
    datasets: tuple[str, ...]


FULL = Scale(
    seeds=10, trials=8, epochs=30, steps=300, sweeps=SWEEPS, sweep_seeds=5, framework_epochs=20,
    datasets=INSTALLED,
)  # fmt: skip
QUICK = Scale(
    seeds=2, trials=2, epochs=1, steps=4, sweep_seeds=2, framework_epochs=1,
    sweeps={"k1": (0, 5e3), "temperature": (0.1, 1)}, datasets=("digits", "wine"),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What the user asked for."""

    scale: Scale
    datasets: tuple[str, ...]
    settings: tuple[str, ...] = SETTINGS
    losses: tuple[str, ...] = (*SUPERVISED, *SELF_SUPERVISED)

    def first_runs(self) -> list[Run]:
        """Return the runs that wait for no other."""
        compared = [
            (*each[:2], TUNED_AS.get(each[2], each[2]), each[3]) for each in self.compared()
        ]
        compared = list(dict.fromkeys(compared))
        tuning = [
            run for each in compared if each[2] != UNTRAINED for run in self.tuning_runs(*each)
        ]
        untrained = [self.final_run(*each, []) for each in compared if each[2] == UNTRAINED]
        return [*tuning, *untrained, *self.sweep_runs(), *self.embedding_runs()]

    def final_runs(self, records: Sequence[Record]) -> list[Run]:
        """Return the runs that count, each with the setting that tuning chose for its seed."""
        return [self.final_run(*each, records) for each in self.compared() if each[2] != UNTRAINED]

    def compared(self) -> list[tuple[str, str, str, int]]:
        """Return setting, data set, loss and seed of everything that is tuned and compared."""
        every = {"supervised": SUPERVISED, "self-supervised": SELF_SUPERVISED}
        return [
            (setting, dataset, loss, seed)
            for setting, all_losses in every.items()
            if setting in self.settings and set(all_losses) & set(self.losses)
            for dataset in self.datasets
            if setting == "supervised" or _has_views(dataset)
            for loss in (UNTRAINED, *all_losses)
            if loss in (UNTRAINED, *self.losses)
            for seed in range(self.scale.seeds)
        ]

    def tuning_runs(self, setting: str, dataset: str, loss: str, seed: int) -> list[Run]:
        """Return as many runs for every loss; the first has the defaults."""
        given = [self._filled(each) for each in trials(loss, self.scale.trials)]
        return [Run(setting, dataset, loss, seed, TUNING, each) for each in given]

    def final_run(
        self, setting: str, dataset: str, loss: str, seed: int, records: Sequence[Record]
    ) -> Run:
        """Return the run that sees the test rows, with the best parameters on validation."""
        if loss == UNTRAINED:
            return Run(setting, dataset, loss, seed, FINAL, (("epochs", 0.0), ("steps", 0.0)))
        tuned = self.tuning_runs(setting, dataset, TUNED_AS.get(loss, loss), seed)
        found = {
            record["key"]: record["validation"]["linear"]
            for record in records
            if record["run"]["role"] == TUNING
        }
        best = max(tuned, key=lambda run: float(found[run.key]))  # the first of equal ones
        return replace(best, loss=loss, role=FINAL)

    def sweep_runs(self) -> list[Run]:
        """Return one parameter after the other away from the defaults, on digits."""
        if "supervised" not in self.settings or "digits" not in self.datasets:
            return []
        runs = [
            self.swept(loss, name, value, seed)
            for loss in SWEPT
            if loss in self.losses
            for name, values in self.scale.sweeps.items()
            for value in values
            for seed in range(self.scale.sweep_seeds)
        ]
        return list(dict.fromkeys(runs))

    def swept(self, loss: str, name: str, value: float, seed: int) -> Run:
        """Return the run of one point; SupCon stays where it has no such parameter."""
        given = {**defaults(loss), "epochs": float(self.scale.epochs), "steps": 0.0}
        if name in given:
            given[name] = float(value)
        return Run("supervised", "digits", loss, seed, SWEEP, _frozen(given))

    def embedding_runs(self) -> list[Run]:
        """Return the runs whose embeddings are kept, with the defaults."""
        if "supervised" not in self.settings or "digits" not in self.datasets:
            return []
        swept = [loss for loss in SWEPT if loss in self.losses]
        given = {loss: self._filled(defaults(loss)) for loss in (UNTRAINED, *swept)}
        return [
            Run("supervised", "digits", loss, 0, EMBEDDINGS, each) for loss, each in given.items()
        ]

    def framework_runs(self) -> list[Run]:
        """Return the runs of the README's example, framework by framework."""
        if "frameworks" not in self.settings or "digits" not in self.datasets:
            return []
        given = _frozen({"epochs": float(self.scale.framework_epochs)})
        return [
            Run("frameworks", "digits", loss, seed, framework, given)
            for framework in FRAMEWORKS
            for loss in SWEPT
            if loss in self.losses
            for seed in range(self.scale.seeds)
        ]

    def trains(self) -> bool:
        """Return whether anything is trained; without, no loss is left that a setting has."""
        runs = [*self.first_runs(), *self.framework_runs()]
        return any(run.loss != UNTRAINED for run in runs)

    def _filled(self, given: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        budget = {"epochs": float(self.scale.epochs), "steps": float(self.scale.steps)}
        return _frozen({**given, **budget})


def batch_count(rows: int, batch_size: float) -> int:
    """Return into how many batches of nearly equal size the rows go."""
    return max(1, round(rows / batch_size))


def _has_views(dataset: str) -> bool:
    """Return whether labels are left out for this data set, too: plain images only."""
    return dataset == "digits" or dataset not in INSTALLED


def _frozen(given: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((name, float(value)) for name, value in given.items()))
