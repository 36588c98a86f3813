"""The same measurements as pytest-benchmark cases: ``pytest benchmarks --benchmark-only``.

PyTorch's, or those of the frameworks in TC_BENCHMARK_FRAMEWORKS, separated by commas, which then
share a process. Sizes are those of TC_BENCHMARK_SIZES, by default 256 and 1024; a rival is what
TC_BENCHMARK_RIVAL names, as ``--rival`` takes it, and then of one framework. ``--benchmark-json``
holds what else was found as `extra_info`: the first call's seconds, compilation in them, the share
of the allowed error that was used, the floor (`floor.py`) and how many times it the median takes,
what a fresh process of its own took (`memory.py`), and the machine, threads and versions.

What is chosen of a group is timed once and in turns, by `speed.measure`, when its first case runs;
each case then tells pytest-benchmark its own samples through the timer. ``--benchmark-max-time`` is
for the rounds of a group, ``--benchmark-min-rounds`` its fewest, up to 40; other options of timing
have no effect. With ``--benchmark-disable`` there is one round.
"""

import argparse
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.benchmarks import speed
from tuned_contrastive.benchmarks.cases import LOSSES, Case
from tuned_contrastive.benchmarks.command import peak_memory
from tuned_contrastive.benchmarks.environment import cores, environment, memory_bytes
from tuned_contrastive.benchmarks.floor import Floor
from tuned_contrastive.benchmarks.frameworks import ALL_OURS, load, load_rival

FRAMEWORKS = os.environ.get("TC_BENCHMARK_FRAMEWORKS", "torch").split(",")
SIZES = [int(size) for size in os.environ.get("TC_BENCHMARK_SIZES", "256,1024").split(",")]
RIVAL = os.environ.get("TC_BENCHMARK_RIVAL")
THREADS = min(2, cores())
OPTIONS = argparse.Namespace(
    quick=False, seconds=1.0, threads=THREADS, rival=RIVAL, memory_limit=0.0
)
runner = cache(lambda name: load(name, THREADS))
rival = cache(lambda name: load_rival(runner(name), RIVAL))
floor = cache(lambda name: Floor.of(runner(name)))
where = cache(lambda: environment(THREADS))
ticks: list[float] = []


def timer() -> float:
    """Return what pytest-benchmark takes for the time, before and after each round."""
    return ticks.pop(0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its framework, case and candidate; a framework is imported only here."""
    found = [
        pytest.param(
            framework, case, each.name, id=f"{framework}-{loss}-{N}-{each.name}",
            marks=pytest.mark.benchmark(group=f"{framework}, {case.told}", timer=timer),
        )
        for framework in FRAMEWORKS
        for loss in LOSSES
        for N in SIZES
        for case in [Case(loss, N)]
        for each, _ in speed.contestants(runner(framework), case, rival(framework))
    ]  # fmt: skip
    metafunc.parametrize(("framework", "case", "candidate"), found)


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Callable[[str, Case], dict[str, Any]]:
    """Return the measurement of a case with those of its candidates that were chosen."""
    items: list[Any] = request.session.items
    params = [item.callspec.params for item in items if item.parent is request.node]
    chosen = {(each["framework"], each["case"], each["candidate"]) for each in params}
    given = request.config.getoption
    seconds, fewest = float(given("benchmark_max_time")), given("benchmark_min_rounds")
    if given("benchmark_disable"):
        seconds, fewest = 0.0, 1

    @cache
    def measure(framework: str, case: Case) -> dict[str, Any]:
        settings = speed.Settings(seconds, fewest, memory_bytes=memory_bytes("MemAvailable"))
        every = speed.contestants(runner(framework), case, rival(framework))
        unasked = {
            each.name: "not chosen"
            for each, _ in every
            if (framework, case, each.name) not in chosen
        }
        return speed.measure(
            runner(framework),
            case,
            settings,
            floor(framework),
            rival=rival(framework),
            excused=unasked,
        )

    return measure


@pytest.mark.filterwarnings("default")  # whatever a rival warns of
def test_value_and_gradient(
    framework: str, case: Case, candidate: str, measured: Any, benchmark: Any, tmp_path: Path
) -> None:
    """Tell the times of a candidate that is right on this very input."""
    found = measured(framework, case)
    (record,) = (each for each in found["candidates"] if each["name"] == candidate)
    if record["status"] != "timed":
        assert record["status"] == "out of memory" or candidate not in ALL_OURS, record["reason"]
        pytest.skip(f"{record['status']}: {record['reason']}")
    benchmark.extra_info |= {
        "in turns": [each["name"] for each in found["candidates"] if each["status"] == "timed"],
        "first call": record["first_call"],
        "share of the allowed error": record["share"],
        "floor": found["floor"],
        "over the floor": record["median"] / found["floor"]["seconds"],
        "memory": peak_memory(framework, case, candidate, OPTIONS, str(tmp_path)),
        "environment": where(),
    }
    ticks[:] = [tick for seconds in record["seconds"] for tick in (0.0, seconds)]
    benchmark.pedantic(lambda: None, rounds=len(record["seconds"]))
