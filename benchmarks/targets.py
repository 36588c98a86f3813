"""The targets, as data, and whether results meet them; nothing here was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks.ratios import (
    fastest,
    floor_at,
    over,
    over_floor,
    ratio,
    told_without,
)

Document = Mapping[str, Any]
Goals = Mapping[int, tuple[float, float | None]]
"""By N: what must be, and the stretch."""

LEAN = (names.LEAN, names.LEAN_XLA)
"""TensorFlow's is the better of graph and XLA, and so is ours beside it."""

FASTER_THAN_LEAN: Goals = {256: (0.9, None), 1024: (1.2, None), 4096: (2, 3), 16384: (2, 3)}
OVER_THE_FLOOR: Goals = {4096: (2, 1.6), 16384: (1.5, 1.2), 65536: (1.5, 1.2)}
GROWTH: Goals = {4096: (64, None), 16384: (150, None), 65536: (400, None)}
NO_CLIFF = 2.0
DENSE_OVER_LEAN = 1.1


@dataclass(frozen=True)
class Target:
    """One row of the table, for one framework and loss."""

    told: str
    framework: str
    loss: str
    measure: str
    """"faster" (times, more is better), "floor" (times) or "growth" (MiB)."""
    goals: Goals
    rivals: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.framework} {LOSS_NAMES[self.loss]}: {self.told}"


UNJUDGED = "–"
VALUELESS = {"not measured": UNJUDGED, "missed": "**missed**, ours has no figure"}
"""How a mark without a value is told, where not by itself."""


@dataclass(frozen=True)
class Verdict:
    """What was found, and whether it meets the target."""

    value: float | None
    mark: str
    """"stretch", "met", "missed", "not measured", or that ours runs and no rival does."""
    limit: float | None = None
    """What the floor itself would reach, where that is told."""

    @property
    def told(self) -> str:
        """The verdict in a cell of a table."""
        if self.value is None:
            return VALUELESS.get(self.mark, self.mark)
        if self.mark != "missed":
            return f"{self.value:.3g} {self.mark}"
        limit = "" if self.limit is None else f", the floor {self.limit:.3g}"
        return f"{self.value:.4g} **missed**{limit}"  # a digit more: by how little


LOSS_NAMES = {"supcon": "SupCon", "tcl": "TCL"}
TARGETS = (
    Target(
        "times faster than the fastest of pytorch-metric-learning and SupContrast's formula",
        "torch", "supcon", "faster",
        {256: (1, 2), 1024: (2, 3), 4096: (8, 11), 16384: (9, 11), 65536: (0, None)},
        (names.PML, names.SUPCONTRAST),
    ),
    Target(
        "times faster than the authors' dense formula",
        "torch", "tcl", "faster",
        {256: (1, 2), 1024: (2, 4), 4096: (12, 16), 16384: (18, 28), 65536: (0, None)},
        (names.RELEASED,),
    ),
    *(Target("time over the floor", "torch", loss, "floor", OVER_THE_FLOOR)
      for loss in LOSS_NAMES),
    *(Target("times faster than the lean dense formula", framework, loss, "faster",
             {**FASTER_THAN_LEAN, 65536: (0, None)}, LEAN)
      for framework in ("jax", "tensorflow") for loss in LOSS_NAMES),
    *(Target(f"growth of peak memory{of}, MiB", framework, loss, "growth", GROWTH)
      for framework, of in (("torch", ""), ("jax", ""), ("tensorflow", " of a graph"))
      for loss in LOSS_NAMES),
)  # fmt: skip


def verdicts(target: Target, speed: Document | None, memory: Document | None) -> dict[int, Verdict]:
    """Return the verdict for each N of a target."""
    found = {}
    for N, (must, stretch) in target.goals.items():
        if target.measure == "growth":
            value, told, limit = *_growth(target, N, memory), None
        else:
            value, told, limit = _time(target, N, speed)
        if value is None:
            found[N] = Verdict(None, told or "not measured")
            continue
        sign = 1 if target.measure == "faster" else -1
        mark = "met" if sign * value >= sign * must else "missed"
        if stretch is not None and sign * value >= sign * stretch:
            mark = "stretch"
        found[N] = Verdict(value, mark, limit)
    return found


def further(speed: Document | None) -> Iterator[tuple[str, Document, Verdict]]:
    """Yield the targets beside the table: no cliff in a variant, our dense form is lean.

    Each with the measurement that it is about.
    """
    for measured in (speed or {}).get("measurements", ()):
        title = f"{measured['framework']} {LOSS_NAMES[measured['loss']]}"
        status = {each["name"]: each["status"] for each in measured["candidates"]}
        if names.OURS_BASE in status:
            told = f"{title}, {measured['variant']}: times the base case at equal floor"
            floors = [floor_at(measured, D) for D in (measured["D"], 128)]
            cliff = over(measured, names.OURS, names.OURS_BASE)
            value = None if cliff is None else cliff * floors[1] / floors[0]
            yield told, measured, _at_most(value, NO_CLIFF)
        dense = _dense_over_lean(measured, status)
        if dense is not None and measured["variant"] in ("base", "learnable"):
            of = "" if measured["variant"] == "base" else ", learnable"
            yield f"{title}{of}: our dense form over the lean one", measured, dense


def base_of(found: Document | None, framework: str, loss: str, N: int) -> list[Document]:
    """Return the measurements of a base case."""
    key = (framework, loss, N, "base")
    return [
        each
        for each in (found or {}).get("measurements", ())
        if (each["framework"], each["loss"], each["N"], each["variant"]) == key
    ]


def _time(target: Target, N: int, speed: Document | None) -> tuple[float | None, str, float | None]:
    """Return what was found, what else to say, and what the floor would reach of a rival."""
    for measured in base_of(speed, target.framework, target.loss, N):
        ours = fastest(measured, names.OURS, names.OURS_XLA)
        if ours is None:
            return None, "missed", None
        if target.measure == "floor":
            return over_floor(measured, ours), "", None
        rival = fastest(measured, *target.rivals)
        if rival is None:
            return None, f"runs; {told_without(measured, *target.rivals)}", None
        return ratio(rival, ours), "", over_floor(measured, rival)
    return None, "", None


def _growth(target: Target, N: int, memory: Document | None) -> tuple[float | None, str]:
    """Return what ours takes in MiB, and what else to say."""
    for measured in base_of(memory, target.framework, target.loss, N):
        if measured["name"] == names.OURS:
            was_measured = measured["status"] == "measured"
            return (float(measured["bytes"]) / 2**20, "") if was_measured else (None, "missed")
    return None, ""


def _dense_over_lean(measured: Document, status: Mapping[str, str]) -> Verdict | None:
    """Return the verdict on our dense form; None where there is nothing to compare it with."""
    dense, lean = status.get(names.OURS_DENSE), status.get(names.LEAN)
    neither_fits = dense == lean == "out of memory"
    if dense is None or neither_fits or (dense == "timed" and lean != "timed"):
        return None
    return _at_most(over(measured, names.OURS_DENSE, names.LEAN), DENSE_OVER_LEAN)


def _at_most(value: float | None, goal: float) -> Verdict:
    """Return the verdict on what must not be more; without a value of ours it is missed."""
    return Verdict(value, "met" if value is not None and value <= goal else "missed")
