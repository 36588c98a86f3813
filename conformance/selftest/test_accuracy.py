"""The accuracy benchmark: files, splits, views, losses, runs, statistics, and its page."""

import gzip
import json
import math
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tuned_contrastive.backends.torch import supcon_loss
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.accuracy import command, files, report, tuning
from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.findings import Findings
from tuned_contrastive.benchmarks.accuracy.losses import BarlowTwins, SimSiam, build, view_count
from tuned_contrastive.benchmarks.accuracy.names import SELF_SUPERVISED, SUPERVISED, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import FINAL, FULL, QUICK, SWEEPS, TUNING, Plan, Run
from tuned_contrastive.benchmarks.accuracy.records import Records, read
from tuned_contrastive.benchmarks.accuracy.statistics import mean_interval, paired_interval
from tuned_contrastive.benchmarks.accuracy.training import carry_out
from tuned_contrastive.benchmarks.accuracy.views import views

COMMAND = [sys.executable, "-m", "tuned_contrastive.benchmarks", "accuracy"]
RNG = np.random.default_rng(0)
PLAN = Plan(QUICK, QUICK.datasets)
WINE = ["--quick", "--setting", "supervised", "--datasets", "wine", "--losses", "supcon", "tcl"]


def cifar_record(head: list[int], first: int) -> bytes:
    """Return one record whose red, green and blue begin with a number and the next two."""
    planes = [np.full(1024, first + k, np.uint8) for k in range(3)]
    return bytes(head) + b"".join(plane.tobytes() for plane in planes)


