"""How a program is started, started anew, and ended together with all that it started."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters import process
from tuned_contrastive.conformance.adapters.program import Program
from tuned_contrastive.conformance.protocol import AnswerError, Case

CASE = Case("supcon", np.eye(2), np.array([0, 0]))
CLAIMS = '{"protocol": 1, "name": "it", "losses": ["supcon"]}'
HELLO_FIRST = """
import json, os, subprocess, sys, time
sys.stdin.readline()
print(json.dumps({claims}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["id"] == 1:
        {fault}
    print(json.dumps({{"id": asked["id"], "loss": 0.5}}), flush=True)
"""
"""A program that reads the first line apart, as most would be written."""

BEGUN = b"begun\n"
HOLDING = "exec 3> pipe; echo begun >&3; sleep 60"
"""Commands of a shell that hold the pipe open as long as they run."""

HEEDING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from tuned_contrastive.conformance.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return the reading end of a pipe in the folder of the test, where programs run."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    reading = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    yield reading
    os.close(reading)


def written(folder: Path, fault: str, claims: str = CLAIMS) -> str:
    file = folder / "it.py"
    file.write_text(HELLO_FIRST.format(fault=fault, claims=claims), encoding="utf-8")
    return f"{sys.executable} {file}"


def has_begun(pipe: int) -> bool:
    """Wait until somebody holds the pipe."""
    began = time.monotonic()
    while not (said := os.read(pipe, len(BEGUN))) and time.monotonic() - began < 60:
        time.sleep(0.05)
    return said == BEGUN


def is_over(pipe: int) -> bool:
    """Return whether nobody holds the pipe any more; else wait until that is so."""
    began = time.monotonic()
    return not os.read(pipe, 1) and time.monotonic() - began < 10


@pytest.mark.parametrize("fault", ["sys.exit()", "time.sleep(60)"])
def test_a_program_that_is_started_anew_gets_the_first_line(tmp_path: Path, fault: str) -> None:
    subject = Program(written(tmp_path, fault), seconds=1)
    with pytest.raises(AnswerError):
        subject.loss(CASE)
    assert subject.loss(CASE).loss == 0.5
    subject.close()


def test_claims_are_the_same_at_every_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    claims = '{"protocol": 1, "name": f"it {os.path.exists(\'again\')}", "losses": ["supcon"]}'
    subject = Program(written(tmp_path, "open('again', 'w'); sys.exit()", claims), seconds=5)
    with pytest.raises(AnswerError, match="ended with status 0"):
        subject.loss(CASE)
    told = 'name must be "it False" at every start, as at the first, got "it True"'
    for _ in range(2):
        with pytest.raises(AnswerError, match=told):
            subject.loss(CASE)


@pytest.mark.usefixtures("pipe")
@pytest.mark.parametrize("session", [False, True], ids=["", "in a session of its own"])
def test_the_time_limit_holds_for_a_program_with_children(tmp_path: Path, session: bool) -> None:
    fault = f"subprocess.run(['sleep', '20'], start_new_session={session})"
    subject = Program(written(tmp_path, fault), seconds=1)
    began = time.monotonic()
    with pytest.raises(AnswerError, match="no answer within 1 s"):
        subject.loss(CASE)
    assert time.monotonic() - began < 10


def test_children_end_with_the_program(tmp_path: Path, pipe: int) -> None:
    subject = Program(written(tmp_path, f"subprocess.run(['sh', '-c', '{HOLDING}'])"), seconds=1)
    with pytest.raises(AnswerError, match="no answer within 1 s"):
        subject.loss(CASE)
    assert has_begun(pipe)
    assert is_over(pipe)


def test_a_law_is_not_shrunk_on_a_program_that_hangs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = f"open({str(tmp_path / 'hung')!r}, 'a').write('.'); time.sleep(60)"
    claims = CLAIMS.replace("}", ', "gradients": ["embeddings"]}')
    program = written(tmp_path, fault, claims)
    (tmp_path / "it.py").write_text(
        (tmp_path / "it.py").read_text(encoding="utf-8").replace('asked["id"] == 1', "True"),
        encoding="utf-8",
    )
    laws = ["--test", "test_permutation_of_the_rows[supcon-float64]"]
    assert main(["--program", program, "--time-limit", "1", *laws]) == 1
    assert "no answer within 1 s" in capsys.readouterr().out
    assert (tmp_path / "hung").read_text(encoding="utf-8") == "."


def test_an_interrupt_ends_a_program_that_hangs(tmp_path: Path, pipe: int) -> None:
    fault = f"subprocess.run(['sh', '-c', '{HOLDING}'])"
    asked = ["--program", written(tmp_path, fault), "--json", "found.json", "--time-limit", "60"]
    words = [sys.executable, "-c", HEEDING, *asked]
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True) as suite:
        assert has_begun(pipe)
        suite.send_signal(signal.SIGINT)
        said = suite.communicate(timeout=20)
    (entry,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["results"]
    assert (suite.returncode, entry["partial"]) == (130, True)
    assert "".join(said).count("the run was interrupted") == 1
    assert is_over(pipe)


def test_a_program_that_cannot_be_started_is_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--program", "no-such-program"]) == 2
    assert capsys.readouterr().err == (
        "--program must name what can be started, got 'no-such-program': "
        "[Errno 2] No such file or directory: 'no-such-program'\n"
    )


def test_a_line_without_end_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LONGEST_LINE", 1000)
    subject = Program(written(tmp_path, "print(2000 * ' ', end='', flush=True); time.sleep(60)"))
    with pytest.raises(AnswerError, match="answered with a line of more than 1000 bytes"):
        subject.loss(CASE)


def test_errors_that_no_encoding_has_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "print(json.dumps({'id': 1, 'error': '\\ud800\\x1b'}), flush=True); continue"
    command, file = written(tmp_path, answer), tmp_path / "found.json"
    test = "test_loss[supcon-001-float64-loss]"
    assert main(["--program", command, "--test", test, "--json", str(file)]) == 1
    (entry,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    (case,) = entry["ran"]
    assert case["message"] == 'answered with an error: "\\ud800\\u001b"'
    assert case["message"] in capsys.readouterr().out
