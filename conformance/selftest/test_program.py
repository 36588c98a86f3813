"""Programs of any language, judged over one line of JSON per case."""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters import program
from tuned_contrastive.conformance.adapters.program import Program
from tuned_contrastive.conformance.protocol import AnswerError, Capabilities, Case
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
    answer = {claims} if "hello" in asked else {{"id": asked["id"], "loss": number}}
    if asked.get("id") == 1:
        {fault}
    print(json.dumps(answer), flush=True)
"""
LOST = {
    "time.sleep(60)": "no answer within 1 s",
    "sys.exit('cannot go on')": 'ended with status 1: "cannot go on"',
    "sys.exit('\\x1b[2Jgone')": 'ended with status 1: "\\u001b[2Jgone"',
    "os.abort()": "ended with status -6",
    "print('debug')": "answered with what is no JSON object: 'debug'",
    "answer = [1]": "answered with what is no JSON object: '[1]'",
    "print('{\"id\": 1, \"loss\": ' + '[' * 10**5 + ']' * 10**5 + '}')": "nested too deeply",
    "answer['loss'] = float('nan')": 'answered with the bare word NaN, allowed is the string "NaN"',
    'print(\'{"id": 1, "loss": 0, "loss": 1}\')': 'answered with "loss" twice in an object',
    "print(json.dumps(answer) + '\\ndone', flush=True)": 'wrote more than one line in answer: "d',
    "answer['id'] = 7": "answered case 7 where 1 was asked",
    "answer['id'] = True": "answered case true where 1 was asked",
    "del answer['id']": "answered case null where 1 was asked",
}
"""Faults after which the next line may not be the answer to the next case."""

NUMBER = 'loss must be a number that float64 holds, "NaN", "Infinity" or "-Infinity", got '
BEYOND = "a number beyond float64"
KEPT = {
    "del answer['loss']": "the answer has no loss",
    "answer['loss'] = None": f"{NUMBER}null",
    "answer['loss'] = True": f"{NUMBER}true",
    "answer['loss'] = 'soon'": f'{NUMBER}"soon"',
    "answer['loss'] = '1.5'": f'{NUMBER}"1.5"',
    "answer['loss'] = 'nan'": f'{NUMBER}"nan"',
    "answer['loss'] = [0.0]": f"{NUMBER}a list of 1",
    "answer['loss'] = {'value': 0}": f"{NUMBER}an object",
    "answer['loss'] = 10**400": f"{NUMBER}{BEYOND}",
    "print('{\"id\":1,\"loss\":' + '9' * 5000 + '}', flush=True); continue": f"{NUMBER}{BEYOND}",
    'print(\'{"id": 1, "loss": -1e400}\', flush=True); continue': f"{NUMBER}{BEYOND}",
    "answer['loss'] = 's' * 500": NUMBER + '"' + 199 * "s",
    "answer['loss_dtype'] = 64": "loss_dtype must be a string, got 64",
    "answer['loss_dtype'] = 'int8'": '"bfloat16", "float16", got "int8"',
    "answer = {'id': 1, 'error': 'too large'}": 'answered with an error: "too large"',
    "answer = {'id': 1, 'error': '\\ud800\\x1b[2J'}": 'with an error: "\\ud800\\u001b[2J"',
    "answer['loss_dtpye'] = 'float64'": '"gradient_dtype", "error", got "loss_dtpye"',
    "answer = {'id': 1, 'error': None}": "error must be a string, got null",
}
"""Faults of an answer that is one line, and of the case that was asked."""

ARRAYS = {
    "[[1, 2], [3]]": "embeddings[1] must be a list of 2, got a list of 1",
    "[[1, 2]]": "embeddings must be a list of 2, got a list of 1",
    "0": "embeddings must be a list of 2, got 0",
    "[[1, 2], [3, None]]": "embeddings[1][1] must be a number",
}


def written(folder: Path, fault: str = "pass", claims: object = None) -> str:
    file = folder / "it.py"
    file.write_text(PROGRAM.format(claims=claims or CLAIMS, fault=fault), encoding="utf-8")
    return f"{sys.executable} {file}"


def faulty(folder: Path, fault: str, told: str) -> float:
    """Have a case go wrong; return how many lines, hello too, the next one's process had read."""
    subject = Program(written(folder, fault), seconds=1)
    with pytest.raises(AnswerError, match=re.escape(told)):
        subject.loss(CASE)
    loss = float(subject.loss(CASE).loss)
    subject.close()
    return loss


