"""``--fail-fast`` stops at the first failure that is not declared, and at nothing else."""

import json
from pathlib import Path

import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.run import run
from tuned_contrastive.conformance.selftest import sample_reports as sample
from tuned_contrastive.conformance.selftest.doctored import OnlySupcon, WrongMean
from tuned_contrastive.conformance.verdict import declared_as


def test_it_stops_at_the_first_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "from tuned_contrastive.conformance.selftest.doctored import WrongMean as it\n"
    (tmp_path / "hasty.py").write_text(source, encoding="utf-8")
    file = tmp_path / "found.json"
    target = f"{tmp_path / 'hasty.py'}:it"
    assert main([target, "--fail-fast", "--json", str(file)]) == 1
    (entry,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert entry["partial"]
    assert capsys.readouterr().out.count("reproduce:") == 1


def test_it_goes_on_after_declared_failures() -> None:
    declared = sample.declared()
    result = run(WrongMean(), declared=declared.declared, stop_at_first=True)
    assert [record.test for record in result.ran] == [record.test for record in declared.ran]
    assert (result.partial, result.as_declared) == (False, True)


def test_it_stops_at_an_undeclared_failure_after_declared_ones() -> None:
    declared = sample.declared_but_for("edge-001").declared
    result = run(WrongMean(), declared=declared, stop_at_first=True)
    *before, last = result.failures
    assert result.ran[-1] == last
    assert not declared_as(last, declared)
    assert all(declared_as(record, declared) for record in before)
    assert result.partial


def test_a_run_that_it_did_not_stop_is_whole() -> None:
    result = run(OnlySupcon(), stop_at_first=True)
    assert (result.partial, result.conforming) == (False, True)
