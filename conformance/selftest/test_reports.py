"""The reports as files: JSON keeps its schema, JUnit its counts, and each can be written."""

import copy
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tuned_contrastive.conformance import command, report
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.files import as_json
from tuned_contrastive.conformance.junit import junit
from tuned_contrastive.conformance.page import page
from tuned_contrastive.conformance.run import Result, not_begun
from tuned_contrastive.conformance.selftest import sample_reports as sample
from tuned_contrastive.spec.clauses import load_clauses

PLACE = Path(report.__file__).with_name("report.schema.json")
SCHEMA = json.loads(PLACE.read_text(encoding="utf-8"))
KINDS = ("json", "markdown", "junit", "html")
RESULTS: dict[str, Callable[[], Result]] = {
    "right": sample.right,
    "wrong": sample.wrong,
    "declared": sample.declared,
    "part": sample.part,
    "broken": sample.broken,
    "hostile": sample.hostile,
}


def validate(document: Any) -> None:
    """Raise ValidationError where a document is not what the schema says."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def document_of(result: Result) -> dict[str, Any]:
    """Return the document of one target, as it is read back."""
    read: dict[str, Any] = json.loads(as_json(report.document([report.entry_of(result)])))
    return read


def suite_of(result: Result) -> ElementTree.Element:
    """Return the one suite of one target's JUnit file."""
    (suite,) = ElementTree.fromstring(junit(document_of(result)))
    return suite


@pytest.mark.parametrize("name", RESULTS)
def test_document_keeps_its_schema(name: str) -> None:
    validate(document_of(RESULTS[name]()))


def test_document_of_several_targets_keeps_its_schema() -> None:
    validate(json.loads(as_json(sample.every_kind())))


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("results", 0),
        ("results", 0, "clauses", 0),
        ("results", 0, "ran", 0),
        ("results", 0, "shares"),
        ("results", 0, "shares", "float64"),
    ],
    ids=str,
)
def test_schema_refuses_an_unknown_field(path: tuple[str | int, ...]) -> None:
    document = copy.deepcopy(document_of(sample.wrong()))
    place: Any = document
    for step in path:
        place = place[step]
    place["extra"] = 1
    with pytest.raises(jsonschema.ValidationError, match="extra"):
        validate(document)


def test_document_names_the_format_that_its_schema_has() -> None:
    document = document_of(sample.part())
    assert document["format"] == SCHEMA["$id"] == "urn:tuned-contrastive:conformance-report:2"


@pytest.mark.parametrize("other", [None, "urn:tuned-contrastive:conformance-report:1"])
def test_schema_refuses_another_format(other: str | None) -> None:
    document = document_of(sample.part())
    del document["format"]
    with pytest.raises(jsonschema.ValidationError, match=r"format|conformance-report:2"):
        validate(document if other is None else {**document, "format": other})


def test_schema_refuses_a_status_that_does_not_exist() -> None:
    document = document_of(sample.part())
    document["results"][0]["clauses"][0]["status"] = "passed"
    with pytest.raises(jsonschema.ValidationError, match="passed"):
        validate(document)


