"""Third parties: their declarations are strict, and spec/implementations.md follows from them."""

import json
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance import command, compared, targets
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.known import CODES, load_deviations
from tuned_contrastive.spec.clauses import PERFORMANCE, load_clauses

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "spec" / "implementations.md").read_text(encoding="utf-8")
FACTS: dict[str, Any] = json.loads(
    (ROOT / "spec" / "implementations.json").read_text(encoding="utf-8")
)
JUDGED: dict[str, dict[str, str]] = FACTS["clauses"]
THIRD = [target for target in JUDGED if target in targets.THIRD_PARTY]
KNOWN = sorted(path.stem for path in (ROOT / "conformance" / "known").glob("*.toml"))
GOOD = {
    "code": '"X6"',
    "reason": '"a batch with one class gives 0"',
    "link": '"https://example.org/loss.py"',
    "clauses": '["SUP-5"]',
    "cases": '["edge-005"]',
}


def declared(folder: Path, fields: Mapping[str, str]) -> Path:
    """Write a declaration, and return its folder."""
    lines = ["[[deviation]]", *(f"{name} = {value}" for name, value in fields.items())]
    (folder / "some.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_page_follows_from_the_declarations() -> None:
    assert compared.page_of(FACTS) == PAGE


@pytest.mark.parametrize("target", THIRD)
def test_page_has_the_declared_deviations_and_no_others(target: str) -> None:
    found = {clause for clause, status in JUDGED[target].items() if status == "known"}
    expected = {clause for d in load_deviations(target) for clause in d.clauses}
    assert found == expected


@pytest.mark.parametrize("target", targets.OWN)
def test_page_has_the_committed_clauses_that_do_not_apply(target: str) -> None:
    found = {clause for clause, status in JUDGED[target].items() if status == "not-applicable"}
    suite = {clause for clause in load_clauses() if clause.startswith("CNF-")}
    expected = targets.committed_not_applicable(target)
    assert found - suite - set(PERFORMANCE) == (expected or set()) - set(PERFORMANCE)


@pytest.mark.clause("CNF-3")
def test_nobody_on_the_page_fails() -> None:
    assert not {s for ended in JUDGED.values() for s in ended.values()} & {"fail", "error"}


def test_page_has_every_installed_target_and_every_clause() -> None:
    assert set(targets.known_targets()) == set(compared.TITLES)
    assert set(compared.TITLES) - set(JUDGED) <= set(targets.MAY_NOT_LOAD)
    assert [list(ended) for ended in JUDGED.values()] == [list(load_clauses())] * len(JUDGED)


def test_page_has_the_versions_of_the_constraints() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.MULTILINE))
    installed = set(FACTS["versions"]) - set(targets.MAY_NOT_LOAD)
    assert {name: FACTS["versions"][name] for name in installed} == {
        name: pinned[name] for name in installed
    }


@pytest.mark.parametrize("target", THIRD)
def test_page_tells_every_deviation_in_words(target: str) -> None:
    for reason in {d.reason for d in load_deviations(target)}:
        assert f"| {reason}" in PAGE or f"; {reason}" in PAGE
        assert len(reason) <= 100


def test_every_declaration_is_of_a_target() -> None:
    assert set(KNOWN) <= set(targets.THIRD_PARTY)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("code", '"X99"', f"a code {CODES[0]} to {CODES[-1]}"),
        ("reason", '" "', "a reason"),
        ("link", '"their repository"', "must link"),
        ("clauses", '["SUP-99"]', "SUP-99"),
        ("clauses", "[]", "must name clauses"),
        ("cases", "[]", "must name clauses of the spec and cases"),
        ("cases", '"edge-005"', "must be lists"),
        ("link", "1", "must be strings"),
        ("note", '"more"', "must have cases, clauses, code, link, reason"),
    ],
)
def test_declaration_is_strict(tmp_path: Path, field: str, value: str, told: str) -> None:
    folder = declared(tmp_path, {**GOOD, field: value})
    with pytest.raises(ValueError, match=told):
        load_deviations("some", folder)


def test_declaration_without_a_link_is_refused(tmp_path: Path) -> None:
    folder = declared(tmp_path, {name: value for name, value in GOOD.items() if name != "link"})
    with pytest.raises(ValueError, match="must have"):
        load_deviations("some", folder)


def test_good_declaration_is_read(tmp_path: Path) -> None:
    (deviation,) = load_deviations("some", declared(tmp_path, GOOD))
    assert (deviation.code, deviation.clauses) == ("X6", frozenset({"SUP-5"}))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["all", "--compared", "page.md", "--json", "page.json"], "the same file"),
        (["all", "--compared", "page.md", "--html", "page.md"], "the same file"),
        (["all", "--compared", "nowhere/page.md"], "in no folder"),
        (["all", "--compared", "."], ". is a folder, and --compared needs a file"),
    ],
)
def test_page_has_files_of_its_own(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "installed_targets", lambda: ())  # nothing runs if it is accepted
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.clause("CNF-3")
def test_library_that_does_not_load_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lightly", types.ModuleType("lightly"))
    monkeypatch.setattr(targets, "_exists", lambda name: True)
    monkeypatch.delitem(sys.modules, f"{targets.ADAPTERS}.lightly", raising=False)
    assert main(["lightly"]) == 2
    assert "lightly does not load here (ModuleNotFoundError: " in capsys.readouterr().err


def test_library_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_exists", lambda name: name != "monai")
    assert targets.missing_package("monai") == "monai is not installed: pip install monai"
