"""What is judged of measurements: targets, ratios, exponents, and what is told of a miss."""

from typing import Any

import pytest

from tuned_contrastive.benchmarks import (
    frameworks,
    missed,
    profiling,
    ratios,
    tables,
)
from tuned_contrastive.benchmarks import targets as goals
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.conformance.selftest.sample_measurements import candidate, measurement

Document = dict[str, Any]


@pytest.mark.parametrize(
    ("ours", "mark"), [(0.5, "missed"), (0.25, "met"), (0.1, "stretch"), (None, "not measured")]
)
def test_target_is_marked(ours: float | None, mark: str) -> None:
    (target,) = [each for each in goals.TARGETS if each.title.startswith("torch TCL: times faster")]
    speed = {"measurements": [measurement(1024, ours, 0.5)] * (ours is not None)}
    assert goals.verdicts(target, speed, None)[1024].mark == mark


def test_rivals_are_compared_round_by_round() -> None:
    ours = {"name": frameworks.OURS, "median": 2.0, "seconds": [4.0, 2.0, 1.0]}
    lean = {"name": frameworks.LEAN, "median": 4.0, "seconds": [3.0, 6.0, 4.0]}
    candidates = [each | {"status": "timed"} for each in (ours, lean)]
    measured = {**measurement(1024, None, None), "framework": "jax", "candidates": candidates}
    (target,) = [each for each in goals.TARGETS if each.title.startswith("jax TCL: times faster")]
    speed = {"measurements": [measured]}
    assert goals.verdicts(target, speed, None)[1024].value == 3.0  # of 3/4, 3 and 4
    assert "| jax TCL | 2 s, 3x |" in tables.summary(speed)


def test_the_floor_is_compared_round_by_round() -> None:
    floor = {"seconds": 9.0, "rounds": [1.0, 2.0, 9.0]}
    measured = {**measurement(4096, None, None), "floor": floor}
    ours = {**candidate(frameworks.OURS, 1.0), "seconds": [2.0, 6.0, 9.0], "median": 6.0}
    assert ratios.over_floor(measured, ours) == 2.0
    assert ratios.over_floor(measured, {**ours, "seconds": [6.0] * 4}) == 6 / 9


@pytest.mark.parametrize(
    ("status", "told"),
    [(["out of memory"], "no rival fits"), (["failed"], "no rival timed"), ([], "no rival timed"),
     (["out of memory", "wrong"], "no rival timed")],
)  # fmt: skip
def test_no_rival_left_is_told(status: list[str], told: str) -> None:
    (target,) = [each for each in goals.TARGETS if each.title.startswith("torch SupCon: times fa")]
    rivals = [
        {"name": name, "status": each, "reason": "told elsewhere"}
        for name, each in zip(target.rivals, status, strict=False)
    ]
    candidates = [candidate(frameworks.OURS, 12.0), *rivals]
    measured = {**measurement(65536, None, None), "loss": "supcon", "candidates": candidates}
    speed = {"measurements": [measured]}
    assert goals.verdicts(target, speed, None)[65536].told == f"runs; {told}"
    assert f"| torch SupCon | 12 s, {told} |" in tables.summary(speed)


def test_target_without_a_judged_cell_has_no_row() -> None:
    records = [candidate(frameworks.OURS_DENSE, 1.0), candidate(frameworks.LEAN, 1.0)]
    measured = {**measurement(64, None, None), "candidates": records}  # a size of no target
    assert tables.targets_table({"measurements": [measured]}, None) == ""


@pytest.mark.parametrize("what", ["times faster than the authors'", "time over the floor"])
def test_ours_that_was_not_timed_missed(what: str) -> None:
    found = {"speed": {"measurements": [measurement(4096, None, 0.5)]}}
    title = f"torch TCL: {what}"
    assert f"- {title}" in missed.lines(found)
    assert "N = 4096: **missed**, ours has no figure" in missed.lines(found)
    told = tables.targets_table(found["speed"], None)
    (row,) = [line for line in told.splitlines() if line.startswith(f"| {title}")]
    assert "| **missed**, ours has no figure (" in row
    assert "| torch TCL | ours has no figure |" in tables.summary(found["speed"])


def test_memory_of_ours_that_failed_missed() -> None:
    failed = {"name": frameworks.OURS, "status": "failed", "reason": "an error"}
    measured = {"framework": "jax", **Case("tcl", 4096).as_json(), **failed}
    memory = {"measurements": [measured]}
    title = "jax TCL: growth of peak memory, MiB"
    row = f"| {title} |  |  | **missed**, ours has no figure (64) | – | – |"
    assert row in tables.targets_table(None, memory)
    line = f"- {title}, N = 4096: **missed**, ours has no figure (64).\n"
    assert missed.lines({"memory": memory}) == line