def idx(array: Any) -> bytes:
    """Return an array of bytes as an idx file."""
    rows = np.asarray(array, np.uint8)
    head = bytes([0, 0, 8, rows.ndim]) + b"".join(n.to_bytes(4, "big") for n in rows.shape)
    return head + rows.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with tiny files of all three formats."""
    for k in range(1, 6):
        records = [cifar_record([label], label + 10 * k) for label in range(10)]
        (tmp_path / f"data_batch_{k}.bin").write_bytes(b"".join(records))
    (tmp_path / "test_batch.bin").write_bytes(cifar_record([3], 40) + cifar_record([9], 50))
    deep = tmp_path / "cifar-100-binary"
    deep.mkdir()
    hundred = [cifar_record([label // 5, label], label) for label in range(100)] * 5
    (deep / "train.bin").write_bytes(b"".join(hundred))
    (deep / "test.bin").write_bytes(cifar_record([19, 99], 7))
    images, labels = RNG.integers(0, 256, (50, 28, 28)), np.arange(50) % 10
    for part in ("train", "t10k"):
        packed = gzip.compress(idx(images))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_cifar10_is_read_in_order(folder: Path) -> None:
    (images, labels), (test_images, test_labels) = files.read("cifar10", folder)
    assert images.shape == (50, 3, 32, 32)
    assert labels.tolist() == [*range(10)] * 5
    assert images[13, :, 5, 7].tolist() == [23, 24, 25]
    assert test_labels.tolist() == [3, 9]
    assert test_images[1, :, 0, 0].tolist() == [50, 51, 52]


def test_cifar100_has_the_fine_labels(folder: Path) -> None:
    (images, labels), (_, test_labels) = files.read("cifar100", folder)
    assert labels[:100].tolist() == [*range(100)]
    assert test_labels.tolist() == [99]
    assert images[42, :, 0, 0].tolist() == [42, 43, 44]


def test_fashion_mnist_is_read_packed_or_not(folder: Path) -> None:
    (images, labels), _ = files.read("fashion-mnist", folder)
    assert images.shape == (50, 1, 28, 28)
    assert labels.tolist() == [*range(10)] * 5
    packed = folder / "train-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    np.testing.assert_array_equal(files.read("fashion-mnist", folder)[0][0], images)


@pytest.mark.parametrize(
    ("name", "file", "content", "told"),
    [
        ("cifar10", "data_batch_2.bin", b"", "records of 3073 bytes, got 0 bytes"),
        ("cifar10", "data_batch_2.bin", bytes(3074), "records of 3073 bytes, got 3074 bytes"),
        ("cifar10", "test_batch.bin", cifar_record([10], 0), "labels below 10, got 10"),
        ("cifar100", "cifar-100-binary/train.bin", cifar_record([0, 100], 0), "below 100, got 100"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([[1]]), "begin with the bytes 00000801"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([1])[:-1], "must have 9 bytes for the"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([1] * 49), "images, 50, and not none"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([10] * 50), "labels below 10, got 10"),
        ("fashion-mnist", "t10k-images-idx3-ubyte.gz", b"no gzip", "must be a whole gzip file"),
        ("fashion-mnist", "t10k-images-idx3-ubyte", idx(np.zeros((50, 27, 28))), "28 x 28 images"),
    ],
)
def test_a_file_of_another_format_is_refused(
    name: str, file: str, content: bytes, told: str, folder: Path
) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        files.read(name, folder)


@pytest.mark.parametrize("name", files.SOURCES)
def test_a_missing_file_says_where_it_is_to_be_had(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"which is to be had at https://"):
        files.read(name, tmp_path)


def test_pickles_are_named_as_not_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(FileNotFoundError, match="the Python version, pickles, is never read"):
        files.read("cifar10", tmp_path)


def test_files_keep_their_own_test_rows(folder: Path) -> None:
    split = load("cifar10", 0, folder)
    assert (len(split.train.y), len(split.validation.y)) == (40, 10)
    assert split.test.y.tolist() == [3, 9]
    assert split.test.x.max() == pytest.approx(52 / 255)
    assert split.mirrored


def test_parts_of_a_split_share_no_row() -> None:
    split = load("breast-cancer", 3)
    rows = np.concatenate([part.x for part in (split.train, split.validation, split.test)])
    assert len(np.unique(rows, axis=0)) == len(rows) == 569


def test_tables_are_standardised_by_training_rows() -> None:
    split = load("wine", 1)
    np.testing.assert_allclose(split.train.x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(split.train.x.std(0), 1, atol=1e-5)
    assert abs(split.test.x.mean(0)).max() > 1e-3


def test_seeds_split_anew() -> None:
    assert not np.array_equal(load("wine", 0).test.y, load("wine", 1).test.y)
    np.testing.assert_array_equal(load("wine", 1).test.x, load("wine", 1).test.x)


def test_few_digits_have_five_of_each_class() -> None:
    assert np.bincount(load("digits-few", 0).train.y).tolist() == [5] * 10


def test_imbalanced_classes_shrink_to_a_twentieth() -> None:
    counts = np.bincount(load("digits-imbalanced", 0).train.y)
    assert sorted(counts, reverse=True) == counts.tolist()
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.15)


def test_noise_is_in_three_of_ten_training_labels_and_nowhere_else() -> None:
    plain, noisy = load("digits", 2), load("digits-noisy", 2)
    np.testing.assert_array_equal(plain.train.x, noisy.train.x)
    assert np.mean(plain.train.y != noisy.train.y) == pytest.approx(0.3, abs=0.04)
    np.testing.assert_array_equal(plain.validation.y, noisy.validation.y)
    np.testing.assert_array_equal(plain.test.y, noisy.test.y)


def test_views_of_a_table_mask_a_fifth() -> None:
    torch.manual_seed(0)
    seen = views(torch.full((400, 10), 5.0), 2)
    assert (seen == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert seen[seen != 0].std().item() == pytest.approx(0.3, abs=0.02)


def test_views_of_an_image_move_it_by_a_pixel_at_most() -> None:
    torch.manual_seed(0)
    x = torch.zeros(500, 1, 8, 8)
    x[:, :, 3:5, 3:5] = 1
    seen = views(x, 1).mean(0)[0]
    assert seen[3:5, 3:5].min() > 4 * seen[0].abs().max()
    assert seen[2:6, 2:6].sum().item() == pytest.approx(4, rel=0.1)


def test_views_of_a_row_stand_together() -> None:
    torch.manual_seed(0)
    seen = views(torch.tensor([[100.0] * 40, [-100.0] * 40]), 3)
    assert seen.sum(1).sign().tolist() == [1, 1, 1, -1, -1, -1]


def test_ntxent_of_the_two_libraries_agrees() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(17, 2, 5), torch.arange(17)
    theirs = build("ntxent", 5, {"temperature": 0.2})(z, labels)
    ours = build("simclr", 5, {"temperature": 0.2})(z, labels)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours, supcon_loss(z, temperature=0.2))


def test_tcl_takes_three_views_without_labels() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(7, 3, 5), torch.zeros(7, dtype=torch.int64)
    plain = build("tcl-3-views", 5, {"temperature": 0.2, "k1": 0.0, "k2": 1.0})(z, labels)
    torch.testing.assert_close(plain, supcon_loss(z, temperature=0.2))
    assert view_count("tcl-3-views") == 3


def test_barlow_twins_of_a_worked_batch() -> None:
    first = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    z = torch.stack([first, first * torch.tensor([1.0, -1.0])], 1)  # C = [[1, -1], [1, -1]]
    found = BarlowTwins(0.25)(z, torch.zeros(4))
    assert found.item() == pytest.approx(4 + 0.25 * 2, rel=1e-4)


def test_vicreg_of_a_worked_batch() -> None:
    first = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # variances 2, covariance 2
    z = torch.stack([first, first + 1], 1)
    found = build("vicreg", 2, {"covariance": 0.5})(z, torch.zeros(2))
    assert found.item() == pytest.approx(25 * 1 + 0.5 * (2 * 2**2 / 2) * 2, rel=1e-3)


@pytest.mark.parametrize(("second", "value"), [([1.0, -1.0], 0.0), ([1.0, 1.0], -1.0)])
def test_simsiam_of_a_worked_batch(second: list[float], value: float) -> None:
    loss = SimSiam(2)
    loss.predictor = torch.nn.Sequential(torch.nn.Identity())
    rows = torch.tensor([[1.0, 1.0], second])
    z = torch.stack([rows, -rows], 0)  # views 1 of the two rows, and so on: columns of mean 0
    assert loss(z, torch.zeros(2)).item() == pytest.approx(value, abs=1e-3)


def test_simsiam_has_no_gradient_through_what_is_predicted() -> None:
    torch.manual_seed(0)
    loss = SimSiam(4)
    constant = torch.nn.Linear(4, 4)
    torch.nn.init.zeros_(constant.weight)
    loss.predictor = torch.nn.Sequential(constant)
    z = torch.randn(6, 2, 4, requires_grad=True)
    loss(z, torch.zeros(6)).backward()
    assert z.grad is not None
    assert z.grad.abs().max() == 0


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss must be one of untrained, .*, got triplet"):
        build("triplet", 2, {})


@pytest.mark.parametrize("loss", [*SUPERVISED, *SELF_SUPERVISED])
def test_every_loss_is_tuned_in_as_many_runs(loss: str) -> None:
    tried = tuning.trials(loss, FULL.trials)
    assert len(tried) == len({json.dumps(each) for each in tried}) == FULL.trials
    assert tried[0] == tuning.defaults(loss)


def test_tuning_draws_lie_in_their_ranges() -> None:
    tried = tuning.trials("tcl", 50)
    outside = [
        (name, each[name])
        for each in tried
        for name in ("learning_rate", "temperature", "k1", "k2")
        if not tuning.RANGES[name][0] <= each[name] <= tuning.RANGES[name][1]
    ]
    assert outside == []


def test_the_best_on_validation_rows_is_the_one_that_counts() -> None:
    tried = PLAN.tuning_runs("supervised", "wine", "tcl", 1)
    lines = [
        {"key": run.key, "run": run.as_json(), "validation": {"linear": value}}
        for run, value in zip(tried, (0.5, 0.75), strict=True)
    ]
    found = PLAN.final_run("supervised", "wine", "tcl", 1, lines)
    assert found == replace(tried[1], role=FINAL)


def test_a_sweep_changes_one_parameter() -> None:
    base, other = (dict(PLAN.swept("tcl", "k1", k1, 0).parameters) for k1 in (5e3, 0))
    assert {name for name in base if base[name] != other[name]} == {"k1"}
    assert PLAN.swept("supcon", "k1", 0, 0) == PLAN.swept("supcon", "k2", 5, 0)
    assert (min(SWEEPS["k1"]), max(SWEEPS["k1"])) == (0, 1e5)


def test_the_whole_has_five_seeds_at_least() -> None:
    assert min(FULL.seeds, FULL.sweep_seeds) >= 5


def tiny(loss: str, setting: str = "supervised", role: str = TUNING, **given: float) -> Run:
    """Return a short run on wine."""
    parameters = {**tuning.defaults(loss), "epochs": 1.0, "steps": 8.0, **given}
    return Run(setting, "wine", loss, 0, role, tuple(sorted(parameters.items())))


@pytest.mark.parametrize("loss", [*SUPERVISED, *SELF_SUPERVISED])
def test_a_run_is_told_by_its_seed(loss: str) -> None:
    first, second = (carry_out(tiny(loss), None) for _ in range(2))
    assert first["loss"] == second["loss"]
    assert first["validation"] == second["validation"]
    assert first["steps"] == 8


def test_only_a_run_that_counts_sees_the_test_rows() -> None:
    tried, counted = (carry_out(tiny("tcl", role=role), None) for role in (TUNING, FINAL))
    assert "test" not in tried
    assert 0.5 < counted["test"]["linear"] <= 1
    assert counted["validation"] == tried["validation"]


def test_neighbours_are_asked_without_labels() -> None:
    found = carry_out(tiny("simclr", "self-supervised"), None)
    assert 0.5 < found["validation"]["neighbours"] <= 1


def test_training_that_diverges_counts_as_nothing() -> None:
    found = carry_out(tiny("barlow-twins", learning_rate=1e30, steps=30), None)
    assert found["validation"]["linear"] == 0
    assert found["loss"][1] is None


def test_training_beats_the_untrained_encoder() -> None:
    given = {**tuning.defaults("supcon"), "epochs": 1.0, "steps": 120.0}
    run = Run("supervised", "digits-few", "supcon", 0, TUNING, tuple(given.items()))
    trained = carry_out(run, None)
    bare = carry_out(replace(run, loss=UNTRAINED, parameters=()), None)
    assert trained["validation"]["linear"] > bare["validation"]["linear"] + 0.02
    assert trained["loss"][1] < trained["loss"][0]


def test_plain_paired_interval_is_students() -> None:
    a, b = RNG.normal(0.9, 0.1, 7), RNG.normal(0.8, 0.1, 7)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_interval(a.tolist(), b.tolist(), 0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(a - b))


def test_shared_rows_widen_the_paired_interval() -> None:
    a, b = [0.9, 0.8, 0.95, 0.7], [0.8, 0.75, 0.9, 0.75]
    plain, wide = (paired_interval(a, b, ratio) for ratio in (0, 0.6))
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(
        math.sqrt((0.25 + 0.6) / 0.25)
    )


@pytest.mark.parametrize(
    ("second", "claimed"), [([0.5, 0.5, 0.5], True), ([0.9, 0.1, 0.9], False), ([0.8] * 3, False)]
)
def test_a_difference_is_claimed_where_its_interval_excludes_zero(
    second: list[float], claimed: bool
) -> None:
    assert paired_interval([0.81, 0.8, 0.79], second, 0.6).excludes_zero is claimed


def test_one_seed_says_nothing() -> None:
    assert mean_interval([0.9]).high == math.inf


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
    drawn = {f"{name}.{suffix}" for name in ("supervised", "self-supervised", "sweeps")
             for suffix in ("svg", "png")}  # fmt: skip
    assert names == {"runs.jsonl", "curves.json", "embeddings", *drawn}
    page = (quick / "RESULTS.md").read_text(encoding="utf-8")
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert [title[:10] for title in titles if "laim" in title] == [
        "## Claims ", "## Claim 1", "## Claim 4", "## Claim 5", "## Claim 6",
    ]  # fmt: skip


def test_embeddings_are_those_of_validation_rows(quick: Path) -> None:
    files = sorted((quick / command.EMBEDDINGS).iterdir())
    names = ["trained-with-supcon", "trained-with-tcl", "untrained"]
    assert [file.stem for file in files] == names
    kept = dict(zip(names, map(np.load, files), strict=True))
    rows = {name: kept[name]["embeddings"] for name in names}
    assert [rows[name].shape for name in names] == [(360, 64)] * 3
    for name in names:
        np.testing.assert_array_equal(kept[name]["labels"], load("digits", 0).validation.y)
    assert not np.array_equal(rows["trained-with-supcon"], rows["untrained"])


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


@pytest.fixture(scope="module")
def committed() -> Findings:
    """Return what the committed records say."""
    return Findings(read(command.OUTPUT / command.RUNS), Plan(FULL, FULL.datasets))


def test_committed_page_follows_from_its_records(committed: Findings) -> None:
    page = (command.OUTPUT / report.PAGE).read_text(encoding="utf-8")
    assert report.document(committed) == page


def test_committed_curves_follow_from_their_records(committed: Findings) -> None:
    content = json.loads((command.OUTPUT / report.CURVES).read_text(encoding="utf-8"))
    found = [curve.as_json() for curve in committed.curves()]
    assert [curve["x"] for curve in found] == [curve["x"] for curve in content]
    numbers, kept = (
        [value for curve in curves for end in ("mean", "low", "high") for value in curve[end]]
        for curves in (found, content)
    )
    assert numbers == pytest.approx(kept)


def test_committed_figures_stand_beside_the_page(committed: Findings) -> None:
    names = {curve.figure for curve in committed.curves()}
    files_there = {path.name for path in (command.OUTPUT / "results").glob("*.svg")}
    assert {f"{name}.svg" for name in names} <= files_there


def test_findings_refuse_a_plan_that_is_not_done(committed: Findings) -> None:
    with pytest.raises(ValueError, match="runs have no record, the first is"):
        Findings([], committed.plan)
