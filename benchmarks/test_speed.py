"""The same measurements as pytest-benchmark cases: ``pytest benchmarks --benchmark-only``.

PyTorch's, or those of the frameworks in TC_BENCHMARK_FRAMEWORKS, separated by commas, which then
share a process. Sizes are those of TC_BENCHMARK_SIZES, by default 256 and 1024; a rival is what
TC_BENCHMARK_RIVAL names, as ``--rival`` takes it, and then of one framework. ``--benchmark-json``
holds what else was found as `extra_info`: the first call's seconds, compilation in them, the share
of the allowed error that was used, the floor (`floor.py`) and how many times it the median takes,
what a fresh process of its own took (`memory.py`), and the machine, threads and versions. Its cases
run one after the other; in turns, as the targets need it, only the command ``speed`` times them.
"""

import argparse
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.benchmarks.cases import LOSSES, Case
from tuned_contrastive.benchmarks.command import peak_memory
from tuned_contrastive.benchmarks.environment import cores, environment, memory_bytes
from tuned_contrastive.benchmarks.floor import Floor
from tuned_contrastive.benchmarks.frameworks import Candidate, Framework, load, load_rival
from tuned_contrastive.benchmarks.truth import truth

FRAMEWORKS = os.environ.get("TC_BENCHMARK_FRAMEWORKS", "torch").split(",")
SIZES = [int(size) for size in os.environ.get("TC_BENCHMARK_SIZES", "256,1024").split(",")]
RIVAL = os.environ.get("TC_BENCHMARK_RIVAL")
THREADS = min(2, cores())
OPTIONS = argparse.Namespace(
    quick=False, seconds=1.0, threads=THREADS, rival=RIVAL, memory_limit=0.0
)
runner = cache(lambda name: load(name, THREADS))
floor = cache(lambda name: Floor.of(runner(name)))
where = cache(lambda: environment(THREADS))


def candidates(name: str, case: Case) -> list[Candidate]:
    """Return what can compute a case's loss, the user's own last."""
    rival = load_rival(runner(name), RIVAL)
    return runner(name).candidates(case) + ([rival] if rival else [])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its framework, case and candidate; a framework is imported only here."""
    found = [
        pytest.param(
            runner(name), case, each, id=f"{name}-{loss}-{N}-{each.name}",
            marks=pytest.mark.benchmark(group=f"{name}, {case.told}"),
        )
        for name in FRAMEWORKS
        for loss in LOSSES
        for N in SIZES
        for case in [Case(loss, N)]
        for each in candidates(name, case)
    ]  # fmt: skip
    metafunc.parametrize(("framework", "case", "candidate"), found)


@pytest.mark.filterwarnings("default")  # whatever a rival warns of
def test_value_and_gradient(
    framework: Framework, case: Case, candidate: Candidate, benchmark: Any, tmp_path: Path
) -> None:
    """Time a candidate that is right on this very input."""
    if candidate.bytes_for(case.N) > memory_bytes("MemAvailable"):
        pytest.skip("out of memory")
    batch = case.batch()
    began = time.perf_counter()
    step = framework.step(candidate, case, batch)
    found = step()
    first_call = time.perf_counter() - began
    share = truth(case, batch).share(framework.numbers(found, case), case.dtype)
    if not share <= 1 and not candidate.is_ours:
        pytest.skip(f"wrong on this input: {share:.3g} times the allowed error")
    assert share <= 1
    least = floor(framework.name).as_json(case.N, case.D)
    benchmark.extra_info |= {
        "first call": first_call,
        "share of the allowed error": share,
        "floor": least,
        "memory": peak_memory(framework.name, case, candidate.name, OPTIONS, str(tmp_path)),
        "environment": where(),
    }
    benchmark(step)
    if benchmark.stats:  # nothing with --benchmark-disable
        benchmark.extra_info["over the floor"] = benchmark.stats.stats.median / least["seconds"]
