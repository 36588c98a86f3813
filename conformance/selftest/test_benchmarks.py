"""The benchmarks' command, truth, tables and figures, on tiny sizes; nothing timed is asserted."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuned_contrastive import reference
from tuned_contrastive.benchmarks import (
    figures,
    frameworks,
    gpu,
    gpu_tables,
    missed,
    processes,
    profiling,
    report,
    tables,
)
from tuned_contrastive.benchmarks import speed as measuring
from tuned_contrastive.benchmarks import targets as goals
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.floor import Floor, floor_seconds
from tuned_contrastive.benchmarks.truth import truth
from tuned_contrastive.conformance import files
from tuned_contrastive.conformance.selftest import sample_reports
from tuned_contrastive.reference.bounds import bounds

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tuned_contrastive.benchmarks"]
TINY = ["--frameworks", "torch", "--sizes", "64", "--classes", "8", "--quick"]
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


@pytest.fixture(scope="module")
def results() -> dict[str, Document]:
    """Return the committed results."""
    return report.load()


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
        (["report", "--results", "nowhere"], "nowhere has neither speed.json nor memory.json"),
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
def test_rival_that_cannot_be_called_is_wrong_usage(
    rivals: Path, attribute: str, told: str
) -> None:
    done = run("speed", *TINY, "--rival", f"mine.py:{attribute}", cwd=rivals)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


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


def test_wrong_rival_is_not_timed_and_the_table_says_so(rivals: Path) -> None:
    done = run(
        "speed", *TINY, "--losses", "supcon", "--rival", "mine.py:with_anchor", "--json", "a.json",
        cwd=rivals,
    )  # fmt: skip
    found = statuses(rivals / "a.json")["mine.py:with_anchor"]
    assert done.returncode == 0
    assert found["status"] == "wrong"
    assert "median" not in found
    assert "| mine.py:with_anchor | not timed, wrong: " in done.stdout


@pytest.mark.parametrize("attribute", ["greedy", "deadly", "leaving"])
def test_rival_without_memory_or_life_leaves_the_others(rivals: Path, attribute: str) -> None:
    done = run(
        "speed", *TINY, "--losses", "supcon", "--rival", f"mine.py:{attribute}", "--json", "a.json",
        cwd=rivals,
    )  # fmt: skip
    found = statuses(rivals / "a.json")
    assert done.returncode == 0
    assert found[f"mine.py:{attribute}"]["status"] in ("out of memory", "broke down")
    assert found[frameworks.OURS]["status"] == "timed"
    assert found[f"mine.py:{attribute}"]["status"] in done.stdout


def test_dense_candidate_that_does_not_fit_is_marked(tmp_path: Path) -> None:
    words = ["--losses", "tcl", "--memory-limit", "1e-5", "--json", "a.json"]
    done = run("speed", *TINY, *words, cwd=tmp_path)
    found = statuses(tmp_path / "a.json")
    drawn = {each.name: each for each in figures.curves(read(tmp_path / "a.json"))}
    assert done.returncode == 0
    assert found[frameworks.OURS]["status"] == "timed"
    assert found[frameworks.LEAN]["status"] == "out of memory"
    assert "| lean dense | not timed, out of memory: would need" in done.stdout
    assert (drawn[frameworks.LEAN].points, drawn[frameworks.LEAN].out_of_memory) == ([], [64])


def test_memory_is_measured_in_a_fresh_process(tmp_path: Path) -> None:
    words = ["--frameworks", "torch", "--losses", "tcl", "--sizes", "2048", "--quick"]
    done = run("memory", *words, "--json", "a.json", cwd=tmp_path)
    (found,) = read(tmp_path / "a.json")["measurements"]
    assert (done.returncode, found["status"], found["name"]) == (0, "measured", frameworks.OURS)
    assert found["bytes"] >= 2048 * 128 * 4  # the gradient, at least


def test_memory_of_a_wrong_rival_is_not_told(rivals: Path) -> None:
    words = ["--frameworks", "torch", "--losses", "supcon", "--sizes", "300", "--quick"]
    done = run(
        "memory", *words, "--rival", "mine.py:with_anchor", "--json", "a.json", cwd=rivals
    )  # fmt: skip
    found = {each["name"]: each for each in read(rivals / "a.json")["measurements"]}
    assert (done.returncode, found[frameworks.OURS]["status"]) == (0, "measured")
    assert found["mine.py:with_anchor"]["status"] == "wrong"
    assert "| mine.py:with_anchor | wrong: " in done.stdout


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
        assert each["stats"]["median"] > 0
        assert told["floor"]["seconds"] > 0
        assert 0 < told["share of the allowed error"] <= 1
        assert told["memory"]["status"] == "measured"


@pytest.mark.parametrize("ending", ["", "{"])
def test_worker_that_outlasts_its_time_is_killed(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        f"import time; print('{{\"done\": 1}}\\n{ending}', end='', flush=True); time.sleep(99)"
    )
    monkeypatch.setattr(processes, "WORKER", [sys.executable, "-c", program])
    heard: list[Document] = []
    assert processes.ask({}, heard.append, seconds=6) == "its process was not done in 6 s"
    assert heard == [{"done": 1}]


def test_floor_is_positive_and_grows_as_its_formula() -> None:
    floor = Floor(lambda: sum(range(999)), lambda: sum(range(99)), 512 * 512)
    for _ in range(3):
        floor.sample()
    told = floor.as_json(64, 128)
    assert 0 < told["quartiles"][0] <= told["seconds"] <= told["quartiles"][1]
    assert told["samples"] == 3
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
    found = {case.variant: case for case in _variants("tcl")}
    assert found["10,000 classes"].N == 16384
    assert found["D = 2048"].base == Case("tcl", 4096)
    plain = replace(found["T = 0.01"], temperature=0.1, variant="base")
    assert plain == Case("tcl", 4096, rivals=False)


@pytest.mark.parametrize(
    ("ours", "mark"), [(0.5, "missed"), (0.25, "met"), (0.1, "stretch"), (None, "not measured")]
)
def test_target_is_marked(ours: float | None, mark: str) -> None:
    (target,) = [each for each in goals.TARGETS if each.title.startswith("torch TCL: times faster")]
    speed = {"measurements": [_measured(1024, ours, 0.5)] * (ours is not None)}
    assert goals.verdicts(target, speed, None)[1024].mark == mark


def test_rivals_are_compared_round_by_round() -> None:
    ours = {"name": frameworks.OURS, "median": 2.0, "seconds": [4.0, 2.0, 1.0]}
    lean = {"name": frameworks.LEAN, "median": 4.0, "seconds": [3.0, 6.0, 4.0]}
    candidates = [each | {"status": "timed"} for each in (ours, lean)]
    measured = {**_measured(1024, None, None), "framework": "jax", "candidates": candidates}
    (target,) = [each for each in goals.TARGETS if each.title.startswith("jax TCL: times faster")]
    speed = {"measurements": [measured]}
    assert goals.verdicts(target, speed, None)[1024].value == 3.0  # of 3/4, 3 and 4
    assert "| jax TCL | 2 s, 3x |" in tables.summary(speed)


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
    candidates = [_candidate(frameworks.OURS, 12.0), *rivals]
    measured = {**_measured(65536, None, None), "loss": "supcon", "candidates": candidates}
    speed = {"measurements": [measured]}
    assert goals.verdicts(target, speed, None)[65536].told == f"runs; {told}"
    assert f"| torch SupCon | 12 s, {told} |" in tables.summary(speed)


def test_target_without_a_judged_cell_has_no_row() -> None:
    records = [_candidate(frameworks.OURS_DENSE, 1.0), _candidate(frameworks.LEAN, 1.0)]
    measured = {**_measured(64, None, None), "candidates": records}  # a size of no target
    assert tables.targets_table({"measurements": [measured]}, None) == ""


@pytest.mark.parametrize("what", ["times faster than the authors'", "time over the floor"])
def test_ours_that_was_not_timed_missed(what: str) -> None:
    found = {"speed": {"measurements": [_measured(4096, None, 0.5)]}}
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
    records = [_candidate(frameworks.OURS, ours), _candidate(frameworks.OURS_BASE, base)]
    measured = {**_measured(1024, ours, None), "variant": "2 classes", "candidates": records}
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
    records = [_candidate(frameworks.OURS_DENSE, dense), _candidate(frameworks.LEAN, lean)]
    measured = {**_measured(1024, None, None), "candidates": records}
    found = {each.mark for _, _, each in goals.further({"measurements": [measured]})}
    assert found == {mark} - {None}


def test_exponent_is_fitted() -> None:
    assert tables.fitted_exponent([(2, 12.0), (4, 48.0), (8, 192.0)]) == pytest.approx(2)


def test_results_page_is_generated(results: dict[str, Document]) -> None:
    committed = (report.RESULTS / "README.md").read_text(encoding="utf-8")
    assert committed == report.page(results)


@pytest.mark.parametrize("kind", report.KINDS)
def test_figure_shows_every_figure(results: dict[str, Document], kind: str) -> None:
    lines = figures.curves(results[kind])
    ours = [line for line in lines if line.name == frameworks.OURS]
    assert {line.panel[0] for line in ours} == {"torch", "tensorflow", "jax"}
    assert all(line.points == sorted(line.points) and line.points for line in ours)


def test_figure_is_drawn_the_same_twice(results: dict[str, Document], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.svg", "b.svg")]
    for file in files:
        figures.draw(results["speed"], file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_readme_has_the_generated_part(results: dict[str, Document]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition(f"{report.BEGIN}\n")
    part, end, _ = rest.partition(report.END)
    assert end
    assert part == report.readme_part(results)


def test_part_is_written_between_its_markers(results: dict[str, Document], tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nb\n", encoding="utf-8")
    report.write_part(file, results)
    part = report.readme_part(results)
    assert file.read_text(encoding="utf-8") == f"a\n{report.BEGIN}\n{part}{report.END}\nb\n"


@pytest.mark.parametrize(
    "text", [None, b"no markers", f"{report.END}\n{report.BEGIN}".encode(), b"\xff"]
)
def test_readme_without_its_markers_is_refused_before_work(
    text: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "speed.json").write_bytes((report.RESULTS / "speed.json").read_bytes())
    readme = tmp_path / ("absent" if text is None else "README")
    (tmp_path / "README").write_bytes(text or b"")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert main(["report", "--results", str(tmp_path), "--readme", str(readme)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"{readme} must ")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_gpu_without_one_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["gpu", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == "no CUDA device is visible to torch or jax: nothing was measured\n"
    assert not (tmp_path / "out").exists()


def test_gpu_cases_begin_small_and_end_large() -> None:
    sizes = [case.N for case in gpu.cases()]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1], len(sizes)) == (1024, 262144, 40)


@pytest.mark.parametrize(
    ("text", "told"), [('{"measurements": [', "JSON of a whole run"), ("[1]", "another document")]
)
def test_damaged_results_are_told_by_their_file(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text(text, encoding="utf-8")
    with pytest.raises(processes.UsageError, match=f"speed.json must be .*{told}"):
        report.load(tmp_path)


def test_gpu_counts_the_clauses_of_a_report(tmp_path: Path) -> None:
    entry = sample_reports.every_kind()["results"][0]
    (tmp_path / "conformance-torch.json").write_text(
        files.as_json(sample_reports.every_kind() | {"results": [entry]}), encoding="utf-8"
    )
    counts = gpu._clauses(tmp_path, "torch")["clauses"]
    assert counts == Counter(clause["status"] for clause in entry["clauses"])


@pytest.mark.parametrize(("code", "status"), [(0, "conforms"), (1, "failed")])
def test_gpu_suites_leave_each_other_memory(
    code: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Document] = []

    class Ended:
        def __init__(self, command: list[str], **given: Any) -> None:
            started.append(given)

        def wait(self, seconds: float) -> int:
            return code

    monkeypatch.setattr("tuned_contrastive.benchmarks.gpu.subprocess.Popen", Ended)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    found = gpu._conformance(["torch", "jax"], tmp_path, 9.0)
    assert [each["status"] for each in found] == [status] * 2
    assert {given["env"]["XLA_PYTHON_CLIENT_PREALLOCATE"] for given in started} == {"false"}


def test_gpu_table_tells_what_did_not_fit() -> None:
    found = _gpu_document()
    told = gpu_tables.document(found)
    assert "Conformance of torch on CUDA: conforms (3 pass, 1 n/a)." in told
    assert "jax has no CUDA device here" in told
    assert "| torch | TCL | 1024 | 128 | float32 | 10 ms | 2 | 64 | 500 ms | 64 |" in told
    assert "- torch tcl N = 1024 base: lean dense, torch.compile, skipped, no time left" in told


def _variants(loss: str) -> list[Case]:
    from tuned_contrastive.benchmarks.cases import SIZES, variants

    return variants(loss, SIZES)


def _candidate(name: str, seconds: float | None) -> Document:
    if seconds is None:
        return {"name": name, "status": "out of memory", "reason": "would need 128 GiB"}
    told = {"quartiles": [seconds, seconds], "first_call": seconds, "peak_bytes": 2**26}
    return {"name": name, "status": "timed", "median": seconds, "seconds": [seconds] * 3, **told}


def _measured(N: int, ours: float | None, rival: float | None) -> Document:
    records = [_candidate(frameworks.OURS, ours), _candidate(frameworks.RELEASED, rival)]
    floor = {"seconds": 0.005, "flops_per_second": 1e11, "seconds_per_exponential": 1e-9}
    identity = Case("tcl", N).as_json()
    return {"framework": "torch", **identity, "floor": floor, "candidates": records}


def _gpu_document() -> Document:
    measured = _measured(1024, 0.01, 0.5)
    skipped = {"status": "skipped", "reason": "no time left"}
    measured["candidates"][1] = _candidate(frameworks.LEAN, 0.5)
    measured["candidates"].append({"name": frameworks.LEAN_COMPILED, **skipped})
    where = {"card": "a card", "date": "today", "versions": {"torch": "2"}}
    clauses = {"pass": 3, "n/a": 1}
    return {
        "what": "gpu", "partial": False, "environment": where, "missing": ["jax"],
        "conformance": [{"framework": "torch", "status": "conforms", "clauses": clauses}],
        "measurements": [measured],
    }  # fmt: skip


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
    speed = {"measurements": [_measured(1024, 0.5, 0.5)]}
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
    candidates[1] = _candidate(frameworks.SUPCONTRAST, 0.5)
    assert "Not repeated in the profile's run: 5." in missed.lines(found)
    candidates.append(_candidate(frameworks.PML, 0.6))
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


def test_profile_of_a_graph_is_told_where_xlas_time_was_judged() -> None:
    found = _profiled(1024, 0.5, None, _watched(frameworks.OURS, 0.4, {"mm": 1.0}))
    (measured,), (watched,) = (found[kind]["measurements"] for kind in ("speed", "profile"))
    measured |= {"framework": "tensorflow"}
    watched |= {"framework": "tensorflow"}
    measured["candidates"][1] = _candidate(frameworks.LEAN_XLA, 0.25)
    assert "was judged" not in missed.lines(found)
    measured["candidates"].append(_candidate(frameworks.OURS_XLA, 0.25))
    told = "XLA's 250 ms was judged; the profile is of the graph, at 400 ms. Of 400 ms, "
    assert told in missed.lines(found)


def test_what_a_dense_form_takes_more_is_told() -> None:
    ours = _watched(frameworks.OURS_DENSE, 3.0, {"mm": 0.5, "exp": 0.5})
    lean = _watched(frameworks.LEAN, 2.0, {"mm": 0.75, "sum": 0.25})
    measured = {**_measured(1024, None, None), "candidates": [ours, lean]}
    results = {"speed": {"measurements": [measured]}, "profile": {"measurements": [measured]}}
    told = missed.lines(results)
    assert "3 s beside 2 s, of which more: exp 1.5 s, all others 500 ms less." in told
    alike = {**measured, "candidates": [ours | {"seconds": [2.0] * 3, "median": 2.0}, lean]}
    told = missed.lines({**results, "profile": {"measurements": [alike]}})
    assert "Not repeated in the profile's run: 2 s beside 2 s." in told


def _watched(name: str, seconds: float, shares: dict[str, float]) -> Document:
    return _candidate(name, seconds) | {"shares": shares}


def _profiled(N: int, ours: float, rival: float | None, *watched: Document) -> Document:
    floor = {"seconds": 0.2, "seconds_per_exponential": 0.1 / N**2}
    profiled = {**_measured(N, None, None), "floor": floor, "candidates": list(watched)}
    speed = {"measurements": [_measured(N, ours, rival)]}
    return {"speed": speed, "profile": {"measurements": [profiled]}}


def test_summary_takes_the_better_of_graph_and_xla_and_a_users_loss_by_any_name() -> None:
    names = (frameworks.OURS, frameworks.OURS_XLA, frameworks.LEAN, "ours.py:mine")
    candidates = [
        {"name": name, "status": "timed", "median": median, "seconds": [median]}
        for name, median in zip(names, (4.0, 1.0, 3.0, 2.0), strict=True)
    ]
    case = Case("tcl", 256).as_json()
    measured = {"framework": "tensorflow", **case, "candidates": candidates}
    assert "| tensorflow TCL | 1 s, 2x |" in tables.summary({"measurements": [measured]})
