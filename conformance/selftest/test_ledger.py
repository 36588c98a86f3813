"""The ledger: no own target uses more than twice the share that it has recorded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tuned_contrastive.conformance import command, ledger
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.junit import junit
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result
from tuned_contrastive.conformance.verdict import ClauseResult

WRONG = Result(
    "numpy",
    (ClauseResult("NUM-14", "fail", 1, float("inf")),),
    (Ran("test_it", ("NUM-14",), "fail", float("inf"), "", None, "float64", "loss"),),
)
"""A NaN for a number: its share is infinite."""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ledger, "FILE", tmp_path / "ledger.json")
    ledger.FILE.write_text('{"numpy": {"float64": {"loss": 0.1}}}', encoding="utf-8")
    return ledger.FILE


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"float64": {"loss": 0.2}}, []),
        ({"float64": {"loss": 0.21}}, ["numpy: float64 loss uses 0.21, recorded is 0.1"]),
        ({"float32": {"loss": 0.1}}, ["numpy: float32 loss uses 0.1 and is not recorded"]),
    ],
)
def test_a_share_may_double_and_no_more(book: Path, shares: ledger.Shares, told: list[str]) -> None:
    found = [line.partition(" (--")[0] for line in ledger.exceeded("numpy", shares)]
    assert found == told


def test_what_is_acknowledged_is_within_the_ledger(book: Path) -> None:
    shares = {"float64": {"loss": 0.4}}
    ledger.acknowledge("numpy", shares)
    assert ledger.exceeded("numpy", shares) == []


def test_every_own_target_is_in_the_ledger() -> None:
    assert set(ledger.load()) == {"numpy", "torch", "tensorflow", "jax"}


def judged(result: Result, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the status of the command for what a run found."""
    monkeypatch.setattr(command, "_result", lambda *given: result)
    return main(["numpy", *arguments])


def test_an_infinite_share_exceeds_the_ledger(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(WRONG, monkeypatch) == 1
    said = capsys.readouterr().out
    assert "not conforming, but beyond the ledger\n" in said
    assert "numpy: float64 loss uses inf, recorded is 0.1" in said


def test_what_exceeds_the_ledger_stands_in_the_reports(
    book: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    judged(WRONG, monkeypatch, "--json", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    (entry,) = document["results"]
    assert any("float64 loss uses inf, recorded is 0.1" in note for note in entry["notes"])
    assert '<testcase classname="numpy" name="ledger">' in junit(document)


def test_only_what_is_as_declared_is_recorded(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = book.read_bytes()
    assert judged(WRONG, monkeypatch, "--acknowledge") == 1
    assert "numpy: its shares are not recorded, since it is not as declared" in (
        capsys.readouterr().out
    )
    assert book.read_bytes() == before
    right = replace(WRONG, clauses=(), ran=(replace(WRONG.ran[0], status="pass", share=0.4),))
    assert judged(right, monkeypatch, "--acknowledge") == 0
    assert ledger.load()["numpy"] == {"float64": {"loss": 0.4}}
