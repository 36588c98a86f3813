"""Programs of any language, judged over one line of JSON per case."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters import program
from tuned_contrastive.conformance.adapters.program import Program
from tuned_contrastive.conformance.protocol import AnswerError, Case
from tuned_contrastive.conformance.run import run
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.spec.clauses import PERFORMANCE, PLANNED, SUITE, load_clauses

CLIENT = Path(program.__file__).parents[1] / "clients" / "supcon_tcl.mjs"
CASE = Case("supcon", np.eye(2), np.array([0, 0]))
CLAIMS = {"protocol": 1, "name": "it", "losses": ["supcon"]}
PROGRAM = """
import json, os, sys, time
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    answer = {claims} if "hello" in asked else {{"id": asked["id"], "loss": 0.0}}
    if number == 1:
        {fault}
    print(json.dumps(answer), flush=True)
"""
FAULTS = {
    "time.sleep(60)": "no answer within 0.5 s",
    "sys.exit('cannot go on')": "ended with status 1: cannot go on",
    "os.abort()": "ended with status -6",
    "print('debug')": "what is no JSON object: 'debug'",
    "answer = [1]": "what is no JSON object",
    "answer['id'] = 7": "answered case 7 where 1 was asked",
    "del answer['loss']": "the answer has no loss",
    "answer['loss'] = 'soon'": "loss is no array of numbers",
    "answer['loss'] = [[1], [1, 2]]": "loss is no array of numbers",
    "answer = {'id': 1, 'error': 'too large'}": "answered with an error: too large",
}


def written(folder: Path, fault: str = "pass", claims: object = None) -> str:
    file = folder / "it.py"
    file.write_text(PROGRAM.format(claims=claims or CLAIMS, fault=fault), encoding="utf-8")
    return f"{sys.executable} {file}"


@pytest.mark.parametrize(("fault", "told"), FAULTS.items(), ids=FAULTS.values())
def test_a_wrong_answer_fails_its_case_and_the_next_one_is_asked(
    tmp_path: Path, fault: str, told: str
) -> None:
    subject = Program(written(tmp_path, fault), seconds=0.5)
    with pytest.raises(AnswerError, match=told.replace("(", ".")):
        subject.loss(CASE)
    subject.close()
    (tmp_path / "it.py").write_text(PROGRAM.format(claims=CLAIMS, fault="pass"), encoding="utf-8")
    assert subject.loss(CASE).loss == 0
    subject.close()


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({**CLAIMS, "protocol": 2}, "protocol must be 1, got 2"),
        ({**CLAIMS, "name": ""}, "name must be a string, got ''"),
        ({"protocol": 1, "name": "it"}, "losses must be given"),
        ({**CLAIMS, "losses": ["ntxent"]}, "losses must be of supcon, tcl"),
        ({**CLAIMS, "device": "cuda"}, "must have known fields, got 'device'"),
    ],
)
def test_claims_that_the_protocol_does_not_know_are_wrong_usage(
    tmp_path: Path, claims: object, told: str
) -> None:
    with pytest.raises(TargetError, match=told):
        Program(written(tmp_path, claims=claims))


def test_a_program_that_does_not_start_is_wrong_usage() -> None:
    with pytest.raises(TargetError, match="does not follow the protocol"):
        Program("no-such-program-at-all")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ('"unclosed', "must be quoted as in a shell, got '\"unclosed': No closing quotation"),
        (" ", "must name a program, got ' '"),
    ],
)
def test_a_command_that_cannot_be_read_is_wrong_usage(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--program", command]) == 2
    assert capsys.readouterr().err == f"--program {told}\n"


def test_numbers_that_json_lacks_are_words(tmp_path: Path) -> None:
    subject = Program(written(tmp_path, "answer['loss'] = 'NaN'"))
    assert np.isnan(subject.loss(CASE).loss)
    subject.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_client_in_javascript_passes_the_clauses_of_values() -> None:
    subject = Program(f"node {CLIENT}", seconds=60)
    judged = set(load_clauses()) - {*PLANNED, *PERFORMANCE, *SUITE}
    of_values = {name for name in judged if name.startswith(("SUP", "TCL", "NUM", "LAW"))}
    result = run(subject, clauses=of_values)
    subject.close()
    assert [record.test for record in result.failures] == []
    assert {"SUP-5", "TCL-1", "SUP-8"} <= {c for c, s in result.status.items() if s == "pass"}


def test_the_client_is_short() -> None:
    assert len(CLIENT.read_text(encoding="utf-8").splitlines()) < 80
