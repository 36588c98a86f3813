"""Ctrl-C at any time: one line says so, the status is 130, what was judged is a partial report."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance import command, files, gate, report, writing
from tuned_contrastive.conformance import run as running
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.files import KINDS
from tuned_contrastive.conformance.judging import Judge
from tuned_contrastive.conformance.mutants.table import Row
from tuned_contrastive.conformance.protocol import Case, Outcome
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.selftest.doctored import OnlySupcon

TOLD = "the run was interrupted"
WHOLE = report.entry_of(Result("numpy", (), ()))
SLOW = """
import time
from pathlib import Path
from tuned_contrastive.conformance.adapters.numpy import NumpyReference

class Slow(NumpyReference):
    def loss(self, case):
        Path("begun").touch()
        time.sleep(0.1)
        return super().loss(case)

it = Slow()
"""
HEEDING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from tuned_contrastive.conformance.__main__ import main
sys.exit(main(["slow.py:it", "--json", "found.json"]))
"""


class Interrupted(OnlySupcon):
    """Is stopped in its first call, as by ctrl-C."""

    def loss(self, case: object) -> Outcome:
        """Raise KeyboardInterrupt."""
        raise KeyboardInterrupt


class StoppedOnce(OnlySupcon):
    """Is stopped in its first call alone."""

    calls = 0

    def loss(self, case: Case) -> Outcome:
        """Raise KeyboardInterrupt, and nothing from then on."""
        self.calls += 1
        if self.calls == 1:
            raise KeyboardInterrupt
        return super().loss(case)


def ended(arguments: list[str]) -> int:
    """Return the exit status; an interrupt that nobody caught may not end these tests, too."""
    try:
        return main(arguments)
    except KeyboardInterrupt:
        return -signal.SIGINT


def results(file: Path) -> list[dict[str, Any]]:
    """Return the results of a document."""
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return found


def test_ctrl_c_leaves_a_partial_report(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    words = [sys.executable, "-c", HEEDING]
    with subprocess.Popen(words, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and not (tmp_path / "begun").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)
    (entry,) = results(tmp_path / "found.json")
    assert process.returncode == 130
    assert (entry["partial"], entry["conforming"], entry["as_declared"]) == (True, False, False)
    assert TOLD in entry["notes"]
    assert "".join(said).count(TOLD) == 1


def test_what_did_not_run_is_no_error() -> None:
    result = run(Interrupted(), clauses=["SUP-5"])
    assert result.interrupted
    assert result.partial
    assert "CNF-1" not in result.status
    assert not result.as_declared


def test_a_test_file_that_cannot_be_read_is_no_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_it.py").write_text("import no_such_package", encoding="utf-8")
    (tmp_path / "suite.toml").write_text("", encoding="utf-8")
    monkeypatch.setattr(running, "HERE", tmp_path)
    result = run(OnlySupcon(), clauses=["SUP-5"])
    (clause,) = result.clauses
    assert not result.interrupted
    assert (clause.id, clause.status) == ("CNF-1", "error")
    assert "no_such_package" in clause.reason
    assert TOLD not in clause.reason


def test_interrupt_before_the_first_test_leaves_reports_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stopped.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    files = {kind: tmp_path / f"report.{kind}" for kind in KINDS}
    asked = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    assert ended([f"{tmp_path / 'stopped.py'}:it", *asked]) == 130
    (entry,) = results(files["json"])
    assert (entry["partial"], entry["cases"], entry["clauses"]) == (True, 0, [])
    assert all(file.is_file() for file in files.values())
    assert capsys.readouterr().out.count(TOLD) == 1


def test_interrupt_of_what_has_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "shown", stop)
    assert ended(["numpy", "--vector", "supcon-001", "--show"]) == 130
    assert capsys.readouterr().err == f"{TOLD}\n"


def test_interrupted_mutant_does_not_survive() -> None:
    with pytest.raises(KeyboardInterrupt):
        gate.judge(Row("stopped", "SUP-5", StoppedOnce))


class Child:
    """A process whose parent gets a ctrl-C while it waits, and which is told of it."""

    returncode = -signal.SIGINT

    def __init__(self, words: list[str], **given: Any) -> None:
        self.file = Path(words[words.index("--json") + 1])
        self.asked = 0
        self.told: list[int] = []

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *why: object) -> None:
        pass

    def communicate(self) -> tuple[str, None]:
        """Raise what the parent gets, too; then the process has ended."""
        self.asked += 1
        if self.asked == 1:
            raise KeyboardInterrupt
        assert self.told == [signal.SIGINT] * (self.asked - 1)
        return "", None

    def send_signal(self, number: int) -> None:
        """Keep what it is told."""
        self.told.append(number)


class DoneChild(Child):
    """It had already written all that it found."""

    returncode = 0

    def communicate(self) -> tuple[str, None]:
        """Write a result before the interrupt."""
        self.file.write_text(json.dumps(report.document([WHOLE])), encoding="utf-8")
        return super().communicate()


