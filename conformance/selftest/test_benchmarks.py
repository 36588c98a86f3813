"""The benchmarks' command, truth and measurement, on tiny sizes; nothing timed is asserted."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuned_contrastive import reference
from tuned_contrastive.benchmarks import (
    command,
    figures,
    frameworks,
    processes,
    profiling,
)
from tuned_contrastive.benchmarks import speed as measuring
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.cases import SIZES, Case, learnable, variants
from tuned_contrastive.benchmarks.floor import Floor, floor_seconds
from tuned_contrastive.benchmarks.frameworks import load, load_rival
from tuned_contrastive.benchmarks.truth import truth
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.reference.bounds import bounds

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tuned_contrastive.benchmarks"]
# One thread, as each worker of the tests has: with two they wait for one another.
TORCH = ["--frameworks", "torch", "--threads", "1", "--quick"]
TINY = [*TORCH, "--sizes", "64", "--classes", "8"]
Document = dict[str, Any]
RIVALS = """
import os
import torch

def right(embeddings, labels):
    z = torch.nn.functional.normalize(embeddings)
    itself = torch.eye(len(z), dtype=torch.bool)
    positives = (labels[:, None] == labels) & ~itself
    t = (z @ z.T / 0.1).masked_fill(itself, -torch.inf)
    mean = torch.where(positives, t, 0).sum(1) / positives.sum(1)
    return (t.logsumexp(1) - mean).mean()

def with_anchor(embeddings, labels):
    return right(embeddings, labels) + 0.01

def greedy(embeddings, labels):
    return right(embeddings, labels) + torch.zeros(2**45).sum()

def deadly(embeddings, labels):
    os.abort()

def leaving(embeddings, labels):
    os._exit(0)

number = 3
"""
CASES = [
    Case(loss, 65, D=16, classes=classes, temperature=T, views=False, learnable=True)
    for loss in ("supcon", "tcl")
    for classes, T in ((10, 0.1), (50, 0.01), (1, 1.0))
] + [Case("tcl", 64, D=16, views=True, learnable=True)]
CASES += [  # whose own similarity, and that of a row without a positive, is beyond the exponential
    Case(loss, 64, D=D, classes=60, temperature=0.001, learnable=True)
    for loss in ("supcon", "tcl")
    for D in (2, 512)
]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def read(file: Path) -> Document:
    """Return a result."""
    found: Document = json.loads(file.read_text(encoding="utf-8"))
    return found


def statuses(file: Path) -> dict[str, Document]:
    """Return the candidates of a result with one measurement, by name."""
    (measured,) = read(file)["measurements"]
    return {each["name"]: each for each in measured["candidates"]}


@pytest.fixture
def rivals(tmp_path: Path) -> Path:
    """Return a folder with a user's losses."""
    (tmp_path / "mine.py").write_text(RIVALS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.loss}-{c.classes}-{c.views}-{c.D}")
def test_truth_is_the_reference(case: Case) -> None:
    batch = case.batch()
    found = truth(case, batch)
    name = f"{case.loss}_gradients"
    exact = getattr(reference, name)(
        batch.embeddings.astype(np.float64), batch.labels, **case.parameters
    )
    given: Document = dict(case.parameters)
    allowed = bounds(case.loss, batch.embeddings, batch.labels, **given)
    rows = found.sample
    whole = {key: getattr(exact, key) for key in found.exact}
    whole["embeddings"], allowed["embeddings"] = exact.embeddings[rows], allowed["embeddings"][rows]
    for key, value in found.exact.items():
        size = max(1.0, np.abs(whole[key]).max())
        np.testing.assert_allclose(value, whole[key], rtol=1e-12, atol=1e-14 * size)
        np.testing.assert_allclose(found.bounds[key], allowed[key], rtol=1e-12)


def test_truth_by_blocks_is_that_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("tcl", 70, D=8, classes=9, learnable=True)
    whole = truth(case, case.batch())
    monkeypatch.setattr("tuned_contrastive.benchmarks.truth.BLOCK", 70 * 11)
    for key, value in truth(case, case.batch()).exact.items():
        np.testing.assert_allclose(value, whole.exact[key], rtol=1e-12, atol=1e-15)


