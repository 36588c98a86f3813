"""What the command lists and shows, in colour on a terminal alone."""

import io
import json
import sys
from pathlib import Path

import pytest

from tuned_contrastive.conformance import terminal
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.mutants.table import rows
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.spec.clauses import load_clauses

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("kind", "count", "first"),
    [
        ("clauses", len(load_clauses()), "INP-1 "),
        ("vectors", len(load_vectors().declared), "supcon-001 "),
        ("mutants", len(rows()), "calling.TemperatureOfThePaper "),
    ],
)
def test_a_list_has_a_line_for_each(kind: str, count: int, first: str, capsys: Capture) -> None:
    assert main(["--list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count
    assert lines[0].startswith(first)


def test_a_vector_is_shown_with_what_came_out(capsys: Capture) -> None:
    assert main(["numpy", "--vector", "supcon-001", "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("supcon-001: supcon, cites ")
    for word in ("embeddings", "expected", "got", "difference", "allowed", "each row's norm"):
        assert word in shown


FAILING = """
import sys

def raises(embeddings, labels, temperature=0.1, normalize=True, reduction="mean"):
    raise ValueError("not today\\nnor tomorrow")

def leaves(embeddings, labels, temperature=0.1, normalize=True, reduction="mean"):
    sys.exit("gone")

def speaks(embeddings, labels, temperature=0.1, normalize=True, reduction="mean"):
    return "soon"

def right(embeddings, labels, temperature=0.1, normalize=True, reduction="mean"):
    from tuned_contrastive.reference import supcon_loss
    return supcon_loss(embeddings, labels, temperature=temperature, reduction=reduction)

def reduces(embeddings, labels, temperature=0.1, normalize=True, reduction="mean"):
    return right(embeddings, labels, temperature)
"""


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ("raises", "nothing: it raised ValueError: not today, at failing.py:5"),
        ("leaves", "nothing: it raised SystemExit: gone, at failing.py:8"),
        ("speaks", "nothing: {target} must return a NumPy array or a number, got str: 'soon'"),
    ],
)
def test_a_vector_is_shown_with_what_stopped_the_function(
    attribute: str, told: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "failing.py").write_text(FAILING, encoding="utf-8")
    target = f"{tmp_path / 'failing.py'}:{attribute}"
    bare = ["--framework", "numpy", "--losses", "supcon"]
    assert main([target, *bare, "--vector", "supcon-001", "--show"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("supcon-001: supcon, cites ")
    assert "loss in float64\n  expected   1.52028811\n" in shown
    assert shown.endswith(f"  got        {told.format(target=target)}\n")


def test_a_vector_is_shown_with_the_value_of_a_function_without_gradients(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "failing.py").write_text(FAILING, encoding="utf-8")
    bare = ["--framework", "numpy", "--losses", "supcon", "--vector", "supcon-001", "--show"]
    assert main([f"{tmp_path / 'failing.py'}:right", *bare]) == 0
    assert "got        1.52028811" in capsys.readouterr().out


def test_losses_of_the_anchors_are_shown_too(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "failing.py").write_text(FAILING, encoding="utf-8")
    bare = ["--framework", "numpy", "--losses", "supcon", "--vector", "supcon-001", "--show"]
    assert main([f"{tmp_path / 'failing.py'}:reduces", *bare]) == 1
    said = capsys.readouterr().out
    assert "got        1.52028811" in said
    assert "per_anchor in float64: inf times the allowed error\n  expected   [" in said


DOCTORED = "tuned_contrastive.conformance.selftest.doctored"


def test_a_wrong_number_is_shown_and_fails(capsys: Capture) -> None:
    assert main([f"{DOCTORED}:WrongMean", "--vector", "supcon-001", "--show"]) == 1
    assert "got        1.52028811" not in capsys.readouterr().out


def test_what_is_not_claimed_is_not_compared(capsys: Capture) -> None:
    asked = [f"{DOCTORED}:OnlySupcon", "--vector", "tcl-001"]
    assert main([*asked, "--show"]) == 2
    said = capsys.readouterr().out
    assert said.endswith("\n\nnothing to judge: offers no tcl loss\n")
    assert "times the allowed error" not in said
    assert main([*asked, "--vector", "supcon-001", "--show"]) == 0
    assert said in capsys.readouterr().out


def test_what_the_encoding_of_the_terminal_lacks_is_written_as_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    terminal.say("\ud800 – it")
    assert written.getvalue() == b"\\ud800 \\u2013 it\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("sys.exit('cannot go on')", 'nothing: ended with status 1: "cannot go on"'),
        ("time.sleep(60)", "nothing: no answer within 2 s"),
        ("print('debug', flush=True)", "nothing: answered with what is no JSON object"),
    ],
)
def test_a_vector_is_shown_with_what_stopped_the_program(
    answer: str, told: str, tmp_path: Path, capsys: Capture
) -> None:
    claims = json.dumps({"protocol": 1, "name": "it", "losses": ["supcon"]})
    source = f"import sys, time\ninput()\nprint({claims!r}, flush=True)\ninput()\n{answer}\n"
    (tmp_path / "failing.py").write_text(source, encoding="utf-8")
    program = ["--program", f"{sys.executable} {tmp_path / 'failing.py'}", "--time-limit", "2"]
    assert main([*program, "--vector", "supcon-001", "--show"]) == 1
    shown = capsys.readouterr().out
    assert "loss in float64\n  expected   1.52028811\n" in shown
    assert f"  got        {told}" in shown


def test_only_the_tests_of_a_vector_run(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "found.json"
    assert main(["numpy", "--vector", "supcon-001", "--json", str(file)]) == 0
    (entry,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert entry["partial"]
    assert entry["vectors"] == 1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["numpy", "--vector", "reject-081", "--show"], "reject-081 has no numbers to show"),
        (["numpy", "--vector", "supcon-999"], "supcon-999 is no vector"),
        (["--program", "cat", "--time-limit", "0"], "--time-limit must be > 0"),
        (["--program", "cat", "--time-limit", "inf"], "--time-limit must be > 0 and < 1e+06"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], told: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_help_has_examples(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--clause TCL-4 --fail-fast" in capsys.readouterr().out


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_what_follows_the_progress_begins_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    with terminal.Progress("it") as progress:
        progress("test_a", 1, 3)
        progress("test_b", 2, 3)
    assert screen.getvalue() == "\rit: 1/3 tests, 0 s\rit: 2/3 tests, 0 s\n"


@pytest.mark.parametrize(
    ("variables", "colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals(
    variables: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_colours(Screen()) == colours
    assert not terminal.has_colours(io.StringIO())


def test_only_words_for_a_status_are_coloured() -> None:
    found = terminal.coloured("SUP-1 pass, TCL-1 FAIL; torch: not conforming, passes, known-good")
    assert found == (
        "SUP-1 \x1b[32mpass\x1b[0m, TCL-1 \x1b[31mFAIL\x1b[0m; "
        "torch: \x1b[31mnot conforming\x1b[0m, passes, known-good"
    )
