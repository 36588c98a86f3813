"""Times candidates on a CUDA device, in the worker: queued calls, after warm-up, until a deadline.

PyTorch is timed by the device's events; JAX offers none, so that some queued calls are timed until
the last is there. Up to `CHECKED` rows a candidate is compared with the truth before it is timed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.benchmarks.floor import SIDE, floor_seconds
from tuned_contrastive.benchmarks.frameworks import OURS_DENSE, Candidate, Framework, Step
from tuned_contrastive.benchmarks.speed import first_line, summary, told_failure
from tuned_contrastive.benchmarks.truth import truth

CHECKED = 16384
SAMPLES = 7
SHORTEST = 0.003
"""Seconds of one sample: shorter calls are repeated."""

GROWTH = 16.0
"""How much longer a case may last than that of a quarter of its rows."""


class OnDevice(Framework, Protocol):
    """A framework that can be timed on a CUDA device."""

    def compiled(self, case: Case) -> list[Candidate]:
        """Return further candidates that a compiler makes."""

    def device_step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call that only queues its work."""

    def device_seconds(self, step: Step, calls: int) -> float:
        """Return the seconds of one of some calls."""

    def device_peak(self, candidate: Candidate, case: Case, batch: Batch, step: Step) -> int:
        """Return the peak memory of one call over its inputs."""

    def free_device_bytes(self) -> int:
        """Return what is free on the device."""


def measure_all(
    framework: Any, cases: list[Case], request: dict[str, Any], tell: Callable[..., None]
) -> None:
    """Measure case by case; what no longer fits in time is told as skipped."""
    runner: OnDevice = framework
    ends = time.monotonic() + float(request["seconds"])
    flops, per_exponential = _rates(runner)
    lasted: dict[tuple[str, ...], float] = {}
    for case in cases:
        batch = case.batch()
        records = []
        for candidate in _contestants(runner, case):
            record: dict[str, Any] = {"name": candidate.name, "mode": candidate.mode}
            key = (candidate.name, case.loss, case.variant)
            left = ends - time.monotonic()
            if lasted.get(key, 0.0) * GROWTH > left or left < 1:
                record |= {"status": "skipped", "reason": "no time left"}
            else:
                began = time.monotonic()
                record |= _measured(runner, candidate, case, batch, request)
                lasted[key] = time.monotonic() - began - record.get("first_call", 0.0)
            records.append(record)
        floor = {
            "seconds": floor_seconds(case.N, case.D, flops, per_exponential),
            "flops_per_second": flops,
            "seconds_per_exponential": per_exponential,
        }
        done = {"framework": framework.name, **case.as_json(), "checked": case.N <= CHECKED}
        tell({"done": done | {"floor": floor, "candidates": records}})


def _contestants(framework: OnDevice, case: Case) -> list[Candidate]:
    """Return ours and dense autodiff; not the releases' formulas, which compute in half."""
    every = framework.candidates(case)
    chosen = [each for each in every if each.name != OURS_DENSE]
    ours_and_lean = [each for each in chosen if each.is_ours or each.name.startswith("lean")]
    return ours_and_lean + framework.compiled(case)


def _rates(framework: OnDevice) -> tuple[float, float]:
    """Return the float32 flops a second, and the seconds of an exponential."""
    product, exponents, count = framework.floor_steps(SIDE)
    product()
    exponents()
    rates = [framework.device_seconds(step, 3) for step in (product, exponents) for _ in range(5)]
    return 2 * SIDE**3 / median(rates[:5]), median(rates[5:]) / count


def _measured(
    framework: OnDevice, candidate: Candidate, case: Case, batch: Batch, request: dict[str, Any]
) -> dict[str, Any]:
    free = framework.free_device_bytes()
    if candidate.bytes_for(case.N) > free > 0:
        need = candidate.bytes_for(case.N) / 2**30
        reason = f"would need {need:.0f} GiB, {free / 2**30:.0f} GiB are free"
        return {"status": "out of memory", "reason": reason}
    try:
        return _timed(framework, candidate, case, batch, request)
    except Exception as error:  # whatever a candidate raises, the run goes on
        return {"status": told_failure(error), "reason": first_line(error)}


def _timed(
    framework: OnDevice, candidate: Candidate, case: Case, batch: Batch, request: dict[str, Any]
) -> dict[str, Any]:
    began = time.monotonic()
    step = framework.device_step(candidate, case, batch)
    numbers = framework.numbers(step(), case)  # waits for the device
    record: dict[str, Any] = {"first_call": time.monotonic() - began}
    if case.N <= CHECKED:
        share = truth(case, batch, Path(request["folder"])).share(numbers, case.dtype)
        if not share <= 1:
            loss = float(numbers["loss"])
            return record | {"status": "wrong", "reason": f"loss {loss:.6g}, share {share:.3g}"}
    record["peak_bytes"] = framework.device_peak(candidate, case, batch, step)
    calls = max(1, min(200, round(SHORTEST / framework.device_seconds(step, 1))))
    samples = [framework.device_seconds(step, calls) for _ in range(SAMPLES)]
    return record | {"status": "timed"} | summary(samples)
