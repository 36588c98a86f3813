"""Every clause about the suite has a fault that its row's self-test catches, and no other row's.

The tests of the rows are tried, one per clause; a fault may fail further self-tests.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance.mutants import suite
from tuned_contrastive.conformance.mutants.table import load_table
from tuned_contrastive.conformance.selftest.test_command import few as few  # the fixture
from tuned_contrastive.spec.clauses import SUITE

ROWS = load_table()["suite"]
HERE = __name__.rpartition(".")[0]


def function_of(row: dict[str, str]) -> Any:
    """Return the self-test that a row names as module.function."""
    module, _, name = row["test"].partition(".")
    return getattr(import_module(f"{HERE}.{module}"), name)


def fails(row: dict[str, str], fixtures: dict[str, Any]) -> bool:
    """Return whether the self-test of a row fails."""
    test = function_of(row)
    try:
        test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["clause"])
def test_a_fault_of_the_suite_fails_the_test_of_its_row_alone(
    row: dict[str, str],
    few: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    getattr(suite, row["fault"])(monkeypatch.setattr)
    fixtures = {"few": few, "dtype": "float32", "tmp_path": tmp_path, "capsys": capsys}
    assert [other["clause"] for other in ROWS if fails(other, fixtures)] == [row["clause"]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["clause"])
def test_the_test_of_a_row_cites_its_clause(row: dict[str, str]) -> None:
    marks = [mark for mark in function_of(row).pytestmark if mark.name == "clause"]
    assert [mark.args for mark in marks] == [(row["clause"],)]


def test_every_clause_about_the_suite_has_one_row() -> None:
    assert tuple(row["clause"] for row in ROWS) == SUITE