@pytest.mark.parametrize(("ours", "base"), [(None, 1.0), (1.0, None)])
def test_variant_that_was_not_timed_missed(ours: float | None, base: float | None) -> None:
    records = [candidate(frameworks.OURS, ours), candidate(frameworks.OURS_BASE, base)]
    measured = {**measurement(1024, ours, None), "variant": "2 classes", "candidates": records}
    speed = {"measurements": [measured]}
    title = "torch TCL, 2 classes: times the base case at equal floor"
    row = f"| {title} |  | **missed**, ours has no figure (2) |"
    assert row in tables.targets_table(speed, None)
    assert f"{title}, N = 1024: **missed**, ours has" in missed.lines({"speed": speed})


@pytest.mark.parametrize(
    ("dense", "lean", "mark"),
    [(None, 1.0, "missed"), (None, None, None), (1.0, None, None), (1.0, 1.0, "met")],
)
def test_dense_form_that_was_not_timed_missed(
    dense: float | None, lean: float | None, mark: str | None
) -> None:
    records = [candidate(frameworks.OURS_DENSE, dense), candidate(frameworks.LEAN, lean)]
    measured = {**measurement(1024, None, None), "candidates": records}
    found = {each.mark for _, _, each in goals.further({"measurements": [measured]})}
    assert found == {mark} - {None}


def test_exponent_is_fitted() -> None:
    assert tables.fitted_exponent([(2, 12.0), (4, 48.0), (8, 192.0)]) == pytest.approx(2)


def test_time_of_what_ran_inside_is_not_counted_twice() -> None:
    spans = [("loop", 0.0, 10.0), ("exp", 1.0, 4.0), ("mm", 4.0, 9.0), ("sum", 5.0, 6.0)]
    spans += [("exp", 11.0, 12.0)]
    found = frameworks.own_seconds(spans)
    assert found == pytest.approx({"loop": 2.0, "exp": 4.0, "mm": 4.0, "sum": 1.0})


def test_library_and_in_place_names_are_products_too() -> None:
    shares = {"addmm_": 0.25, "_MklMatMul": 0.25, "exp_": 0.125, "mul_": 0.375}
    assert profiling.share_of(shares, profiling.PRODUCTS) == 0.5
    assert profiling.share_of(shares, profiling.EXPONENTIALS) == 0.125
    assert profiling.others(shares, 3) == [("mul_", 0.375)]


def test_what_missed_is_told_with_its_profile() -> None:
    speed = {"measurements": [measurement(1024, 0.5, 0.5)]}
    (line,) = missed.lines({"speed": speed}).splitlines()
    assert line.startswith(
        "- torch TCL: times faster than the authors' dense formula, N = 1024: 1 "
    )
    assert line.endswith("(2). Not profiled.")
    shares = {"mm": 0.5, "exp": 0.25, "sum": 0.125, "mul": 0.125}
    told = missed.lines(_profiled(1024, 0.5, 0.5, _watched(frameworks.OURS, 0.4, shares)))
    assert "Of 400 ms, 2 times that run's floor: products 200 ms (the floor's 100 ms), exp" in told
    assert told.endswith("sum 50 ms, mul 50 ms.\n")


def test_what_missed_is_told_whole() -> None:
    shares = {"mm": 0.5, "a": 0.125, "b": 0.125, "c": 0.0625, "d": 0.0625, "e": 0.0625, "f": 0.0625}
    told = missed.lines(_profiled(1024, 0.5, 0.5, _watched(frameworks.OURS, 0.4, shares)))
    assert told.endswith("d 25 ms, the rest 50 ms, in operations that take less.\n")


def test_miss_that_the_profiles_run_does_not_repeat_is_told() -> None:
    fast = _watched(frameworks.OURS, 0.1, {"mm": 1.0})
    told = missed.lines(_profiled(1024, 0.5, 0.5, fast, _watched(frameworks.RELEASED, 0.25, {})))
    assert "(2). Not repeated in the profile's run: 2.5. Of 100 ms, " in told
    slow = _watched(frameworks.RELEASED, 0.15, {})
    assert "Not repeated" not in missed.lines(_profiled(1024, 0.5, 0.5, fast, slow))
    assert "Not repeated" not in missed.lines(_profiled(1024, 0.5, 0.5, fast))  # without the rival


