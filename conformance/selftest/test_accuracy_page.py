"""What the page of accuracy counts, against counts made here from the committed lines."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tuned_contrastive.benchmarks.accuracy import caveats, claims, command, page
from tuned_contrastive.benchmarks.accuracy.findings import Findings
from tuned_contrastive.benchmarks.accuracy.plan import FULL, QUICK, Plan, Scale, batch_count
from tuned_contrastive.benchmarks.response.captions import CAPTIONS
from tuned_contrastive.benchmarks.response.hardness import hardness

PLAN = Plan(FULL, FULL.datasets)
Line = dict[str, Any]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Return the committed lines, as records with their keys."""
    text = (command.OUTPUT / command.RUNS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def findings(lines: list[Line]) -> Findings:
    """Return what the page is made of."""
    keyed = [
        {**line, "key": json.dumps(line["run"], sort_keys=True)} for line in lines if "run" in line
    ]
    return Findings(keyed, PLAN)


def finals(lines: list[Line], dataset: str, loss: str) -> dict[int, Line]:
    """Return the supervised runs that count, by seed."""
    wanted = {"role": "final", "setting": "supervised", "dataset": dataset, "loss": loss}
    runs = [line for line in lines if "run" in line and wanted.items() <= line["run"].items()]
    return {line["run"]["seed"]: line for line in runs}


@pytest.mark.parametrize(("rows", "size"), [(897, 64), (50, 64), (7, 2), (1077, 512)])
def test_batches_differ_by_a_row_at_most(rows: int, size: int) -> None:
    batches = torch.arange(rows).tensor_split(batch_count(rows, size))
    lengths = [len(batch) for batch in batches]
    assert max(lengths) - min(lengths) <= 1
    assert abs(rows / len(lengths) - size) <= abs(rows / (len(lengths) + 1) - size)


def test_a_sweep_of_batch_sizes_is_drawn_over_the_rows_that_a_batch_had(lines: list[Line]) -> None:
    swept = [
        line for line in lines
        if line.get("run", {}).get("role") == "sweep" and line["run"]["loss"] == "tcl"
    ]  # fmt: skip
    had = {line["rows"]["train"] * line["run"]["parameters"]["epochs"] / line["steps"]
           for line in swept}  # fmt: skip
    found = findings(lines).swept_values("batch_size")
    assert found == tuple(sorted(round(rows) for rows in had))


@pytest.mark.parametrize("dataset", PLAN.datasets)
def test_seeds_that_are_higher_and_lower_are_counted(dataset: str, lines: list[Line]) -> None:
    tcl, supcon = (finals(lines, dataset, loss) for loss in ("tcl", "supcon"))
    signs = [np.sign(tcl[seed]["test"]["linear"] - supcon[seed]["test"]["linear"]) for seed in tcl]
    found = findings(lines).compare("supervised", dataset, "tcl", "supcon")
    assert (found.higher, found.lower) == (signs.count(1), signs.count(-1))


def test_a_run_that_diverged_is_counted(lines: list[Line]) -> None:
    before = findings(lines).diverged()
    run = next(iter(finals(lines, "wine", "tcl").values()))
    doctored = [
        {**line, **{part: {"linear": 0.0} for part in ("validation", "test")}}
        if line is run
        else line
        for line in lines
    ]
    assert findings(doctored).diverged() == before + 1


def test_the_smallest_k1_is_told_where_half_of_the_seeds_chose_it(lines: list[Line]) -> None:
    tuned = [
        line["run"]["parameters"]["k1"]
        for line in lines
        if line.get("run", {}).get("role") == "tuning" and line["run"]["loss"] == "tcl"
    ]
    smallest = min(tuned)
    chosen = {
        name: [run["run"]["parameters"]["k1"] for run in finals(lines, name, "tcl").values()]
        for name in PLAN.datasets
    }
    often = [
        f"{name} ({k1s.count(smallest)} of {len(k1s)})"
        for name, k1s in chosen.items()
        if 2 * k1s.count(smallest) >= len(k1s)
    ]
    told = caveats.smallest_k1(findings(lines))
    assert f"seeds or more chose it on: {', '.join(often) or 'no data set'}. " in told
    assert f"the smallest k1, {smallest:g}, has" in told


@pytest.mark.parametrize(
    ("scale", "shown"),
    [(FULL, False), (QUICK, True), (replace(QUICK, seeds=5), True), (replace(FULL, seeds=4), True),
     (replace(FULL, seeds=5), False)],
)  # fmt: skip
def test_a_page_of_few_seeds_or_short_trainings_says_so_first(scale: Scale, shown: bool) -> None:
    first = page.opening(Plan(scale, ("wine",))).splitlines()[2]
    assert first.startswith("This page shows that the command works, and supports nothing") is shown


def test_the_correction_of_few_rows_is_told(lines: list[Line]) -> None:
    rows = finals(lines, "digits-few", "tcl")[0]["rows"]
    factor = 1 / PLAN.scale.seeds + rows["test"] / rows["train"]
    told = caveats.few_rows(findings(lines))
    assert f" 1/10 + 540/50 = {factor:.1f} times that of the differences" in told


def test_kept_embeddings_say_how_long_they_were_trained() -> None:
    run = {"dataset": "digits", "seed": 0, "parameters": {"batch_size": 64.0}}
    trained = command.about({"run": run, "steps": 420, "rows": {"train": 897}}, 64)
    assert trained.endswith("64 dimensions, after 30 epochs with the loss's defaults")
    assert command.about({"run": run, "steps": 0}, 64).endswith("64 dimensions, before training")


def test_the_caption_tells_which_share_of_negatives_is_near() -> None:
    """Two anchors on a circle have one negative, 5 degrees from the first, 85 from the second."""
    angles = np.radians([0, 90, 5])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = {"rows": {"about": "", **hardness(rows, [0, 0, 1])}}
    told = CAPTIONS["hardness"][1](found)
    assert "of all negative pairs 50.0 % have a similarity above 0.9." in told


def test_every_method_that_is_told_of_is_one_that_runs() -> None:
    assert set(claims.METHODS) < set(PLAN.losses)
