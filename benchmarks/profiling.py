"""Where the time of a step goes: the framework's own profiler, its operations by name.

A profiler slows down what it watches, most where operations are short: it gives shares, and a clock
without it the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tuned_contrastive.benchmarks import frameworks, speed
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.floor import Floor
from tuned_contrastive.benchmarks.frameworks import Framework

RIVALS_UP_TO = 4096
"""Above it ours alone is watched: a rival takes minutes, and nearly all of them for its pairs."""

SECONDS, MOST_CALLS = 1.0, 20
"""How long steps are watched, and how many at most."""

PRODUCTS = ("mm", "bmm", "addmm", "matmul", "mklmatmul", "fusedmatmul", "mklfusedmatmul",
            "batchmatmulv2", "dot_general")  # fmt: skip
EXPONENTIALS = ("exp",)
"""Operations by name, without the underscores of what writes in place, or is a library's."""

WATCHED = (
    frameworks.OURS,
    frameworks.OURS_XLA,
    frameworks.OURS_DENSE,
    frameworks.LEAN,
    frameworks.LEAN_XLA,
    frameworks.SUPCONTRAST,
    frameworks.RELEASED,
)
TIMED_ONLY = (frameworks.PML,)
"""Not watched, but part of a target: timed to see whether a miss repeats itself."""


def profile(
    framework: Framework,
    case: Case,
    settings: speed.Settings,
    floor: Floor,
    *,
    excused: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return what `speed.measure` does, with the shares of the operations of what was timed."""
    kept = {*WATCHED, *TIMED_ONLY}
    names = {each.name for each, _ in speed.contestants(framework, case, None)}
    unwanted = dict.fromkeys(names - kept, "not kept")
    excused = {**unwanted, **(excused or {})}
    measured = speed.measure(framework, case, settings, floor, excused=excused, tell=tell)
    watched = {each.name: each for each in framework.candidates(case) if each.name in WATCHED}
    records = [each for each in measured["candidates"] if each["name"] in kept]
    for record in records:
        if record["status"] == "timed" and record["name"] in watched:
            calls = min(MOST_CALLS, 1 + int(SECONDS / record["median"]))
            operations = framework.operations(watched[record["name"]], case, case.batch(), calls)
            record["shares"] = _shares(operations)
    return measured | {"candidates": records}


def watched_cases(cases: list[Case]) -> list[Case]:
    """Return the cases, and again with learnable parameters where rivals are watched."""
    cases = [replace(case, rivals=case.N <= RIVALS_UP_TO) for case in cases]
    fixed = [case for case in cases if case.rivals and not case.learnable]
    further = [
        replace(case, learnable=True, variant=f"{case.variant}, learnable") for case in fixed
    ]
    return cases + [replace(c, variant=c.variant.removeprefix("base, ")) for c in further]


def _shares(operations: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each operation, the largest first; none where none was seen."""
    whole = sum(operations.values())
    ordered = sorted(operations.items(), key=lambda item: -item[1])
    return {name: float(f"{seconds / whole:.4g}") for name, seconds in ordered if seconds > 0}


def share_of(shares: Mapping[str, float], kind: tuple[str, ...]) -> float:
    """Return the share of the operations of a kind."""
    return sum(share for name, share in shares.items() if _is(name, kind))


def others(shares: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    """Return the largest of the others."""
    kinds = PRODUCTS + EXPONENTIALS
    rest = [item for item in shares.items() if not _is(item[0], kinds)]
    return sorted(rest, key=lambda item: -item[1])[:count]


def _is(name: str, kind: tuple[str, ...]) -> bool:
    return name.lower().strip("_") in kind
