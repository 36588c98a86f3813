"""The lock of the clauses: what changed cannot pass unread."""

from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance import lock
from tuned_contrastive.spec.clauses import read_clauses

FOUND = {"SUP-1": {"sha256": "a", "tests": ["test_z", "test_a"]}}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lock, "LOCK", tmp_path / "clauses.lock")
    return lock.LOCK


def test_the_lock_is_that_of_the_clauses_and_tests() -> None:
    told = "\n".join(lock.changes(lock.load(), lock.current()))
    assert not told, f"read these, then run the module with --update:\n{told}"


@pytest.mark.parametrize(
    ("locked", "told"),
    [
        ({"SUP-1": {"sha256": "b", "tests": ["test_a"]}}, "SUP-1 changed; read these tests again"),
        ({"SUP-1": {"sha256": "a", "tests": ["test_a"]}}, "SUP-1 is cited by other tests"),
        ({}, "SUP-1 changed; read these tests again"),
    ],
)
def test_a_change_names_the_tests_to_read_again(locked: Any, told: str) -> None:
    assert lock.changes(locked, FOUND) == [told, "  test_a", "  test_z"]


def test_a_clause_that_is_gone_names_the_tests_that_cited_it() -> None:
    assert lock.changes(FOUND, {})[1:] == ["  test_a", "  test_z"]


def test_an_equal_lock_says_nothing() -> None:
    assert lock.changes(FOUND, dict(FOUND)) == []


def test_the_lock_is_written_only_when_told(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lock.main([]) == 1
    assert not written.exists()
    assert lock.main(["--update"]) == 0
    assert "vectors of supcon" in capsys.readouterr().out
    assert lock.main([]) == 0
    assert capsys.readouterr().out == ""


def test_citations_name_test_mode_and_vectors() -> None:
    found = lock.citations()
    assert "suite/test_inputs.py::test_defaults_of_supcon" in found["INP-1"]
    for clause in ("SUP-5", "SUP-11", "NUM-2", "NUM-14", "NUM-15"):
        assert "vectors of supcon" in found[clause], clause
    assert any(", mode " in test for tests in found.values() for test in tests)


@pytest.mark.parametrize("added", ["", "\n\nIt MUST do more.", "\n\n    x = y\n\nWith x."])
@pytest.mark.parametrize(
    "after", ["", "\n\n**SUP-2** Next.", "\n\n## Next\n", "\n\nWhy:\n\n- As.\n"]
)
def test_all_paragraphs_of_a_clause_are_its_text(added: str, after: str) -> None:
    clause = read_clauses(f"# T\n\n**SUP-1** It MUST do this.{added}{after}")["SUP-1"]
    assert clause.text == " ".join(f"It MUST do this.{added}".split())
