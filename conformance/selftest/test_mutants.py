"""Every judged clause has a fault that its own tests catch, and no others."""

import inspect
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance import mutants
from tuned_contrastive.conformance.mutants.calling import Accepts
from tuned_contrastive.conformance.mutants.plain import Plain
from tuned_contrastive.conformance.mutants.planted import Planted
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import run
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.reference.citations import ORDINARY
from tuned_contrastive.spec.clauses import PLANNED, SUITE, load_clauses

HERE = Path(mutants.__file__).parent
TABLE = tomllib.loads((HERE / "table.toml").read_text(encoding="utf-8"))
JUDGED = [name for name in load_clauses() if name not in (*PLANNED, *SUITE)]
NOT_LAWS = [name for name in JUDGED if not name.startswith("LAW-")]
LACKING = {"INP-14", "GRD-13", "GRD-14"}
"""What plain NumPy has no machinery for."""


@cache
def all_mutants() -> dict[str, type[Any]]:
    """Return every class of the folder that breaks a clause, by module and name."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "__init__")
    modules = [import_module(f"{mutants.__name__}.{name}") for name in names]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and vars(value).get("breaks")
    }


def faulty(row: dict[str, str]) -> Implementation:
    """Return the implementation that a row of the table means."""
    if "reject" in row:
        return Accepts(*(r for r in load_vectors().rejects if r.id == row["reject"]))
    mutant = all_mutants()[row["mutant"]]()
    subject: Implementation = Planted(mutant) if row.get("planted") else mutant
    return subject


def everywhere(mutant: Any) -> tuple[Ran, ...]:
    """Return the failing tests of a mutant that is not planted, without the laws and the edges."""
    failed = run(mutant, clauses=NOT_LAWS).failures
    return tuple(r for r in failed if mutant.breaks in r.clauses or r.vector not in edges())


@cache
def edges() -> frozenset[str]:
    """Return the vectors that cite only what they exist for."""
    flags = {vector.id: set(vector.flags) for vector in load_vectors().values}
    return frozenset(n for n, f in flags.items() if not f & ORDINARY or "no-negative" in f)


def test_the_plain_implementation_passes() -> None:
    result = run(Plain())
    assert [record.test for record in result.failures] == []
    passed = {name for name, status in result.status.items() if status == "pass"}
    assert set(JUDGED) - passed == LACKING


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: row["clause"])
def test_a_fault_fails_the_tests_of_its_clause_alone(row: dict[str, str]) -> None:
    failed = run(faulty(row)).failures
    assert failed
    assert [record.test for record in failed if row["clause"] not in record.clauses] == []


@pytest.mark.parametrize("name", [row["mutant"] for row in TABLE["rows"] if row.get("planted")])
def test_a_wrong_definition_fails_the_ordinary_vectors_that_cite_it(name: str) -> None:
    mutant = all_mutants()[name]()
    failed = everywhere(mutant)
    assert failed
    assert [record.test for record in failed if mutant.breaks not in record.clauses] == []


@pytest.mark.parametrize("name", TABLE["further"])
def test_a_further_mutant_fails_at_the_clause_it_breaks(name: str) -> None:
    mutant = all_mutants()[name]
    assert run(mutant(), clauses={mutant.breaks}).failures


def test_a_mutant_breaks_the_clause_of_its_row() -> None:
    rows = {row["mutant"]: row["clause"] for row in TABLE["rows"] if "mutant" in row}
    assert rows == {name: all_mutants()[name].breaks for name in rows}


def test_every_mutant_is_in_the_table_once() -> None:
    named = [row["mutant"] for row in TABLE["rows"] if "mutant" in row]
    assert sorted(named + TABLE["further"]) == sorted(all_mutants())


def test_every_judged_clause_has_one_row() -> None:
    assert [row["clause"] for row in TABLE["rows"]] == JUDGED


def test_every_must_reject_vector_stands_for_one_clause() -> None:
    named = [row["reject"] for row in TABLE["rows"] if "reject" in row]
    assert len(named) == len(set(named))
