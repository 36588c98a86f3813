"""Times the candidates of a case in turns, in one process, after each was checked and warmed up.

Every candidate first computes value and gradient of that very input; what is further from the
truth than section 9 of the specification allows is not timed. The others take turns, each round in
an order of its own, so that a noisy machine, and what ran before, disturb all of them alike.
"""

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.floor import Floor, quartiles, timed
from tuned_contrastive.benchmarks.frameworks import Candidate, Framework, Step
from tuned_contrastive.benchmarks.truth import Truth, truth

SHORTEST = 0.02
"""Seconds that one sample lasts at least: shorter calls are repeated, in caches that are theirs."""

LARGEST = {frameworks.OURS_DENSE: 4096}
"""Up to which N our further forms take part: they tell no more above it, and take minutes."""

LONG = 16.0
"""Seconds from which on a first call is not followed by a warm-up, nor by more than 3 rounds;
unless what takes them is `torch.compile`, of few rows."""

SEED = 0
"""Of the order within the rounds, which is the same in every run."""

FLOOR_FROM = 4096
"""From this N the floor's rates are measured in the rounds; below they are the process's first."""


@dataclass(frozen=True)
class Settings:
    """How long and where to measure."""

    seconds: float
    """For the rounds of one case; the fewest rounds are run however long they take."""
    fewest: int = 5
    """Rounds; three where a round is `LONG`."""
    most: int = 40
    memory_bytes: float = float("inf")
    folder: Path | None = None
    """Where truths are kept for the next process."""


@dataclass
class _Runner:
    step: Step
    record: dict[str, Any]
    calls: int = 1
    samples: list[float] = field(default_factory=list)