@pytest.mark.parametrize(("fault", "told"), LOST.items(), ids=LOST.values())
def test_a_line_that_is_no_answer_fails_its_case_and_starts_the_program_anew(
    tmp_path: Path, fault: str, told: str
) -> None:
    assert faulty(tmp_path, fault, told) == 1


@pytest.mark.parametrize("pause", [0, 0.5], ids=["at once", "while the next case is asked"])
def test_blank_lines_after_an_answer_are_no_answers(tmp_path: Path, pause: float) -> None:
    late = f"time.sleep({pause}); print(flush=True)"
    fault = f"print(json.dumps(answer), flush=True); {late}; continue"
    subject = Program(written(tmp_path, fault), seconds=5)
    found = [float(subject.loss(CASE).loss) for _ in range(3)]
    assert found == [1, 2, 3]  # the same process
    subject.close()


def test_a_line_after_an_answer_is_told_before_the_next_case(tmp_path: Path) -> None:
    late = "time.sleep(0.5); print('done', flush=True)"
    fault = f"print(json.dumps(answer), flush=True); {late}; continue"
    subject = Program(written(tmp_path, fault), seconds=5)
    assert float(subject.loss(CASE).loss) == 1
    time.sleep(2)
    with pytest.raises(AnswerError, match='wrote more than one line in answer: "done"'):
        subject.loss(CASE)
    assert float(subject.loss(CASE).loss) == 1  # a new process
    subject.close()


def test_a_program_that_is_called_as_a_target_is_held_to_no_deviation_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "optax"  # of which known/optax.toml says that it fails supcon-001
    file.write_text(f"#!/bin/sh\nexec {written(tmp_path)}\n", encoding="utf-8")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = tmp_path / "found.json"
    assert main(["--program", "optax", "--vector", "supcon-001", "--json", str(found)]) == 1
    (entry,) = json.loads(found.read_text(encoding="utf-8"))["results"]
    assert {clause["status"] for clause in entry["clauses"]} == {"fail", "not-applicable"}


def test_a_crash_that_does_not_come_again_is_told_in_its_words(tmp_path: Path) -> None:
    subject = Program(written(tmp_path, "sys.exit('cannot go on')"))
    (ran,) = run(subject, clauses={"LAW-2"}).ran
    assert 'ended with status 1: "cannot go on"' in ran.message
    subject.close()


@pytest.mark.parametrize(("fault", "told"), KEPT.items(), ids=KEPT)
def test_a_wrong_answer_fails_its_case_and_keeps_the_program(
    tmp_path: Path, fault: str, told: str
) -> None:
    assert faulty(tmp_path, fault, told) == 2


@pytest.mark.parametrize(("gradient", "told"), ARRAYS.items())
def test_an_array_of_another_shape_is_told_with_the_place(
    tmp_path: Path, gradient: str, told: str
) -> None:
    claims = {**CLAIMS, "gradients": ["embeddings"]}
    subject = Program(written(tmp_path, f"answer['embeddings'] = {gradient}", claims))
    with pytest.raises(AnswerError, match=re.escape(told)):
        subject.gradients(CASE, np.array(1.0))
    subject.close()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("answer['loss'] = None", f"{NUMBER}null"),
        ("answer['id'] = 7", "answered case 7 where 1 was asked"),
    ],
)
def test_a_report_has_the_sentence_alone(tmp_path: Path, fault: str, told: str) -> None:
    subject = Program(written(tmp_path, fault))
    (failure,) = run(subject, tests=["test_loss[supcon-001-float64-loss]"]).failures
    subject.close()
    assert failure.message == told


