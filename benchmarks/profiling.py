"""Where the time of a step goes: the framework's own profiler, its operations by name.

A profiler slows down what it watches, most where operations are short: it gives shares, and a clock
without it the time.
"""

from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.floor import Floor, timed
from tuned_contrastive.benchmarks.frameworks import Candidate, Framework

SIZES = (256, 1024, 4096)
CALLS = 20
"""Steps, timed first and watched then."""

PRODUCTS = ("mm", "addmm", "matmul", "mklmatmul", "batchmatmulv2", "dot_general")
EXPONENTIALS = ("exp",)
"""Operations by name, without the underscores of what writes in place, or is a library's."""
WATCHED = (frameworks.OURS, frameworks.LEAN, frameworks.SUPCONTRAST, frameworks.RELEASED)
Document = Mapping[str, Any]


def profile(framework: Framework, case: Case, floor: Floor) -> dict[str, Any]:
    """Return time and operations of ours and of the dense formulas, and what the floor is."""
    batch = case.batch()
    found = []
    for candidate in framework.candidates(case):
        if candidate.name in WATCHED and candidate.mode != "xla":
            step = framework.step(candidate, case, batch)
            for _ in range(3):
                step()
            seconds = median(timed(step) for _ in range(CALLS))
            operations = framework.operations(candidate, case, batch, CALLS)
            found.append(_record(candidate, seconds, operations))
    rates = floor.as_json(case.N, case.D)
    return {
        "framework": framework.name,
        **case.as_json(),
        "floor": rates,
        "candidates": found,
    }


def _record(
    candidate: Candidate, seconds: float, operations: Mapping[str, float]
) -> dict[str, Any]:
    whole = sum(operations.values())
    shares = Counter({name: value / whole for name, value in operations.items()})
    return {
        "name": candidate.name,
        "seconds": float(f"{seconds:.6g}"),
        "shares": {name: float(f"{share:.4g}") for name, share in shares.most_common()},
    }


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
