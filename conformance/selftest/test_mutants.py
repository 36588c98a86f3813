"""Every judged clause has a fault that its own tests catch, and no others; see table.toml.

That no other test of the whole suite fails takes minutes to see: those tests are marked `exact`.
"""

import inspect
import re
from collections.abc import Iterable
from functools import cache

import pytest

from tuned_contrastive.conformance import known
from tuned_contrastive.conformance.mutants.autodiff import Formula
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.mutants.planted import Planted
from tuned_contrastive.conformance.mutants.table import all_mutants, load_table, row_of
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.suite import test_definitions, test_gradient_definitions
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.reference.citations import ORDINARY
from tuned_contrastive.spec.clauses import PERFORMANCE, PLANNED, SUITE, load_clauses

TABLE = load_table()
JUDGED = [name for name in load_clauses() if name not in (*PLANNED, *PERFORMANCE, *SUITE)]
NUMBERS = {"NUM-14", "NUM-15"}
"""What every test that compares a number cites."""
LACKING = {"INP-14", "INP-27", "INP-28", "GRD-13", "GRD-14", "GRD-15", "NUM-18"}
"""What plain NumPy has no machinery for."""
NO_MUTANT = {"X17", "X25"}
"""Codes of clauses that are planned (DST-2), or that are measured (PRF-1)."""


@cache
def definitions() -> dict[str, set[str]]:
    """Return the tests that see one definition each, by name, with what they cite."""
    return {
        name: {c for mark in vars(test)["pytestmark"] if mark.name == "clause" for c in mark.args}
        for module in (test_definitions, test_gradient_definitions)
        for name, test in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
    }


@cache
def ordinary() -> frozenset[str]:
    """Return the vectors that cite every definition that they compute."""
    flags = {vector.id: set(vector.flags) for vector in load_vectors().values}
    return frozenset(n for n, f in flags.items() if f & ORDINARY and "no-negative" not in f)


@cache
def failures(clause: str) -> tuple[Ran, ...]:
    """Return the failing tests by which the row of a clause is held."""
    (entry,) = (entry for entry in TABLE["rows"] if entry["clause"] == clause)
    subject = row_of(entry).make()
    return of_definitions(subject) if entry.get("definition") else run(subject).failures


def of_definitions(subject: Implementation) -> tuple[Ran, ...]:
    """Return the failing tests that see one definition each, and the failing ordinary vectors."""
    tried = [name for name in JUDGED if not name.startswith(("LAW", "INP"))]
    failed = run(subject, clauses=tried).failures
    return tuple(r for r in failed if name_of(r) in definitions() or r.vector in ordinary())


def name_of(record: Ran) -> str:
    """Return the name of a test without its parameters."""
    return record.test.partition("[")[0]


def told(failed: Iterable[Ran]) -> set[str]:
    """Return the clauses that every failing test cites, less what every number cites."""
    common = set.intersection(*(set(record.clauses) for record in failed))
    return common - NUMBERS


@cache
def plain() -> Result:
    """Return what a run of everything finds of right code."""
    return run(Plain())


def test_the_plain_implementation_passes() -> None:
    result = plain()
    assert [record.test for record in result.failures] == []
    passed = {name for name, status in result.status.items() if status == "pass"}
    assert set(JUDGED) - passed == LACKING


@pytest.mark.parametrize("clause", ["SUP-9", "GRD-6", "NUM-17", "INP-3", "INP-21", "LAW-4"])
def test_a_run_of_a_clause_runs_every_test_that_cites_it(clause: str) -> None:
    cites = [record.test for record in plain().ran if clause in record.clauses]
    assert [record.test for record in run(Plain(), clauses={clause}).ran] == cites


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_formula_passes(dtype: str) -> None:
    formula = Formula()
    mixed = frozenset({"mixed-precision"})
    formula.capabilities = claims(dtypes=(dtype,), modes=("eager", "mixed"), features=mixed)
    assert [record.test for record in run(formula).failures] == []


@pytest.mark.exact
@pytest.mark.parametrize("clause", [row["clause"] for row in TABLE["rows"]])
def test_a_fault_fails_the_tests_of_its_clause_alone(clause: str) -> None:
    failed = failures(clause)
    assert failed
    assert [record.test for record in failed if clause not in record.clauses] == []


@pytest.mark.exact
@pytest.mark.parametrize(
    "clause", [r["clause"] for r in TABLE["rows"] if r["clause"] not in NUMBERS]
)
def test_a_fault_is_told_from_that_of_every_other_clause(clause: str) -> None:
    assert told(failures(clause)) == {clause}


@pytest.mark.exact
@pytest.mark.parametrize("clause", [r["clause"] for r in TABLE["rows"] if r.get("definition")])
def test_a_wrong_definition_fails_the_test_of_its_own_alone(clause: str) -> None:
    failed = {name_of(record) for record in failures(clause)} & set(definitions())
    assert failed == {name for name, cited in definitions().items() if clause in cited}


@pytest.mark.exact
@pytest.mark.parametrize("clause", [r["clause"] for r in TABLE["rows"] if r.get("definition")])
def test_a_definition_that_is_wrong_in_the_calls_of_its_test_fails_nothing_else(
    clause: str,
) -> None:
    (row,) = (row for row in TABLE["rows"] if row["clause"] == clause)
    mutant = all_mutants()[row["mutant"]]()
    own = {r.test for r in failures(clause) if name_of(r) in definitions()}
    recorded = Planted(mutant)
    run(recorded, tests=own)
    failed = run(Planted(mutant, recorded.calls)).failures
    assert {record.test for record in failed} == own


def test_every_definition_has_one_test_that_cites_it_alone() -> None:
    named = {row["clause"] for row in TABLE["rows"] if row.get("definition")}
    alone = [clause for clauses in definitions().values() for clause in clauses]
    assert len(alone) == len(set(alone)) == len(definitions())
    assert named - set(alone) == set()


def test_a_mutant_breaks_the_clause_of_its_row() -> None:
    rows = {row["mutant"]: row["clause"] for row in TABLE["rows"] if "mutant" in row}
    assert rows == {name: all_mutants()[name].breaks for name in rows}


def test_every_mutant_is_in_the_table_once() -> None:
    named = [row["mutant"] for row in TABLE["rows"] if "mutant" in row]
    assert sorted(named + TABLE["further"]) == sorted(all_mutants())


def test_every_deviation_of_published_code_is_a_mutant() -> None:
    told = " ".join(inspect.getdoc(mutant) or "" for mutant in all_mutants().values())
    assert set(re.findall(r"\((X\d+)\)", told)) == set(known.CODES) - NO_MUTANT


def test_every_judged_clause_has_one_row() -> None:
    assert [row["clause"] for row in TABLE["rows"]] == JUDGED


def test_no_two_rows_accept_the_same_call() -> None:
    named = [row["reject"] for row in TABLE["rows"] if "reject" in row]
    assert len(named) == len(set(named))