def test_truth_is_kept_for_the_next_process(tmp_path: Path) -> None:
    case = Case("supcon", 32, D=4, classes=3)
    first, second = (truth(case, case.batch(), tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(first.exact["embeddings"], second.exact["embeddings"])
    assert first.share({"loss": np.asarray(second.exact["loss"])}, "float32") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["speed", "--sizes", "1"], "--sizes must be 2 or more"),
        (["speed", "--dims", "0"], "--dims must be 1 or more"),
        (["speed", "--classes", "0"], "--classes must be 1 or more"),
        (["speed", "--temperature", "0"], "--temperature must be finite and > 0"),
        (["speed", "--threads", "0"], "--threads must be 1 to"),
        (["speed", "--rival", "mine.py:right"], "--rival needs --frameworks with one framework"),
        (["speed", *TINY, "--learnable", "--rival", "m.py:f"], "--rival takes embeddings and"),
        (["speed", *TINY, "--rival", "mine:right"], "--rival must be FILE.py:attribute"),
        (["speed", *TINY, "--rival", "none.py:right"], "none.py is no file"),
        (["memory", "--json", "nowhere/x.json"], "nowhere/x.json is in no folder that exists"),
        (["memory", "--json", "/"], "/ is a folder"),
        (["memory", "--plot", "x.pdf"], "--plot must end in .png or .svg, got x.pdf"),
        (["report", "--results", "no"], "no has none of speed.json, memory.json, gpu.json"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(told)
    assert (said.err.count("\n"), said.out) == (1, "")


@pytest.mark.parametrize("arguments", [[], ["fast"], ["speed", "--frameworks", "numpy"]])
def test_unknown_words_are_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed", "--help"])
    assert "--rival my_loss.py:my_supcon" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("attribute", "told"), [("nothing", "no attribute 'nothing'"), ("number", "must be callable")]
)
def test_rival_that_cannot_be_called_is_refused(rivals: Path, attribute: str, told: str) -> None:
    with pytest.raises(TargetError, match=told):
        load_rival(load("torch", 1), f"{rivals / 'mine.py'}:{attribute}")


def test_rival_that_a_worker_refuses_is_wrong_usage(rivals: Path) -> None:
    done = run("speed", *TINY, "--rival", "mine.py:number", cwd=rivals)
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be callable" in done.stderr


def test_right_rival_is_timed(rivals: Path) -> None:
    done = run(
        "speed", *TINY, "--losses", "supcon", "--rival", "mine.py:right",
        "--json", "a.json", "--plot", "a.svg", cwd=rivals,
    )  # fmt: skip
    found = statuses(rivals / "a.json")
    rival, ours = found["mine.py:right"], found[frameworks.OURS]
    assert done.returncode == 0
    assert (rival["status"], ours["status"]) == ("timed", "timed")
    assert ours["quartiles"][0] <= ours["median"] <= ours["quartiles"][1]
    assert "| 64 | mine.py:right | " in done.stdout
    assert "torch: supcon, N = 64" in done.stderr  # progress
    assert (rivals / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_what_is_wrong_or_does_not_fit_is_not_timed_and_the_table_says_so(rivals: Path) -> None:
    words = ["--losses", "tcl", "--memory-limit", "1e-5", "--rival", "mine.py:with_anchor"]
    done = run("speed", *TINY, *words, "--json", "a.json", cwd=rivals)
    found = statuses(rivals / "a.json")
    drawn = {each.name: each for each in figures.curves(read(rivals / "a.json"))}
    wrong = found["mine.py:with_anchor"]
    assert done.returncode == 0
    assert found[frameworks.OURS]["status"] == "timed"
    assert found[frameworks.LEAN]["status"] == "out of memory"
    assert (wrong["status"], "median" in wrong) == ("wrong", False)
    assert "| mine.py:with_anchor | not timed, wrong: " in done.stdout
    assert "| lean dense | not timed, out of memory: would need" in done.stdout
    assert (drawn[frameworks.LEAN].points, drawn[frameworks.LEAN].out_of_memory) == ([], [64])


@pytest.mark.parametrize(
    ("attribute", "status"),
    [("greedy", "out of memory"), ("deadly", "broke down"), ("leaving", "broke down")],
)
def test_rival_without_memory_or_life_leaves_the_others(
    rivals: Path, attribute: str, status: str
) -> None:
    done = run(
        "speed", *TINY, "--losses", "tcl", "--rival", f"mine.py:{attribute}", "--json", "a.json",
        cwd=rivals,
    )  # fmt: skip
    found = statuses(rivals / "a.json")
    assert done.returncode == 0
    assert found[f"mine.py:{attribute}"]["status"] == status
    assert found[frameworks.OURS]["status"] == "timed"
    assert f"| mine.py:{attribute} | not timed, {status}: " in done.stdout


def test_memory_of_a_wrong_rival_is_not_told(rivals: Path) -> None:
    options = argparse.Namespace(
        quick=True, threads=1, rival=f"{rivals / 'mine.py'}:with_anchor", memory_limit=0.0
    )
    name = "mine.py:with_anchor"
    found = command.peak_memory("torch", Case("tcl", 1024), name, options, str(rivals))
    assert found["status"] == "wrong"


def test_memory_asks_for_every_candidate_but_what_is_compiled(
    rivals: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(framework: str, case: Case, name: str, *_: Any) -> Document:
        measured = {"framework": framework, **case.as_json(), "name": name}
        return measured | {"status": "wrong", "reason": "a rival"}

    monkeypatch.setattr(command, "peak_memory", wrong)
    words = [*TORCH, "--losses", "tcl", "--rival", f"{rivals / 'mine.py'}:right"]
    assert main(["memory", *words, "--json", str(rivals / "a.json")]) == 0
    found = [each["name"] for each in read(rivals / "a.json")["measurements"]]
    assert found == [frameworks.OURS, frameworks.LEAN, frameworks.RELEASED, "mine.py:right"]
    assert "| 1024 | mine.py:right | wrong: a rival |" in capsys.readouterr().out


def test_pytest_benchmark_has_the_same_cases(rivals: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", str(ROOT / "benchmarks"), "--benchmark-only",
               "--benchmark-max-time=0.1", f"--benchmark-json={rivals / 'a.json'}",
               "-k", "supcon and (ours or mine) and not block_size"]  # fmt: skip
    chosen = {"TC_BENCHMARK_SIZES": "200", "TC_BENCHMARK_RIVAL": f"{rivals / 'mine.py'}:right"}
    own = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**own, **chosen}
    )
    assert done.returncode == 0, done.stdout
    found = {each["param"]: each for each in read(rivals / "a.json")["benchmarks"]}
    assert found.keys() == {"torch-supcon-200-ours", "torch-supcon-200-mine.py:right"}
    for each in found.values():
        told = each["extra_info"]
        assert told["in turns"] == ["ours", "mine.py:right"]
        assert each["stats"]["median"] > 0
        assert told["floor"]["seconds"] > 0
        assert 0 < told["share of the allowed error"] <= 1
        # The gradient at least, and less than any process holds that has imported torch.
        assert 200 * 128 * 4 <= told["memory"]["bytes"] < 64 * 2**20
        assert told["first call"] > 0
        over = each["stats"]["median"] / told["floor"]["seconds"]
        assert told["over the floor"] == pytest.approx(over, rel=1e-5)
        assert {"cpu", "threads", "versions"} <= told["environment"].keys()


@pytest.mark.parametrize("ending", ["", "{"])
def test_worker_that_outlasts_its_time_is_killed(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        f"import time; print('{{\"done\": 1}}\\n{ending}', end='', flush=True); time.sleep(99)"
    )
    monkeypatch.setattr(processes, "WORKER", [sys.executable, "-c", program])
    heard: list[Document] = []
    assert processes.ask({}, heard.append, seconds=3) == "its process was not done in 3 s"
    assert heard == [{"done": 1}]


def test_floor_is_positive_and_grows_as_its_formula() -> None:
    floor = Floor(lambda: sum(range(999)), lambda: sum(range(99)), 512 * 512)
    for _ in range(3):
        floor.sample()
    told = floor.as_json(64, 128)
    assert min(told["seconds"], *told["quartiles"], *told["rounds"]) > 0
    assert told["samples"] == len(told["rounds"]) == 3
    assert floor_seconds(10, 3, 1200.0, 0.01) == pytest.approx(1 + 1)


def _orders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the order of three candidates in each of 24 rounds."""
    order: list[str] = []
    runners = [
        measuring._Runner(partial(order.append, name), {"first_call": 1.0, "mode": "jit"})
        for name in "abc"
    ]
    settings = measuring.Settings(seconds=1e-9, fewest=24)
    monkeyed = Floor(lambda: None, lambda: None, 1, 1, [1.0], [1.0])
    monkeypatch.setattr(measuring, "SHORTEST", 1e-12)
    measuring._take_turns(runners, settings, monkeyed, Case("tcl", 64))
    turns = "".join(order[3:])  # after the warm-up
    return [turns[first : first + 3] for first in range(0, len(turns), 3)]


def test_every_round_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = _orders(monkeypatch)
    assert [sorted(order) for order in orders] == [["a", "b", "c"]] * 24
    assert not {*orders} <= {"abc", "bca", "cab"}  # where each always follows the same other
    assert {order[0] for order in orders} == {*"abc"}
    assert _orders(monkeypatch) == orders


def test_variants_keep_to_their_size() -> None:
    found = {case.variant: case for case in variants("tcl", SIZES)}
    assert found["10,000 classes"].N == 16384
    assert found["D = 2048"].base == Case("tcl", 4096)
    plain = replace(found["T = 0.01"], temperature=0.1, variant="base")
    assert plain == Case("tcl", 4096, rivals=False)


@pytest.mark.parametrize("sizes", [SIZES, (256,), (1024, 256), (16384,)])
def test_no_variant_is_measured_twice(sizes: tuple[int, ...]) -> None:
    found = [(case.variant, case.N) for case in variants("tcl", sizes)]
    assert len({*found}) == len(found)
    assert ("(B, 2, D), no labels", 4096 if 4096 in sizes else max(sizes)) in found


def test_learnable_parameters_are_timed_at_every_size() -> None:
    found = learnable("tcl", SIZES)
    assert [case.N for case in found if case.learnable] == list(SIZES)
    assert [case.N for case in found if case.rivals] == [256, 1024, 4096]


def test_profile_runs_only_what_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    case = Case("supcon", 64, 8, variant="small")
    runner = load("torch", 1)
    monkeypatch.setattr(runner, "operations", lambda *_: {"mm": 1.0})
    settings, floor = measuring.Settings(seconds=1e-3), Floor.of(runner, 64)
    found = profiling.profile(runner, case, settings, floor, tell=begun.append)
    assert begun == [each["name"] for each in found["candidates"]]
    assert frameworks.OURS_BASE in {
        each.name for each, _ in measuring.contestants(runner, case, None)
    }


def test_profile_tells_products_and_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    arguments = [*TINY, "--losses", "tcl", "--json", str(file)]
    done = run("profile", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    base, learnable = json.loads(file.read_text(encoding="utf-8"))["measurements"]
    assert [base["variant"], learnable["variant"]] == ["8 classes", "8 classes, learnable"]
    names = [frameworks.OURS, frameworks.OURS_DENSE, frameworks.LEAN, frameworks.RELEASED]
    for measured in (base, learnable):
        assert [each["name"] for each in measured["candidates"]] == names
        for each in measured["candidates"]:
            assert sum(each["shares"].values()) == pytest.approx(1, abs=0.01)
            assert profiling.share_of(each["shares"], profiling.PRODUCTS) > 0
            assert profiling.share_of(each["shares"], profiling.EXPONENTIALS) > 0
            told = [name for name, _ in profiling.others(each["shares"], 5)]
            assert len(told) == 5
            assert not {"mm", "exp"} & set(told)
    assert "| torch TCL, 8 classes, learnable | 64 | ours |" in done.stdout