def measure(
    framework: Framework,
    case: Case,
    settings: Settings,
    floor: Floor,
    *,
    rival: Candidate | None = None,
    excused: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return the measurement of one case: its candidates, the floor, what was not timed and why.

    `excused` names candidates that are not run, with the reason: not chosen, or what ended an
    earlier process on this case. `tell` is called with a candidate's name before its first call.
    """
    records: list[dict[str, Any]] = []
    runners = []
    for candidate, of in contestants(framework, case, rival):
        record: dict[str, Any] = {"name": candidate.name, "mode": candidate.mode}
        records.append(record)
        broke, need = (excused or {}).get(candidate.name), too_large(candidate, of, settings)
        if broke:
            record |= {"status": told_breakdown(broke), "reason": broke}
            continue
        if need:
            record |= {"status": "out of memory", "reason": need}
            continue
        tell(candidate.name)
        step = _checked(framework, candidate, of, settings, record)
        if step is not None:
            runners.append(_Runner(step, record))
    rates = _take_turns(runners, settings, floor, case)
    return {
        "framework": framework.name,
        **case.as_json(),
        "floor": rates.as_json(case.N, case.D),
        "candidates": records,
    }


def contestants(
    framework: Framework, case: Case, rival: Candidate | None
) -> list[tuple[Candidate, Case]]:
    """Return the candidates, each with the case whose input it gets."""
    every = framework.candidates(case)
    found = [
        (each, case)
        for each in every
        if (case.rivals or not each.copies) and LARGEST.get(each.name, case.N) >= case.N
    ]
    if rival is not None and not case.learnable:  # it takes embeddings and labels only
        found.append((rival, case))
    if case.variant not in ("base", "learnable"):
        base = Candidate(frameworks.OURS_BASE, every[0].loss, mode=every[0].mode, is_ours=True)
        found.append((base, case.base))
    return found


def too_large(candidate: Candidate, case: Case, settings: Settings) -> str:
    """Return why a candidate's N x N arrays cannot be held; nothing where they can."""
    need = candidate.bytes_for(case.N)
    if need <= settings.memory_bytes:
        return ""
    return f"would need {need / 2**30:.0f} GiB, {settings.memory_bytes / 2**30:.0f} GiB are free"


def _checked(
    framework: Framework,
    candidate: Candidate,
    case: Case,
    settings: Settings,
    record: dict[str, Any],
) -> Step | None:
    """Compile, run once and compare; return None, and say why, where it is not to be timed."""
    batch = case.batch()
    exact = truth(case, batch, settings.folder)
    try:
        began = time.perf_counter()
        step = framework.step(candidate, case, batch)
        found = step()
        record["first_call"] = _rounded(time.perf_counter() - began)
        numbers = framework.numbers(found, case)
    except Exception as error:  # whatever a rival raises, the run goes on
        record |= {"status": told_failure(error), "reason": first_line(error)}
        return None
    share = exact.share(numbers, case.dtype)
    record["share"] = None if share == float("inf") else _rounded(share)
    why = told_wrong(exact, numbers, case)
    if why:
        record |= {"status": "wrong", "reason": why}
        return None
    record["status"] = "timed"
    return step


def _take_turns(runners: Sequence[_Runner], settings: Settings, floor: Floor, case: Case) -> Floor:
    """Time all in turns, write the figures into their records, and return the floor's rates."""
    own_floor = case.N >= FLOOR_FROM and bool(runners)
    rates = floor.afresh() if own_floor else floor
    lasts = [timed(floor.product) + timed(floor.exponents)] if own_floor else []
    for runner in runners:
        # Nothing was compiled, and a call this long has warmed up what there is.
        slow = runner.record["mode"] == "eager" and runner.record["first_call"] > settings.seconds
        slow = slow or (runner.record["mode"] != "compile" and runner.record["first_call"] > LONG)
        # The least of three: one that is slow by chance would be called less often in its turn.
        last = runner.record["first_call"] if slow else min(_warm_up(runner.step))
        runner.calls = max(1, round(SHORTEST / last))
        lasts.append(last * runner.calls)
    rounds = int(settings.seconds / max(sum(lasts), 1e-9))
    rounds = min(max(rounds, settings.fewest if sum(lasts) < LONG else 3), settings.most)
    gc.collect()
    turns: list[Callable[[], None]] = [_turn(runner) for runner in runners]
    turns += [rates.sample] if own_floor else []
    order = random.Random(SEED)
    for _ in range(rounds if turns else 0):
        for turn in order.sample(turns, len(turns)):
            turn()
    for runner in runners:
        runner.record.update(summary(runner.samples))
    return rates


def _warm_up(step: Step) -> list[float]:
    """Return the seconds of three calls, of one where it is long."""
    first = timed(step)
    return [first] if first > SHORTEST else [first, timed(step), timed(step)]


def _turn(runner: _Runner) -> Callable[[], None]:
    def turn() -> None:
        began = time.perf_counter()
        for _ in range(runner.calls):
            runner.step()
        runner.samples.append((time.perf_counter() - began) / runner.calls)

    return turn


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Return median, quartiles and the samples themselves, in seconds."""
    return {
        "median": _rounded(median(samples)),
        "quartiles": [_rounded(each) for each in quartiles(samples)],
        "seconds": [_rounded(sample) for sample in samples],
    }


def told_wrong(exact: Truth, found: Mapping[str, Any], case: Case) -> str:
    """Return how far from the truth a result is; nothing where that is allowed."""
    share = exact.share(found, case.dtype)
    if share <= 1:
        return ""
    how = "not the loss" if share == float("inf") else f"{share:.3g} times the allowed error"
    return f"{how}: {float(found['loss']):.6g}, exact {float(exact.exact['loss']):.6g}"


def told_failure(error: Exception) -> str:
    """Return whether an error says that memory ran out, or that something else failed."""
    return "out of memory" if _ran_out(f"{type(error).__name__} {error}") else "failed"


def told_breakdown(why: str) -> str:
    """Return the same of a process that ended; the kernel kills what takes too much."""
    return "out of memory" if "SIGKILL" in why or _ran_out(why) else "broke down"


def _ran_out(text: str) -> bool:
    words = ("memoryerror", "outofmemory", "out of memory", "can't allocate", "resource_exhausted",
             "resourceexhausted", "failed to allocate", "bad_alloc", "oom when")  # fmt: skip
    return any(word in text.lower() for word in words)


def first_line(error: Exception) -> str:
    """Return an error's kind and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