def test_run_without_all_judged_rivals_repeats_nothing() -> None:
    rival = _watched(frameworks.SUPCONTRAST, 0.5, {})
    found = _profiled(1024, 0.5, None, _watched(frameworks.OURS, 0.1, {"mm": 1.0}), rival)
    for kind in ("speed", "profile"):
        found[kind]["measurements"][0]["loss"] = "supcon"
    candidates = found["speed"]["measurements"][0]["candidates"]
    candidates[1] = candidate(frameworks.SUPCONTRAST, 0.5)
    assert "Not repeated in the profile's run: 5." in missed.lines(found)
    candidates.append(candidate(frameworks.PML, 0.6))
    assert "Not repeated" not in missed.lines(found)


def test_watched_rival_is_told_beside_what_missed() -> None:
    ours = _watched(frameworks.OURS, 0.4, {"mm": 1.0})
    rival = _watched(frameworks.RELEASED, 0.4, {"mm": 0.5, "exp": 0.25, "sum": 0.25})
    beside = (
        "The rival, dense as in the released TCL, 400 ms: products 200 ms, exponentials 100 ms."
    )
    assert beside in missed.lines(_profiled(1024, 0.5, 0.5, ours, rival))


def test_form_by_all_pairs_is_known_by_its_operations() -> None:
    ours = _watched(frameworks.OURS, 0.4, {"mm": 0.75, "graph_12": 0.25})
    dense, other = (
        _watched(frameworks.OURS_DENSE, 0.4, {"mm": 0.5, name: 0.5})
        for name in ("graph_7", "where")
    )
    told = (
        "2 times that run's floor, by all pairs (dense), whose products cost 6 N^2 D flops, not 4:"
    )
    assert told in missed.lines(_profiled(1024, 0.5, 0.5, ours, dense))
    assert "by all pairs" not in missed.lines(_profiled(1024, 0.5, 0.5, ours, other))
    assert "by all pairs" not in missed.lines(_profiled(1024, 0.5, 0.5, ours))


def test_profile_is_of_the_program_that_was_judged() -> None:
    kinds = {"mm": 0.75, "sum": 0.25}
    ours, dense = (_watched(n, 0.4, kinds) for n in (frameworks.OURS, frameworks.OURS_DENSE))
    xla = _watched(frameworks.OURS_XLA, 0.3, kinds)
    found = _profiled(1024, 0.5, None, ours, dense, xla)
    (measured,), (watched,) = (found[kind]["measurements"] for kind in ("speed", "profile"))
    measured |= {"framework": "tensorflow"}
    watched |= {"framework": "tensorflow"}
    measured["candidates"][1] = candidate(frameworks.LEAN_XLA, 0.25)
    told = "Of 400 ms, 2 times that run's floor, by all pairs (dense), whose"
    assert told in missed.lines(found)
    measured["candidates"].append(candidate(frameworks.OURS_XLA, 0.25))
    told = "Of 300 ms, 1.5 times that run's floor, compiled by XLA: products 225"
    assert told in missed.lines(found)


def test_what_a_dense_form_takes_more_is_told() -> None:
    ours = _watched(frameworks.OURS_DENSE, 3.0, {"mm": 0.5, "exp": 0.5})
    lean = _watched(frameworks.LEAN, 2.0, {"mm": 0.75, "sum": 0.25})
    measured = {**measurement(1024, None, None), "candidates": [ours, lean]}
    results = {"speed": {"measurements": [measured]}, "profile": {"measurements": [measured]}}
    told = missed.lines(results)
    assert "3 s beside 2 s, by operation: exp 1.5 s more, all others 500 ms less." in told
    alike = {**measured, "candidates": [ours | {"seconds": [2.0] * 3, "median": 2.0}, lean]}
    told = missed.lines({**results, "profile": {"measurements": [alike]}})
    again = "Not repeated in the profile's run: 1. There 2 s beside 2 s, by operation: exp 1 s more"
    assert f"{again}, all others 1 s less." in told


def _watched(name: str, seconds: float, shares: dict[str, float]) -> Document:
    return candidate(name, seconds) | {"shares": shares}


def _profiled(N: int, ours: float, rival: float | None, *watched: Document) -> Document:
    floor = {"seconds": 0.2, "seconds_per_exponential": 0.1 / N**2}
    profiled = {**measurement(N, None, None), "floor": floor, "candidates": list(watched)}
    speed = {"measurements": [measurement(N, ours, rival)]}
    return {"speed": speed, "profile": {"measurements": [profiled]}}
