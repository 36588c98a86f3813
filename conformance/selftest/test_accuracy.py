"""The accuracy benchmark as a command: its records, the quick form, and the committed page."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

from tuned_contrastive.benchmarks.__main__ import main, parser
from tuned_contrastive.benchmarks.accuracy import command, figures, report, tables
from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.findings import Comparison, Findings, difference_curves
from tuned_contrastive.benchmarks.accuracy.plan import FULL, QUICK, Plan
from tuned_contrastive.benchmarks.accuracy.records import Records, read
from tuned_contrastive.benchmarks.accuracy.statistics import paired_interval

COMMAND = [sys.executable, "-m", "tuned_contrastive.benchmarks", "accuracy"]
PLAN = Plan(QUICK, QUICK.datasets)
INTERRUPTED = """
if __name__ == "__main__":
    import signal, sys
    from tuned_contrastive.benchmarks.__main__ import main
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    sys.exit(main(sys.argv[1:]))
else:  # a worker, which starts with this file
    from pathlib import Path
    Path({begun!r}).touch()
"""
WINE = ["--quick", "--setting", "supervised", "--datasets", "wine", "--losses", "supcon", "tcl"]


def test_half_a_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"run": {"seed": 1}}\n{"run": {"se', encoding="utf-8")
    records = Records(path)
    records.append({"run": {"seed": 2}, "key": '{"seed": 2}'})
    assert path.read_text(encoding="utf-8") == '{"run": {"seed": 1}}\n{"run": {"seed": 2}}\n'
    assert records.keys == {'{"seed": 1}', '{"seed": 2}'}


@pytest.mark.parametrize("line", ["{", "3"])
def test_a_broken_line_within_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(f"{line}\n{{}}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1 of .* must be"):
        Records(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seeds", "1"], "--seeds must be 2 or more, got 1"),
        (["--jobs", "0"], "--jobs must be 1 or more, got 0"),
        (["--data", "nowhere"], "--data must be a folder, got nowhere"),
        (["--data", "."], "--data is for --datasets cifar10 cifar100 fashion-mnist: name one"),
        (["--setting", "self-supervised", "frameworks", "--datasets", "wine"], "nothing to train"),
        (["--setting", "supervised", "--losses", "simsiam"], "nothing to train: --setting"),
        (["--datasets", "cifar10"], "cifar10 must be in a folder, --data DIR; it is to be had at"),
        (["--datasets", "cifar10", "--data", "."], "must hold data_batch_1.bin, which is to be"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["accuracy", "--output", "out", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["accuracy", "--quick", "--output", str(tmp_path / "file")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("--output must be a folder, or may be made one: ")


def test_what_is_named_twice_is_run_once(tmp_path: Path) -> None:
    words = ["accuracy", "--quick", "--setting", "supervised", "--losses", "tcl", "supcon", "tcl",
             "--datasets", "wine", "wine", "--output", str(tmp_path)]  # fmt: skip
    plan, _ = command.asked(parser().parse_args(words))
    assert (plan.datasets, plan.losses) == (("wine",), ("supcon", "tcl"))


def test_only_the_whole_goes_where_the_page_is() -> None:
    whole = Plan(FULL, FULL.datasets)
    assert command.destination(whole, None) == command.OUTPUT
    assert command.destination(replace(whole, settings=("frameworks",)), None) == command.PART
    assert command.destination(PLAN, None) == command.PART
    assert command.destination(PLAN, "there") == Path("there")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the command, in its quick form and with everything, has written."""
    output = tmp_path_factory.mktemp("accuracy")
    done = subprocess.run(
        [*COMMAND, "--quick", "--output", output], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return output


def keys(output: Path) -> list[str]:
    """Return the keys of an output's records."""
    return [line["key"] for line in read(output / command.RUNS) if "key" in line]


def test_quick_carries_out_its_plan_once(quick: Path) -> None:
    found = read(quick / command.RUNS)
    tuned = [line for line in found if "key" in line]
    wanted = [*PLAN.first_runs(), *PLAN.final_runs(tuned), *PLAN.framework_runs()]
    assert Counter(keys(quick)) == Counter(run.key for run in wanted)


def test_quick_writes_page_figures_and_embeddings(quick: Path) -> None:
    names = {path.name for path in (quick / "results").iterdir()}
    shown = ("supervised", "self-supervised")
    compared = (*shown, "labels", "neighbours")
    figures = (*shown, *(f"{name}-differences" for name in compared), "sweeps")
    drawn = {f"{name}.{suffix}" for name in figures for suffix in ("svg", "png")}
    assert names == {"runs.jsonl", "curves.json", "embeddings", *drawn}
    page = (quick / "RESULTS.md").read_text(encoding="utf-8")
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert [title[:10] for title in titles if "laim" in title] == [
        "## Claim 1", "## Claims ", "## Claim 4", "## Claim 5", "## Claim 6",
    ]  # fmt: skip


def test_the_page_of_a_quick_run_claims_nothing(quick: Path) -> None:
    page = (quick / "RESULTS.md").read_text(encoding="utf-8")
    first = page.splitlines()[2]
    told = "This page shows that the command works, and supports nothing (2 seeds, 1 epoch)."
    assert first == told
    verdicts = [line.split("|")[-2].strip() for line in page.splitlines() if " higher, " in line]
    assert set(verdicts) == {"no difference claimed"}
    assert re.search(r"\b(1 epochs|of 1 \w+s\b|all 1\b)", page) is None


def test_what_was_found_once_of_the_whole_is_told_of_the_whole_only(quick: Path) -> None:
    pages = [folder / report.PAGE for folder in (command.OUTPUT, quick)]
    whole, part = (page.read_text(encoding="utf-8") for page in pages)
    told = ("Rounding grows", "differences more, and was")
    assert [words in whole for words in told] == [True, True]
    assert [words in part for words in told] == [False, False]


def test_embeddings_are_those_of_validation_rows(quick: Path) -> None:
    files = sorted((quick / command.EMBEDDINGS).iterdir())
    names = ["trained-with-supcon", "trained-with-tcl", "untrained"]
    assert [file.stem for file in files] == names
    kept = dict(zip(names, map(np.load, files), strict=True))
    rows = {name: kept[name]["embeddings"] for name in names}
    assert [rows[name].shape for name in names] == [(360, 64)] * 3
    labels = [kept[name]["labels"].tolist() for name in names]
    assert labels == [load("digits", 0).validation.y.tolist()] * 3
    assert not np.array_equal(rows["trained-with-supcon"], rows["untrained"])


def test_embeddings_of_a_shorter_run_do_not_count(quick: Path) -> None:
    shorter, longer = PLAN.embedding_runs(), Plan(FULL, FULL.datasets).embedding_runs()
    folder = quick / command.EMBEDDINGS
    assert [command._is_kept(run, folder) for run in (*shorter, *longer)] == [True] * 3 + [
        False
    ] * 3


def test_the_same_command_again_runs_nothing(quick: Path) -> None:
    before = (quick / command.RUNS).read_bytes()
    page = (quick / "RESULTS.md").read_bytes()
    again = ["accuracy", "--quick", "--output", str(quick)]
    assert main(again) == 0
    assert (quick / command.RUNS).read_bytes() == before
    assert (quick / "RESULTS.md").read_bytes() == page


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    killed = subprocess.Popen([*COMMAND, *WINE, "--output", tmp_path], stderr=subprocess.PIPE)
    assert killed.stderr is not None
    assert b"accuracy 1/" in killed.stderr.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = keys(tmp_path)
    with (tmp_path / command.RUNS).open("a", encoding="utf-8") as file:
        file.write('{"run": {"half')
    subprocess.run([*COMMAND, *WINE, "--output", tmp_path], check=True, capture_output=True)
    plan = Plan(QUICK, ("wine",), ("supervised",), ("supcon", "tcl"))
    lines = [line for line in read(tmp_path / command.RUNS) if "key" in line]
    wanted = [run.key for run in (*plan.first_runs(), *plan.final_runs(lines))]
    assert keys(tmp_path)[: len(before)] == before
    assert sorted(keys(tmp_path)) == sorted(wanted)


@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_an_interrupt_while_workers_start_is_one_sentence(seconds: float, tmp_path: Path) -> None:
    script, begun = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(INTERRUPTED.format(begun=str(begun)), encoding="utf-8")
    started = subprocess.Popen(
        [sys.executable, script, "accuracy", *WINE, "--output", tmp_path],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while started.poll() is None and not begun.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(started.pid, signal.SIGINT)
    _, told = started.communicate()
    assert started.returncode == 130
    assert told == "interrupted; what was measured is told, and kept where a file was named\n"


@pytest.fixture(scope="module")
def committed() -> Findings:
    """Return what the committed records say."""
    return Findings(read(command.OUTPUT / command.RUNS), Plan(FULL, FULL.datasets))


def test_committed_page_follows_from_its_records(committed: Findings) -> None:
    page = (command.OUTPUT / report.PAGE).read_text(encoding="utf-8")
    assert report.document(committed, command.OUTPUT) == page


def test_readme_quotes_the_page() -> None:
    readme = (command.OUTPUT.parents[1] / "README.md").read_text(encoding="utf-8")
    quoted = " ".join(line[2:] for line in readme.splitlines() if line.startswith("> "))
    assert quoted.startswith("Claim 4, ")
    assert f"\n- {quoted}\n" in (command.OUTPUT / report.PAGE).read_text(encoding="utf-8")


def test_committed_curves_follow_from_their_records(committed: Findings) -> None:
    content = json.loads((command.OUTPUT / report.CURVES).read_text(encoding="utf-8"))
    found = [curve.as_json() for curve in report.all_curves(committed)]
    ends = ("mean", "low", "high")
    told, words = (
        [{key: value for key, value in curve.items() if key not in ends} for curve in curves]
        for curves in (found, content)
    )
    assert told == words
    numbers, kept = (
        [value for curve in curves for end in ends for value in curve[end]]
        for curves in (found, content)
    )
    assert numbers == pytest.approx(kept)


def test_panels_of_figures_are_wide_enough_to_be_read(
    committed: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.pyplot.close", drawn.append)
    figures.draw(report.all_curves(committed), tmp_path)
    monkeypatch.undo()
    for figure in drawn:
        shares = [axis.get_position().width for axis in figure.axes if axis.get_visible()]
        assert min(shares) > 0.15
        pyplot.close(figure)
    assert len(drawn) == 7


def test_a_difference_without_an_interval_is_drawn_and_kept(tmp_path: Path) -> None:
    found = paired_interval([0.8] * 5, [0.7] * 5, 0.6)
    alike = Comparison("tcl", "supcon", "wine", found, 5, 0)
    (curve,) = difference_curves("labels", [alike])
    figures.draw([curve], tmp_path)
    assert (tmp_path / "labels-differences.svg").is_file()
    kept = json.loads(json.dumps(curve.as_json(), allow_nan=False))
    assert (kept["low"], kept["high"]) == ([None], [None])
    assert "| +10.0 (no interval) |" in tables.comparisons([alike])


def test_sweeps_mark_the_default(
    committed: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.pyplot.close", drawn.append)
    figures.draw([curve for curve in committed.curves() if curve.figure == "sweeps"], tmp_path)
    monkeypatch.undo()
    dotted = [line for axis in drawn[0].axes for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [5000, 1, 0.1, 64, 0.1, 30, 64]
    ticks = [label.get_text() for label in drawn[0].axes[5].get_xticklabels()]
    assert ticks == ["5", "10", "20", "30", "40", "80"]
    pyplot.close(drawn[0])


@pytest.mark.parametrize("name", ["README.md", "Makefile"])
def test_the_time_that_is_told_is_that_of_the_records(name: str, committed: Findings) -> None:
    text = (command.OUTPUT.parents[1] / name).read_text(encoding="utf-8")
    hours = sum(record["seconds"] for record in committed.records) / 3600
    assert f"{hours:.2f} hours summed over " in text


def test_committed_figures_stand_beside_the_page(committed: Findings) -> None:
    names = {curve.figure for curve in report.all_curves(committed)}
    files_there = {path.name for path in (command.OUTPUT / "results").iterdir()}
    assert {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")} <= files_there


def test_committed_accuracies_of_the_frameworks_overlap(committed: Findings) -> None:
    for loss, intervals in tables.framework_intervals(committed).items():
        assert len(intervals) == 3, loss
        assert max(each.low for each in intervals) <= min(each.high for each in intervals), loss
    page = (command.OUTPUT / "RESULTS.md").read_text(encoding="utf-8")
    assert "\nThe intervals of the frameworks overlap for every loss" in page


@pytest.mark.parametrize(
    ("losses", "settings"),
    [
        (("supcon", "tcl"), {"supervised"}),
        (("simclr", "tcl-3-views"), {"self-supervised"}),
        (("tcl", "simclr"), {"supervised", "self-supervised"}),
    ],
)
def test_a_setting_without_losses_of_its_own_is_not_run(
    losses: tuple[str, ...], settings: set[str]
) -> None:
    plan = Plan(QUICK, ("digits",), losses=losses)
    assert {run.setting for run in plan.first_runs() if run.role != "embeddings"} == settings


def test_findings_refuse_a_plan_that_is_not_done(committed: Findings) -> None:
    with pytest.raises(ValueError, match="runs have no record, the first is"):
        Findings([], committed.plan)
