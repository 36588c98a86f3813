"""The gate: the suite refuses every mutant, at the clause that it breaks."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from torch import Tensor

from tuned_contrastive.conformance import gate
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.gate import judge, same, told, twin_of
from tuned_contrastive.conformance.mutants.autodiff import Formula
from tuned_contrastive.conformance.mutants.batch import Array, Batch
from tuned_contrastive.conformance.mutants.gradients import NotProjected
from tuned_contrastive.conformance.mutants.plain import Plain, claims
from tuned_contrastive.conformance.mutants.table import Row, rows
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result

judged = cache(judge)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_mutant_fails_at_its_clause_and_its_code_without_the_fault_passes(row: Row) -> None:
    found = judged(row)
    assert found.failed
    assert found.sound


def test_there_are_more_than_a_hundred_mutants() -> None:
    assert len(rows()) > 100


def test_half_of_the_mutants_pass_half_of_the_vectors() -> None:
    shares = [judged(row).passing for row in rows()]
    assert sum(share is not None and share >= 0.5 for share in shares) >= len(shares) / 2


def test_no_two_mutants_are_the_same() -> None:
    pairs = combinations(map(judged, rows()), 2)
    assert [(one.row.name, other.row.name) for one, other in pairs if same(one, other)] == []


class OfTheOtherLoss(Plain):
    """What NotProjected does, for TCL and in float32, with another rounding."""

    breaks = "GRD-4"
    capabilities = claims(losses=frozenset({"tcl"}), dtypes=("float32",))

    def project(self, b: Batch, g: Array) -> Array:
        """Return dL/dx."""
        return g * (1 / b.norms[:, None])


class ByAutograd(Formula):
    """What NotProjected does, by a norm that is detached."""

    breaks = "GRD-4"

    def normalise(self, x: Tensor) -> Tensor:
        """Return the unit rows."""
        z = super().normalise(x).detach()
        length = x.detach().norm(dim=1, keepdim=True)
        z += (x - x.detach()) * (z.norm(dim=1, keepdim=True) / length.clamp(min=1e-30))
        return z


@pytest.mark.parametrize("again", [OfTheOtherLoss, ByAutograd])
def test_the_same_fault_is_seen_in_other_code_and_under_other_claims(
    again: type[Implementation],
) -> None:
    assert same(judged(Row("once", "GRD-4", NotProjected)), judge(Row("again", "GRD-4", again)))


def test_the_twin_is_the_nearest_code_without_a_fault() -> None:
    assert twin_of(ByAutograd()) is Formula
    assert twin_of(NotProjected()) is Plain


def test_what_is_right_survives_and_is_told() -> None:
    found = judge(Row("plain.Plain", "SUP-9", Plain))
    assert not found.killed
    assert told([found]).splitlines() == [
        "SUP      0/1",
        "FAIL plain.Plain survives at SUP-9: no test fails",
    ]


def test_an_error_of_the_suite_kills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Result("plain", (), (Ran("test", ("SUP-9",), "error"),))
    monkeypatch.setattr(gate, "run", lambda *_, **__: broken)
    assert judge(Row("plain.Plain", "SUP-9", Plain)).failed == ()


def test_a_twin_that_fails_is_told() -> None:
    found = replace(judge(Row("plain.Plain", "SUP-9", Plain)), failed=("test",), sound=False)
    assert "its twin without the fault fails, too" in told([found])


def test_an_interrupt_leaves_what_was_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(tell: Any) -> Iterator[gate.Judged]:
        yield judged(rows()[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(gate, "judge_mutants", stopped)
    assert main(["--mutants"]) == 130
    said = capsys.readouterr().out
    assert "1/1 mutants fail at the clause" in said
    assert said.endswith("the run was interrupted\n")


@pytest.mark.parametrize(("killed", "status"), [(True, 0), (False, 1)])
def test_the_command_exits_with_0_only_at_all(
    killed: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [replace(judged(row), sound=killed) for row in rows()[:2]]
    monkeypatch.setattr(gate, "judge_mutants", lambda tell: found)
    assert main(["--mutants"]) == status
    assert f"{2 * killed}/2 mutants fail at the clause" in capsys.readouterr().out