def test_losses_of_the_rows_have_their_shape(tmp_path: Path) -> None:
    subject = Program(written(tmp_path, "answer['loss'] = [1, 'Infinity']"))
    each = Case("supcon", np.eye(2), np.array([0, 0]), {"reduction": "none"})
    assert subject.loss(each).loss.tolist() == [1, np.inf]
    with pytest.raises(AnswerError, match="loss must be a list of 2, got 2"):
        subject.loss(each)
    subject.close()


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"protocol": 2}, "protocol must be 1, got 2"),
        ({"protocol": True}, "protocol must be 1, got true"),
        ({"name": ""}, 'name must be a string that is not empty, got ""'),
        ({"name": ["it"]}, "name must be a string that is not empty, got a list of 1"),
        ({"losses": None}, 'losses must be a list of some of "supcon", "tcl", got null'),
        ({"losses": []}, 'losses must be a list of some of "supcon", "tcl", got a list of 0'),
        (
            {"losses": ["ntxent"]},
            'losses must be a list of some of "supcon", "tcl", got "ntxent" in it',
        ),
        ({"losses": [["supcon"]]}, '"supcon", "tcl", got a list of 1 in it'),
        ({"dtypes": ["float8"]}, '"bfloat16", "float16", got "float8" in it'),
        ({"dtypes": "float64"}, '"bfloat16", "float16", got "float64"'),
        ({"dtypes": []}, '"bfloat16", "float16", got a list of 0'),
        ({"reductions": [1]}, '"mean", "sum", "none", got 1 in it'),
        ({"inputs": {"flat": 1}}, '"flat", "views", got an object'),
        ({"gradients": ["labels"]}, '"temperature", "k1", "k2", got "labels" in it'),
        ({"unlabelled": "no"}, 'unlabelled must be true or false, got "no"'),
        ({"fixed": ["k1"]}, "fixed must be an object, got a list of 1"),
        ({"fixed": {"margin": 1}}, 'temperature, k1, k2, normalize, reduction, got "margin"'),
        ({"fixed": {"temperature": "0.1"}}, "temperature must be a real number"),
        ({"fixed": {"temperature": 0}}, "fixed: temperature must be finite and > 0, got 0"),
        ({"fixed": {"k1": -1}}, "fixed: k1 must be finite and >= 0, got -1"),
        ({"fixed": {"k2": 10**400}}, "fixed: k2 must be finite and >= 0, got inf"),
        ({"fixed": {"k2": None}}, "fixed: k2 must be a real number"),
        ({"fixed": {"normalize": 1}}, "fixed: normalize must be a bool, got int"),
        ({"fixed": {"reduction": "max"}}, "fixed: reduction must be 'mean', 'sum' or 'none'"),
        ({"device": "cuda"}, '"unlabelled", "gradients", "fixed", got "device"'),
    ],
)
def test_claims_that_the_protocol_does_not_know_are_wrong_usage(
    claims: dict[str, object], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = written(tmp_path, claims={**CLAIMS, **claims})
    assert main(["--program", command]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{command!r} does not follow the protocol: ")
    assert said.endswith("\n")
    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("missing", ["protocol", "name", "losses"])
def test_required_claims_are_missed(missing: str, tmp_path: Path) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    with pytest.raises(TargetError, match=f"{missing} must be given, got none"):
        Program(written(tmp_path, claims=claims))


def test_claims_are_what_the_program_says(tmp_path: Path) -> None:
    fixed = {"temperature": 0.1, "normalize": True, "reduction": "mean"}
    told = {"dtypes": ["float32"], "inputs": ["flat"], "unlabelled": False, "fixed": fixed}
    subject = Program(written(tmp_path, claims={**CLAIMS, **told, "gradients": []}))
    subject.close()
    assert subject.capabilities == Capabilities(
        losses=frozenset({"supcon"}),
        dtypes=("float32",),
        inputs=frozenset({"flat"}),
        unlabelled=False,
        fixed=fixed,
        gradients=frozenset(),
    )


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
