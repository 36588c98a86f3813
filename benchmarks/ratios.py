"""One measurement's candidates beside each other: the fastest, and how many times faster it is."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks.floor import floor_seconds

Document = Mapping[str, Any]


def ratio(above: Document, below: Document) -> float:
    """Return the median over the rounds of one candidate's time over another's in that round.

    What disturbs a round disturbs both, and is gone from their ratio.
    """
    return median(float(a / b) for a, b in zip(above["seconds"], below["seconds"], strict=True))


def over_floor(measured: Document, candidate: Document) -> float:
    """Return how many times the floor a candidate takes, by rounds where its rates took turns, too.

    Where they are the process's first, which are fewer, the quotient is that of the medians.
    """
    rounds = measured["floor"].get("rounds", ())
    if len(rounds) != len(candidate["seconds"]):
        return float(candidate["median"] / measured["floor"]["seconds"])
    return ratio(candidate, {"seconds": rounds})


def over(measured: Document, above: str, below: str) -> float | None:
    """Return the ratio of two candidates by name; None where one of them was not timed."""
    first, second = fastest(measured, above), fastest(measured, below)
    return ratio(first, second) if first and second else None


def fastest(measured: Document, *candidates: str) -> Document | None:
    """Return whose median is the least of these; None where none was timed."""
    return _fastest(measured, lambda name: name in candidates)


def fastest_rival(measured: Document) -> Document | None:
    """Return the same of what is not ours, a user's own loss among them."""
    return _fastest(measured, lambda name: name not in names.ALL_OURS)


def told_without(measured: Document, *rivals: str) -> str:
    """Return why there is nothing to compare with; without names, of all that is not ours."""
    status = [
        each["status"]
        for each in measured["candidates"]
        if (each["name"] in rivals if rivals else each["name"] not in names.ALL_OURS)
    ]
    return "no rival fits" if {*status} == {"out of memory"} else "no rival timed"


def _fastest(measured: Document, is_one: Callable[[str], bool]) -> Document | None:
    found = [
        each
        for each in measured["candidates"]
        if each["status"] == "timed" and is_one(each["name"])
    ]
    return min(found, key=lambda each: float(each["median"]), default=None)


def median_of(measured: Document, name: str) -> float | None:
    """Return a candidate's median seconds; None where it was not timed."""
    found = fastest(measured, name)
    return None if found is None else float(found["median"])


def floor_at(measured: Document, D: int) -> float:
    """Return the floor in seconds at the measurement's N and rates, for D columns."""
    floor = measured["floor"]
    rates = float(floor["flops_per_second"]), float(floor["seconds_per_exponential"])
    return floor_seconds(measured["N"], D, *rates)
