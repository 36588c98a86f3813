"""The command and its verdicts: exit codes, JSON, declarations, vectors that did not run."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tuned_contrastive.conformance import targets
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.known import Deviation
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.selftest.doctored import OnlySupcon, WrongMean
from tuned_contrastive.conformance.vectors import (
    DIRECTORY,
    VectorError,
    VectorSet,
    load_vectors,
)
from tuned_contrastive.conformance.verdict import STATUSES
from tuned_contrastive.spec.clauses import PLANNED, load_clauses

COMMAND = [sys.executable, "-m", "tuned_contrastive.conformance"]
VALUE = "test_loss[supcon-001-float64-loss]"
WRONG_MEAN = Deviation("X4", "zeros", frozenset({"SUP-8"}), frozenset({"supcon-001", "test_it"}))


@pytest.fixture(scope="module")
def few() -> VectorSet:
    """Return three vectors, the first of them with a row that is no anchor."""
    vectors = load_vectors()
    values = tuple(v for v in vectors.values if v.loss == "supcon" and v.embeddings.ndim == 2)[:3]
    declared = frozenset(vector.id for vector in values)
    return replace(vectors, values=values, rejects=(), declared=declared)


def test_numpy_conforms(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = subprocess.run(
        [*COMMAND, "numpy", "--json", str(file)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(file.read_text(encoding="utf-8"))
    assert done.returncode == 0
    assert "numpy: " in done.stderr  # progress
    assert "SUP-5    pass" in done.stdout
    assert [clause["id"] for clause in found["clauses"]] == list(load_clauses())
    assert {clause["status"] for clause in found["clauses"]} <= set(STATUSES)
    assert set(found) == {
        "format", "spec_version", "environment", "partial", "not_judged", "results",
        "target", "conforming", "clauses",
    }  # fmt: skip
    assert (found["target"], found["conforming"]) == ("numpy", True)
    assert found["results"][0]["clauses"] == found["clauses"]
    assert found["results"][0]["shares"]["float64"]["loss"] < 0.5


def test_what_is_declared_is_not_telling() -> None:
    failed = (Ran("test_it", ("SUP-8",), "fail"), Ran("test_other", ("SUP-2",), "fail"))
    assert Result("any", (), failed).telling == ("SUP-8", "SUP-2")
    assert Result("any", (), failed, declared=(WRONG_MEAN,)).telling == ("SUP-2",)


def test_planned_clauses_are_told() -> None:
    status = run(NumpyReference(), clauses=["DST-1", "SUP-9"]).status
    full = run(OnlySupcon(), vectors=load_vectors()).status
    assert status == {"SUP-9": "pass"}
    assert {name for name, ended in full.items() if ended == "planned"} == set(PLANNED)


@pytest.mark.clause("CNF-3")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nobody"], "'nobody' is no target"),
        (["nowhere.py:loss"], "nowhere.py is no file"),
        (["README.md:f"], "README.md is no Python file"),
        (["no_such_package:loss"], "no_such_package cannot be loaded"),
        (["json:loads"], "must be an object with"),
        (["json:loads", "--framework", "numpy"], "needs --framework and --losses"),
        (["numpy", "--clause", "SUP-99"], "SUP-99 is no clause"),
        (["numpy", "--test", "test_nothing"], "there is no test of that name"),
        (["numpy", "--test", VALUE, "--test", "test_nothing"], "of that name: test_nothing"),
        (["numpy", "--clause", "SUP-9", "--clause", "DST-1"], "DST-1 has no test"),
        (["optax", "--clause", "TCL-4"], "applies to optax: offers no tcl loss"),
        (["numpy", "--set", "k1=1"], "takes no options"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.clause("CNF-3")
def test_framework_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(targets.OWN, "numpy", "no_such_framework")
    monkeypatch.setitem(targets.INSTALL, "no_such_framework", "some-package")
    assert main(["numpy"]) == 2
    told = capsys.readouterr().err
    assert told == "no_such_framework is not installed: pip install some-package\n"


@pytest.mark.clause("CNF-1")
def test_vector_that_never_ran_is_an_error(few: VectorSet) -> None:
    result = run(OnlySupcon(), vectors=replace(few, values=few.values[1:]))
    assert result.status["CNF-1"] == "error"
    assert not result.as_declared
    assert not result.conforming


@pytest.mark.clause("CNF-1")
def test_run_without_vectors_is_an_error(few: VectorSet) -> None:
    result = run(OnlySupcon(), vectors=replace(few, values=(), declared=frozenset()))
    assert result.status["CNF-1"] == "error"


@pytest.mark.clause("CNF-1")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [('"id": "supcon-001"', '"id": "supcon-000"', "sha256"), ("", "", "manifest.json")],
    ids=["changed", "absent"],
)
def test_vectors_unlike_their_manifest_are_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    names = ["manifest.json", "supcon.json"] if old else ["supcon.json"]
    texts = {name: (DIRECTORY / name).read_text(encoding="utf-8") for name in names}
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(VectorError, match=told):
        load_vectors(tmp_path)


@pytest.mark.clause("CNF-1")
def test_every_vector_ran(few: VectorSet) -> None:
    result = run(OnlySupcon(), vectors=few)
    assert result.status["CNF-1"] == "not-applicable"
    assert {record.vector for record in result.ran} - {None} == few.declared


@pytest.mark.clause("CNF-2")
def test_what_is_not_claimed_does_not_pass() -> None:
    result = run(OnlySupcon())
    reasons = {clause.id: clause.reason for clause in result.clauses}
    assert result.status["SUP-5"] == "pass"
    assert result.status["TCL-1"] == "not-applicable"
    assert reasons["TCL-1"] == "offers no tcl loss"
    assert result.status["INP-16"] == "not-applicable"


@pytest.mark.clause("CNF-2")
def test_what_cannot_run_here_does_not_pass(few: VectorSet) -> None:
    full = replace(few, values=load_vectors().values)
    vectors = replace(full, declared=frozenset(vector.id for vector in full.values))
    claims = replace(OnlySupcon.capabilities, dtypes=("float64", "float32"))
    subject = OnlySupcon()
    subject.capabilities = claims
    listed = frozenset[str]()
    result = run(subject, clauses=["NUM-16"], vectors=vectors, not_applicable=listed)
    assert result.status == {"NUM-16": "not-applicable"}
    assert result.clauses[0].reason == "not run: there is no compiler"
    assert result.as_declared


@pytest.mark.clause("CNF-2", "CNF-3")
def test_list_of_not_applicable_clauses_is_held(few: VectorSet) -> None:
    result = run(OnlySupcon(), vectors=few, not_applicable=frozenset({"SUP-5", "TCL-2"}))
    assert result.status["TCL-1"] == "error"  # left out, but not listed
    assert result.status["SUP-5"] == "error"  # listed, but judged
    assert result.status["TCL-2"] == "not-applicable"
    assert not result.as_declared


@pytest.mark.clause("CNF-3")
def test_undeclared_failure() -> None:
    result = run(WrongMean())
    assert "error" not in result.status.values()
    assert result.status["SUP-8"] == "fail"
    assert not result.as_declared


@pytest.mark.clause("CNF-3")
def test_undeclared_failure_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "from tuned_contrastive.conformance.selftest.doctored import WrongMean as subject\n"
    (tmp_path / "subject.py").write_text(source, encoding="utf-8")
    assert main([f"{tmp_path / 'subject.py'}:subject", "--clause", "SUP-8"]) == 1
    told = capsys.readouterr().out
    assert "SUP-8    FAIL" in told
    assert "reproduce: python -m tuned_contrastive.conformance" in told


@pytest.mark.clause("CNF-5")
def test_declared_failure_does_not_conform() -> None:
    wrong = run(WrongMean())
    failing = frozenset(name for name, ended in wrong.status.items() if ended == "fail")
    cases = {record.vector or record.test.partition("[")[0] for record in wrong.failures}
    declared = Deviation("X4", "zeros stay in the mean", failing, frozenset(cases))
    result = run(WrongMean(), declared=[declared])
    assert {result.status[name] for name in failing} == {"known"}
    assert (result.as_declared, result.conforming) == (True, False)


@pytest.mark.clause("CNF-4")
def test_declared_deviation_that_passes_is_stale(few: VectorSet) -> None:
    result = run(OnlySupcon(), vectors=few, declared=[WRONG_MEAN])
    reason = {clause.id: clause.reason for clause in result.clauses}["SUP-8"]
    assert result.status["SUP-8"] == "fail"
    assert "stale" in reason


@pytest.mark.clause("CNF-4")
def test_declaration_that_shows_only_beside_another_is_stale() -> None:
    found = run(WrongMean())
    failing = frozenset(name for name, ended in found.status.items() if ended == "fail")
    cases = frozenset(r.vector or r.test.partition("[")[0] for r in found.failures)
    one, other = (Deviation(code, "zeros", failing, cases) for code in ("X4", "X5"))
    alone, both = (run(WrongMean(), declared=declared) for declared in ([one], [one, other]))
    assert (alone.as_declared, both.as_declared) == (True, False)


@pytest.mark.clause("CNF-4")
def test_failure_in_another_case_than_declared_is_not_known(few: VectorSet) -> None:
    elsewhere = replace(WRONG_MEAN, cases=frozenset({"test_it"}))
    result = run(WrongMean(), vectors=few, declared=[elsewhere])
    assert result.status["SUP-8"] == "fail"


@pytest.mark.clause("CNF-5")
def test_conforming_only_without_failures() -> None:
    right, wrong = run(OnlySupcon()), run(WrongMean())
    assert (right.conforming, wrong.conforming) == (True, False)


@pytest.mark.clause("CNF-5")
def test_a_part_says_nothing_about_conformance() -> None:
    result = run(NumpyReference(), clauses=["SUP-9"])
    assert (result.partial, result.conforming) == (True, False)


@pytest.mark.clause("CNF-7")
def test_products_are_judged_at_full_precision() -> None:
    torch._C._set_float32_matmul_precision("high")  # as a process may have it
    (note,) = targets.load_target("torch").notes  # type: ignore[attr-defined]
    assert torch.get_float32_matmul_precision() == "highest"
    assert note.endswith("float32 products at precision highest")


def test_seed_changes_the_examples_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "from tuned_contrastive.conformance.selftest.doctored import WrongMean as subject\n"
    (tmp_path / "seeded.py").write_text(source, encoding="utf-8")
    arguments = [f"{tmp_path / 'seeded.py'}:subject", "--clause", "LAW-11", "--seed", "7"]
    assert main(arguments) == 1
    assert "--seed 7 --test 'test_orthonormal_rows[supcon-float64]'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ("{}", "must have capabilities of class Capabilities, got dict"),
        ("Capabilities(dtypes=('float63',))", "must claim dtypes of float64, .*, got float63"),
        ("Capabilities(losses=frozenset({'foo'}))", "must claim losses of supcon, tcl, got foo"),
        ("Capabilities(features=frozenset({'warm'}))", "must claim features of .*, got warm"),
        ("Capabilities(errors='words')", "must claim errors of none, category, text, got words"),
    ],
)
def test_claims_that_no_test_could_meet_are_wrong_usage(
    claims: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from tuned_contrastive.conformance.adapters.numpy import NumpyReference\n"
        "from tuned_contrastive.conformance.protocol import Capabilities\n"
        f"subject = NumpyReference()\nsubject.capabilities = {claims}\n"
    )
    (tmp_path / "claiming.py").write_text(source, encoding="utf-8")
    assert main([f"{tmp_path / 'claiming.py'}:subject"]) == 2
    assert re.search(told, capsys.readouterr().err)
