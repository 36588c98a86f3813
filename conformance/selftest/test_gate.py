"""The gate: the suite refuses every mutant, at the clause that it breaks."""

from dataclasses import replace
from functools import cache

import pytest

from tuned_contrastive.conformance import gate
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.gate import Judged, judge, told
from tuned_contrastive.conformance.mutants.plain import Plain
from tuned_contrastive.conformance.mutants.table import Row, rows

judged = cache(judge)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_mutant_fails_at_its_clause_and_its_code_without_the_fault_passes(row: Row) -> None:
    found = judged(row)
    assert found.failed
    assert found.sound


def test_there_are_sixty_mutants_and_more() -> None:
    assert len(rows()) >= 60


def test_half_of_the_mutants_pass_half_of_the_vectors() -> None:
    shares = [found.passing for found in map(judged, rows()) if found.passing is not None]
    assert sum(share >= 0.5 for share in shares) >= len(shares) / 2


def test_no_two_mutants_are_the_same() -> None:
    prints = [judged(row).fingerprint for row in rows()]
    assert len(set(prints)) == len(prints)


def test_what_is_right_survives_and_is_told() -> None:
    found = judge(Row("plain.Plain", "SUP-9", Plain))
    assert not found.killed
    assert told([found]).splitlines() == [
        "SUP      0/1",
        "FAIL plain.Plain survives at SUP-9: no test fails",
    ]


def test_a_twin_that_fails_is_told() -> None:
    found = replace(judge(Row("plain.Plain", "SUP-9", Plain)), failed=("test",), sound=False)
    assert "its twin without the fault fails, too" in told([found])


@pytest.mark.parametrize(("killed", "status"), [(True, 0), (False, 1)])
def test_the_command_exits_with_0_only_at_all(
    killed: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = rows()[:2]
    found = [Judged(row, ("test",), killed, 1.0, row.name) for row in few]
    monkeypatch.setattr(gate, "judge_mutants", lambda tell: found)
    assert main(["--mutants"]) == status
    assert f"{2 * killed}/2 mutants fail at the clause" in capsys.readouterr().out
