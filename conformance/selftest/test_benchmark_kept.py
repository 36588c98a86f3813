"""What an earlier run measured stays in its file with `--keep`, and is told as that run's."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.benchmarks import command, kept
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.processes import UsageError
from tuned_contrastive.conformance.writing import NotWrittenError

Document = dict[str, Any]
ENVIRONMENT = {"cores": 2, "memory_gib": 8, "threads": 2, "python": "3", "versions": {"numpy": "2"}}
TINY = ["--frameworks", "torch", "--losses", "tcl", "--sizes", "16", "--quick"]


def document(day: str, *measurements: Document, **further: Any) -> Document:
    where = ENVIRONMENT | {"date": day, "revision": f"of {day}", "cpu": f"cpu of {day}"}
    found = {"schema": 1, "what": "speed", "quick": False, "partial": False, "environment": where}
    return found | {"measurements": list(measurements)} | further


def measured(N: int, seconds: float, **further: Any) -> Document:
    return {"framework": "torch", "loss": "tcl", "N": N, "seconds": seconds} | further


def options(file: Path) -> argparse.Namespace:
    return argparse.Namespace(json=str(file), keep=True)


def begun(file: Path, before: Document) -> Document:
    file.write_text(json.dumps(before), encoding="utf-8")
    found = document("day 2")
    kept.begin(found, options(file))
    return found


def test_what_is_measured_again_is_replaced_and_the_rest_tells_its_run(tmp_path: Path) -> None:
    first, second = (
        {"date": day, "revision": f"of {day}", "cpu": f"cpu of {day}"} for day in ("day 0", "day 1")
    )
    old = [measured(2, 1.0), measured(2, 1.5), measured(4, 1.0), measured(8, 1.0, run=first)]
    found = begun(tmp_path / "a.json", document("day 1", *old))
    for again in (measured(16, 2.0), measured(2, 2.0), measured(2, 2.5)):
        kept.put(found, again)
    assert found["measurements"] == [
        measured(2, 2.0),
        measured(4, 1.0, run=second),
        measured(8, 1.0, run=first),
        measured(16, 2.0),
        measured(2, 2.5),
    ]
    assert found["environment"]["date"] == "day 2"


def test_candidates_whose_memory_was_measured_are_told_apart(tmp_path: Path) -> None:
    old = [measured(2, 1.0, name=name) for name in ("ours", "theirs")]
    found = begun(tmp_path / "a.json", document("day 1", *old))
    kept.put(found, measured(2, 2.0, name="theirs"))
    assert [(each["name"], each["seconds"]) for each in found["measurements"]] == [
        ("ours", 1.0),
        ("theirs", 2.0),
    ]


def test_what_was_interrupted_stays_partial(tmp_path: Path) -> None:
    assert begun(tmp_path / "a.json", document("day 1", partial=True))["partial"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"schema": 2}, "--keep needs schema to be 1 in {}, got 2"),
        ({"what": "memory"}, "--keep needs what to be speed in {}, got memory"),
        ({"quick": True}, "--keep needs quick to be False in {}, got True"),
        *[
            (
                {"environment": ENVIRONMENT | {of: 0}},
                f"--keep needs {of} to be {now} in {{}}, got 0",
            )
            for of, now in ENVIRONMENT.items()
        ],
    ],
)
def test_another_kind_of_run_is_refused(tmp_path: Path, wrong: Document, told: str) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(UsageError) as refused:
        begun(file, document("day 1") | wrong)
    assert str(refused.value) == told.replace("{}", str(file))


@pytest.mark.parametrize("further", [[], ["--json", "none.json"]])
def test_nothing_is_kept_of_no_file(
    further: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["speed", *TINY, "--keep", *further]) == 2
    assert "--keep needs --json with a file that is there" in capsys.readouterr().err


def answer(request: Document, cases: list[Any], hear: Any) -> None:
    """Stand in for the worker, which measures nothing."""
    for number, case in enumerate(cases):
        done = {"framework": request["framework"], **case.as_json(), "candidates": []}
        hear(number, {"done": done | {"floor": {"seconds": 1.0}}})


def test_command_keeps_what_it_does_not_measure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "ask_in_order", answer)
    words = ["speed", *TINY, "--json", str(tmp_path / "a.json")]
    assert main(words) == main([*words, "--keep", "--classes", "3"]) == 0
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["measurements"]
    assert [(each["classes"], "run" in each) for each in found] == [(100, True), (3, False)]


def test_what_cannot_be_written_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: Path, text: str) -> None:
        raise NotWrittenError(f"{file} could not be written: no space")

    monkeypatch.setattr(command, "ask_in_order", answer)
    monkeypatch.setattr(command, "write_text", full)
    assert main(["speed", *TINY, "--json", str(tmp_path / "a.json")]) == 1
    out, err = capsys.readouterr()
    assert "### torch, TCL, " in out
    assert err.endswith("a.json could not be written: no space\n")