def properties(schema: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return every property that the schema describes, by name."""
    if not isinstance(schema, dict):
        return []
    own = list(schema["properties"].items()) if "properties" in schema else []
    return own + [found for inner in schema.values() for found in properties(inner)]


def test_schema_says_what_each_field_means() -> None:
    described = properties(SCHEMA)
    assert len(described) > 25
    assert [name for name, field in described if not {"title", "description"} <= set(field)] == []


def test_document_has_every_case() -> None:
    entry = document_of(sample.wrong())["results"][0]
    read = [
        (case["test"], tuple(entry["citations"][case["cites"]]), case.get("status", "pass"))
        for case in entry["ran"]
    ]
    assert read == [(ran.test, ran.clauses, ran.status) for ran in sample.wrong().ran]
    assert entry["cases"] == len(read)


def test_failures_have_a_message_and_passes_have_none() -> None:
    cases = document_of(sample.wrong())["results"][0]["ran"]
    assert {bool(case.get("message")) for case in cases if "status" in case} == {True}
    assert {"message" in case for case in cases if "status" not in case} == {False}


def test_a_message_names_what_is_wrong_and_no_class() -> None:
    messages = [record.message for record in sample.wrong().failures]
    assert any(message.startswith("the loss has ") for message in messages)
    assert not any("OutOfBoundsError" in message for message in messages)


@pytest.mark.parametrize(("name", "status"), [("wrong", "fail"), ("declared", "known")])
def test_declared_failures_are_told_apart(name: str, status: str) -> None:
    cases = document_of(RESULTS[name]())["results"][0]["ran"]
    assert {case["status"] for case in cases if "status" in case} == {status}


def test_new_failure_leaves_declared_ones_declared() -> None:
    result = sample.declared_but_for("edge-001")
    cases = document_of(result)["results"][0]["ran"]
    ended = {case["test"]: case["status"] for case in cases if "status" in case}
    new = {test for test in ended if "edge-001" in test}
    assert new
    assert {test for test, status in ended.items() if status == "fail"} == new
    assert "known" in ended.values()
    told = report.failures(result, "")
    assert all(test in told for test in new)
    assert told.count("reproduce:") == len(new)


def test_stale_declaration_is_told_beside_live_ones() -> None:
    result = sample.stale_beside_live()
    cases = document_of(result)["results"][0]["ran"]
    assert {case["status"] for case in cases if "status" in case} == {"known"}
    told = [found.attrib["message"] for found in suite_of(result).iter("failure")]
    assert told
    why = "the declaration of X5 is stale: no longer failing: supcon-002"
    assert all(why in message for message in told)


def test_long_message_is_cut_and_says_so() -> None:
    (ran,) = sample.hostile().ran
    long = Result("long", (), (type(ran)(ran.test, ran.clauses, "fail", message="m" * 5000),))
    message = document_of(long)["results"][0]["ran"][0]["message"]
    assert message.endswith("m... (4000 characters more)")
    assert len(message) < 1100


def test_json_has_a_case_in_a_line() -> None:
    lines = as_json(sample.every_kind()).splitlines()
    entry = document_of(sample.right())["results"][0]
    last = json.dumps(entry["ran"][-1])
    assert last in [line.strip() for line in lines]


@pytest.mark.parametrize("name", RESULTS)
def test_junit_counts_agree(name: str) -> None:
    suite = suite_of(RESULTS[name]())
    entry = document_of(RESULTS[name]())["results"][0]
    ended = [case.get("status", "pass") for case in entry["ran"]]
    alone = len(load_clauses()) if name == "broken" else 0
    assert {field: int(suite.attrib[field]) for field in suite.attrib if field != "name"} == {
        "tests": len(ended) + alone,
        "failures": ended.count("fail"),
        "errors": ended.count("error") + alone,
        "skipped": ended.count("known"),
    }
    assert len(suite.findall("testcase")) == len(ended) + alone
    assert len(suite.findall("*/failure")) == ended.count("fail")


def test_junit_has_clauses_as_properties() -> None:
    suite = suite_of(sample.right())
    read = [
        (case.attrib["name"], [found.attrib["value"] for found in case.iter("property")])
        for case in suite.iter("testcase")
    ]
    assert read == [(ran.test, list(ran.clauses)) for ran in sample.right().ran]


def test_junit_has_the_message_of_a_failure() -> None:
    suite = suite_of(sample.wrong())
    told = [found.text for found in suite.iter("failure")]
    assert told == [record.message for record in sample.wrong().failures]


def test_junit_tells_why_a_failure_is_known() -> None:
    suite = suite_of(sample.declared())
    assert {found.attrib["message"] for found in suite.iter("skipped")} == {
        "X4: zeros stay in the mean"
    }


def test_junit_writes_what_xml_cannot() -> None:
    (failure,) = suite_of(sample.hostile()).iter("failure")
    assert failure.attrib["message"].startswith("</script><img src=x onerror=")
    assert "\ufffd[31m" in (failure.text or "")


@pytest.mark.parametrize("kind", KINDS)
def test_folder_instead_of_a_file(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["numpy", f"--{kind}", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path} is a folder, and --{kind} needs a file\n"


def test_a_report_would_not_replace_what_the_command_prints(tmp_path: Path) -> None:
    place = tmp_path / "out.txt"
    words = [sys.executable, "-m", "tuned_contrastive.conformance", "numpy", "--clause", "SUP-9"]
    with place.open("w") as out:
        done = subprocess.run([*words, "--json", "/dev/stdout"], stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"--json would replace /dev/stdout, to which the command prints\n"
    assert place.read_text() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_folder_that_does_not_exist(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "absent" / "report"
    assert main(["numpy", f"--{kind}", str(file)]) == 2
    assert capsys.readouterr().err == f"{file} is in no folder that exists\n"


def test_two_reports_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, same = tmp_path / "report", tmp_path / "." / ".." / tmp_path.name / "report"
    assert main(["numpy", "--json", str(file), "--html", str(same)]) == 2
    assert capsys.readouterr().err.startswith("--json and --html are the same file")
    assert not file.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_cannot_be_written(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, really_open = tmp_path / "report", os.open

    def refuse(path: Any, *given: Any) -> int:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return really_open(path, *given)

    monkeypatch.setattr(os, "open", refuse)
    assert main(["numpy", f"--{kind}", str(file)]) == 2
    told = f"{file} cannot be written, and --{kind} needs it: Permission denied\n"
    assert capsys.readouterr().err == told


def test_refused_name_is_found_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_result", None)  # nothing runs
    for file in (Path("/proc/x.json"), tmp_path / ("x" * 300)):
        assert main(["numpy", "--json", str(file)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"{file} cannot be written, and --json needs it: ")
        assert told.count("\n") == 1


def test_files_are_as_before_until_they_are_written(tmp_path: Path) -> None:
    there, absent, link = (tmp_path / name for name in ("there", "absent", "link"))
    there.write_text("kept", encoding="utf-8")
    link.symlink_to(tmp_path / "behind")
    files = ["--json", str(there), "--html", str(absent), "--junit", str(link)]
    assert main(["numpy", *files, "--markdown", "/proc/x.md"]) == 2
    assert main(["nobody", *files]) == 2
    assert there.read_text(encoding="utf-8") == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_page_whose_facts_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ())
    (tmp_path / "page.json").mkdir()
    assert main(["all", "--compared", str(tmp_path / "page.md")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'page.json'} is a folder")


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would block until somebody reads
    assert main(["nobody", "--json", str(tmp_path / "pipe")]) == 2


def test_command_writes_all_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: tmp_path / f"report.{kind}" for kind in KINDS}
    asked = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    assert main(["numpy", "--clause", "SUP-9", *asked]) == 0
    texts = {kind: file.read_text(encoding="utf-8") for kind, file in files.items()}
    document = json.loads(texts["json"])
    validate(document)
    assert texts["junit"] == junit(document)
    assert texts["html"] == page(document)
    assert "| SUP-9 | pass |" in texts["markdown"]
    told = "".join(f"written: {file}\n" for file in files.values())
    assert capsys.readouterr().out.endswith(told)


def test_all_keeps_the_cases_of_each_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ("numpy", "numpy"))
    file = tmp_path / "report.json"
    assert main(["all", "--clause", "SUP-9", "--seed", "3", "--json", str(file)]) == 0
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert [len(entry["ran"]) for entry in results] == [len(sample.part().ran)] * 2
    assert results[0]["reproduce"].endswith("conformance numpy --seed 3")
    said = capsys.readouterr().out
    assert said.endswith(f"written: {file}\n")
    assert said.count("written: ") == 1  # what each process wrote for this one is nobody's


def test_told_command_reproduces_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "from tuned_contrastive.conformance.selftest.doctored import WrongMean as subject\n"
    place, file = tmp_path / "its subject.py", tmp_path / "report.json"
    place.write_text(source, encoding="utf-8")
    assert main([f"{place}:subject", "--clause", "SUP-8", "--json", str(file)]) == 1
    entry = json.loads(file.read_text(encoding="utf-8"))["results"][0]
    failed = next(case["test"] for case in entry["ran"] if "status" in case)
    told = f"{entry['reproduce']} --test '{failed}' --json {shlex.quote(str(file))}"
    assert main(shlex.split(told)[3:]) == 1
    again = json.loads(file.read_text(encoding="utf-8"))["results"][0]["ran"]
    assert [(case["test"], case["status"]) for case in again] == [(failed, "fail")]
    assert f"reproduce: {entry['reproduce']} --test '{failed}'" in capsys.readouterr().out


def test_markdown_says_what_the_table_means() -> None:
    part, declared = report.entry_of(sample.part()), report.entry_of(sample.declared())
    first, table, under = report.markdown(report.document([part, declared])).split("\n\n")
    assert first == report.PARTIAL
    assert all(line.startswith("|") for line in table.split("\n"))
    assert "- numpy: 1 pass; partial: a part of the suite says nothing about conf" in under
    assert "not conforming, exactly as declared\n" in under


def test_markdown_tells_the_notes_of_a_target() -> None:
    assert report.markdown(report.document([report.entry_of(not_begun("numpy"))])).endswith(
        "\n- numpy: partial: a part of the suite says nothing about conformance\n"
        "  - note: the run was interrupted\n"
    )


def told_of_the_suite(result: Result) -> list[tuple[str, str]]:
    """Return the properties of a target's suite in JUnit."""
    found = suite_of(result).findall("properties/property")
    return [(each.attrib["name"], each.attrib["value"]) for each in found]


def test_junit_tells_a_part_and_the_notes() -> None:
    assert ("partial", "true") in told_of_the_suite(sample.part())
    assert ("partial", "false") in told_of_the_suite(sample.right())
    told = dict(told_of_the_suite(sample.hostile()))
    assert told["note"].startswith("</script><img src=x onerror=")


def test_an_interrupted_run_is_an_error_in_junit() -> None:
    suite = suite_of(not_begun("numpy"))
    (case,) = suite.iter("testcase")
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")
    assert [error.attrib["message"] for error in case.iter("error")] == ["the run was interrupted"]


def test_a_whole_run_is_told_as_such() -> None:
    entry = report.entry_of(sample.right())
    whole = report.document([entry], {"absent": "it is not installed"})
    assert (whole["partial"], report.markdown(whole)[:8]) == (False, "| clause")


@pytest.mark.parametrize(
    ("entry", "left"),
    [(sample.part, {}), (sample.right, {"left": report.STOPPED})],
    ids=["of a target", "of the targets"],
)
def test_a_partial_run_is_told_in_front(entry: Callable[[], Result], left: dict[str, str]) -> None:
    document = report.document([report.entry_of(entry())], left)
    validate(document)
    assert document["partial"]
    assert report.markdown(document).startswith(f"{report.PARTIAL}\n\n|")


def test_targets_that_were_not_judged_are_named() -> None:
    document = sample.every_kind()
    assert [each["target"] for each in document["not_judged"]] == ["absent", "left"]
    assert "\n- left: not judged, the run was stopped before\n" in report.markdown(document)
    *_, last = ElementTree.fromstring(junit(document))
    assert last.attrib == {"name": "left", "tests": "0"}
    assert [found.attrib["value"] for found in last.iter("property")] == [report.STOPPED]