@pytest.mark.parametrize(
    ("child", "found"),
    [(Child, [("numpy", True)]), (DoneChild, [("numpy", False), ("torch", True)])],
)
def test_all_stops_at_an_interrupt_and_says_so(
    child: type[Child],
    found: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "torch", "jax"))
    monkeypatch.setattr(subprocess, "Popen", child)
    file = tmp_path / "report.json"
    assert ended(["all", "--json", str(file)]) == 130
    entries = results(file)
    assert [(entry["target"], entry["partial"]) for entry in entries] == found
    assert TOLD in entries[-1]["notes"]
    document = json.loads(file.read_text(encoding="utf-8"))
    assert {"target": "jax", "reason": report.STOPPED} in document["not_judged"]
    assert document["partial"]
    assert not [clause for entry in entries for clause in entry["clauses"]]
    said = capsys.readouterr().out
    assert f"\n{TOLD}\n" in said
    assert f"\n{report.PARTIAL}\n" in said


class CalmChild(DoneChild):
    """Nobody interrupts it, or the parent while it waits."""

    def communicate(self) -> tuple[str, None]:
        """Write a result."""
        self.file.write_text(json.dumps(report.document([WHOLE])), encoding="utf-8")
        return "", None


@pytest.mark.parametrize("narrowing", [[], ["--clause", "SUP-9"]], ids=["whole", "part"])
def test_all_interrupted_between_two_targets_says_so(
    narrowing: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[str] = []

    def begin(words: list[str], **given: Any) -> Child:
        begun.append(words[3])
        if len(begun) == 2:
            raise KeyboardInterrupt
        return CalmChild(words)

    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "torch", "jax"))
    monkeypatch.setattr(subprocess, "Popen", begin)
    file = tmp_path / "report.json"
    assert ended(["all", *narrowing, "--json", str(file)]) == 130
    assert [(entry["target"], TOLD in entry["notes"]) for entry in results(file)] == [
        ("numpy", False),
        ("torch", True),
    ]


def test_all_interrupted_before_the_first_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "installed_targets", stop)
    file = tmp_path / "report.json"
    assert ended(["all", "--json", str(file)]) == 130
    (entry,) = results(file)
    assert (entry["target"], entry["partial"], entry["cases"]) == ("all", True, 0)


def test_an_interrupt_while_pytest_ends_keeps_what_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = pytest.main

    def interrupted(*given: Any, **more: Any) -> Any:
        judged(*given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(pytest, "main", interrupted)
    result = run(OnlySupcon(), clauses={"SUP-5"})
    assert result.interrupted
    assert result.ran
    assert result.status["SUP-5"] == "pass"


class Lost:
    """Is told to stop while it is taken away, as a collector's callback may be."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class LosesOne(OnlySupcon):
    """Loses an interrupt in every call."""

    def loss(self, case: Case) -> Outcome:
        """Return the loss."""
        Lost()
        return super().loss(case)


@pytest.fixture
def _heeding() -> Iterator[None]:
    """Heed ctrl-C, which these tests may have been started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def asked_for(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return a file for each kind of report, and the options that ask for them."""
    places = {kind: folder / f"report.{kind}" for kind in KINDS}
    return places, [word for kind, file in places.items() for word in (f"--{kind}", str(file))]


@pytest.mark.usefixtures("_heeding")
def test_an_interrupt_that_a_callback_loses_while_pytest_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Judge, "pytest_unconfigure", lambda self: Lost() and None, raising=False)
    places, asked = asked_for(tmp_path)
    assert ended(["numpy", "--clause", "SUP-9", *asked]) == 130
    (entry,) = results(places["json"])
    assert (entry["partial"], entry["clauses"][0]["status"]) == (True, "pass")
    assert all(file.is_file() for file in places.values())
    assert capsys.readouterr().out.count(TOLD) == 1


@pytest.mark.usefixtures("_heeding")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_callback_loses_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "_loaded", lambda options: LosesOne())
    file = tmp_path / "report.json"
    assert ended(["numpy", "--json", str(file)]) == 130
    (entry,) = results(file)
    assert [case for case in entry["ran"] if "status" in case] == []
    assert TOLD in entry["notes"]


@pytest.mark.usefixtures("_heeding")
@pytest.mark.parametrize("target", ["numpy", "all"])
def test_an_interrupt_while_files_are_written_leaves_all_of_them(
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = writing.write_text

    def interrupted(file: Path, text: str) -> None:
        signal.raise_signal(signal.SIGINT)
        write(file, text)

    monkeypatch.setattr(files, "write_text", interrupted)
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy",))
    monkeypatch.setattr(subprocess, "Popen", CalmChild)
    places, asked = asked_for(tmp_path)
    assert ended([target, "--clause", "SUP-9", *asked]) == 130
    assert all(file.is_file() for file in places.values())
    assert TOLD not in results(places["json"])[0]["notes"]
    assert capsys.readouterr().out.endswith(f"\n{TOLD}\n")


def test_an_interrupt_of_the_parent_alone_stops_the_child(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    heeding = HEEDING.replace(
        "from tuned_contrastive.conformance.__main__ import main",
        "from tuned_contrastive.conformance import command\n"
        "command.installed_targets = lambda: ['slow.py:it', 'numpy']\n"
        "from tuned_contrastive.conformance.__main__ import main",
    ).replace('slow.py:it", "--json', 'all", "--json')
    words = [sys.executable, "-c", heeding]
    with subprocess.Popen(words, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and not (tmp_path / "begun").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    (entry,) = results(tmp_path / "found.json")
    assert process.returncode == 130
    assert (entry["target"], entry["partial"]) == ("slow.py:it", True)
