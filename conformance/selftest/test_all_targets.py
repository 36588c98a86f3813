"""A run of all targets is as good as the processes that it consists of."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance import command, report
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.run import Result

AS_DECLARED = report.document([report.entry_of(Result("numpy", (), ()))])


class Process:
    """Ends with a status, and may have written a result before."""

    def __init__(self, words: list[str], status: int, document: Any) -> None:
        self.file = Path(words[words.index("--json") + 1])
        self.returncode = status
        self.document = document

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *why: object) -> None:
        pass

    def communicate(self) -> tuple[str, None]:
        """Write the result."""
        if self.document is not None:
            self.file.write_text(json.dumps(self.document), encoding="utf-8")
        return "", None


@pytest.mark.parametrize(
    ("statuses", "document", "status"),
    [
        ((0, 0), AS_DECLARED, 0),
        ((0, 1), AS_DECLARED, 1),  # it uses more of the allowed error than the ledger has
        ((0, -11), AS_DECLARED, 1),
        ((0, 2), AS_DECLARED, 0),  # nothing that was asked for applies
        ((2, 2), AS_DECLARED, 2),
        ((2, 2), None, 1),  # they could not be judged
    ],
)
def test_all_ends_as_its_processes_do(
    statuses: tuple[int, ...], document: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter(statuses)
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "torch"))
    monkeypatch.setattr(
        subprocess, "Popen", lambda words, **given: Process(words, next(ends), document)
    )
    assert main(["all", "--clause", "SUP-5"]) == status


def test_all_tells_where_nothing_applies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "optax"))
    file = tmp_path / "report.json"
    assert main(["all", "--clause", "PRF-1", "--json", str(file)]) == 2
    assert capsys.readouterr().err == "no test that was asked for applies to any target\n"
    assert not file.exists()


def test_what_does_not_apply_to_one_target_is_told_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "optax"))
    assert main(["all", "--clause", "TCL-4"]) == 0
    assert "TCL-4       pass     n/a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--test", "nonsense"], "there is no test of that name: nonsense\n"),
        (["--clause", "DST-1"], "DST-1 has no test: its subject comes in a later version\n"),
    ],
)
def test_all_of_what_has_no_test_is_refused_before_anything_runs(
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy",))
    assert main(["all", *arguments]) == 2
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("status", "told"), [(-11, True), (1, False), (0, False)])
def test_a_process_that_breaks_down_after_its_result_is_told(
    status: int, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy",))
    monkeypatch.setattr(subprocess, "Popen", lambda words, **_: Process(words, status, AS_DECLARED))
    main(["all", "--clause", "SUP-5"])
    assert (f"its process ended with status {status}" in capsys.readouterr().out) == told


@pytest.mark.parametrize(("given", "count"), [(["--fail-fast"], 1), ([], 2)])
def test_fail_fast_leaves_the_targets_after_the_first_failure(
    given: list[str],
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[Process] = []

    def start(words: list[str], **_: Any) -> Process:
        started.append(Process(words, 1, AS_DECLARED))
        return started[-1]

    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "torch"))
    monkeypatch.setattr(subprocess, "Popen", start)
    assert main(["all", "--clause", "SUP-5", *given]) == 1
    assert len(started) == count
    stopped = "torch: not judged, the run was stopped before" in capsys.readouterr().out
    assert stopped or count == 2
