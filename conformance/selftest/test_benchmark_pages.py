"""The page, figures and README part that are made of the benchmarks' results."""

from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.benchmarks import (
    figures,
    frameworks,
    processes,
    report,
    tables,
)
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.cases import Case

ROOT = Path(__file__).resolve().parents[2]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def results() -> dict[str, Document]:
    """Return the committed results."""
    return report.load()


def test_results_page_is_generated(results: dict[str, Document]) -> None:
    committed = (report.RESULTS / "README.md").read_text(encoding="utf-8")
    assert committed == report.page(results)


def test_what_was_measured_in_another_run_is_told(results: dict[str, Document]) -> None:
    first, *rest = results["speed"]["measurements"][:2]
    run = {"date": "2026-01-02 03:04 UTC", "revision": "abc1234"}
    rest = [{name: value for name, value in each.items() if name != "run"} for each in rest]
    told = tables.origin({**results["speed"], "measurements": [{**first, "run": run}, *rest]})
    end = "speed changes: 2026-01-02 03:04 UTC at abc1234 (1 of the 2 cases of torch).\n"
    assert told.endswith(end)
    assert "In other runs" in told
    assert "In other runs" not in tables.origin({**results["speed"], "measurements": rest})
    nowhere = {**first, "run": run | {"revision": None}}
    told = tables.origin({**results["speed"], "measurements": [nowhere, *rest]})
    assert told.endswith(end.replace(" at abc1234", ""))
    elsewhere = {**first, "run": run | {"cpu": "another"}}
    told = tables.origin({**results["speed"], "measurements": [elsewhere, *rest]})
    assert told.endswith(end.replace("abc1234", "abc1234 on another"))


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


@pytest.mark.parametrize(
    ("text", "told"), [('{"measurements": [', "JSON of a whole run"), ("[1]", "another document")]
)
def test_damaged_results_are_told_by_their_file(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text(text, encoding="utf-8")
    with pytest.raises(processes.UsageError, match=f"speed.json must be .*{told}"):
        report.load(tmp_path)


def test_summary_takes_the_better_of_graph_and_xla_and_a_users_loss_by_any_name() -> None:
    names = (frameworks.OURS, frameworks.OURS_XLA, frameworks.LEAN, "ours.py:mine")
    candidates = [
        {"name": name, "status": "timed", "median": median, "seconds": [median]}
        for name, median in zip(names, (4.0, 1.0, 3.0, 2.0), strict=True)
    ]
    case = Case("tcl", 256).as_json()
    measured = {"framework": "tensorflow", **case, "candidates": candidates}
    assert "| tensorflow TCL | 1 s, 2x |" in tables.summary({"measurements": [measured]})
