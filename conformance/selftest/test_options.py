"""Options that do not go together are refused: nothing that is given is without effect."""

import pytest

from tuned_contrastive.conformance import command
from tuned_contrastive.conformance.__main__ import main

SHOW = ["numpy", "--vector", "supcon-001", "--show"]
ACKNOWLEDGE = ["numpy", "--acknowledge"]
COMPARED = ["all", "--compared", "page.md"]
PROGRAM = ["--program", "cat"]


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """End at once with 0 whatever is accepted."""
    for name in ("judge_one", "judge_all", "judge_mutants", "show"):
        monkeypatch.setattr(command, name, lambda *given: 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give a target, or a --program"),
        (["--json", "a.json"], "give a target, or a --program"),
        (["numpy", *PROGRAM], "--program does not go with a target"),
        (["all", *PROGRAM], "all does not go with --program"),
        (["--list", "clauses", "numpy"], "--list does not go with a target"),
        (["--list", "clauses", "all"], "--list does not go with all"),
        (["--list", "clauses", "--mutants"], "--list does not go with --mutants"),
        (["--list", "clauses", "--json", "a.json"], "--list does not go with --json"),
        (["--mutants", "numpy"], "--mutants does not go with a target"),
        (["--mutants", "--seed", "0"], "--mutants does not go with --seed"),
        (["--mutants", "--fail-fast"], "--mutants does not go with --fail-fast"),
        (["numpy", "--show"], "--show goes with --vector"),
        ([*SHOW, "--json", "a.json"], "--show does not go with --json"),
        ([*SHOW, "--markdown", "a.md"], "--show does not go with --markdown"),
        ([*SHOW, "--html", "a.html"], "--show does not go with --html"),
        ([*SHOW, "--junit", "a.xml"], "--show does not go with --junit"),
        ([*SHOW, "--clause", "SUP-5"], "--show does not go with --clause"),
        ([*SHOW, "--test", "test_it"], "--show does not go with --test"),
        ([*SHOW, "--fail-fast"], "--show does not go with --fail-fast"),
        ([*SHOW, "--acknowledge"], "--show does not go with --acknowledge"),
        ([*SHOW, "--performance"], "--show does not go with --performance"),
        ([*SHOW, "--seed", "0"], "--show does not go with --seed"),
        (["all", *SHOW[1:]], "all does not go with --show"),
        (["all", "--dtype", "float64"], "all does not go with --dtype"),
        (["all", "--set", "k1=1"], "all does not go with --set"),
        ([*PROGRAM, "--dtype", "float64"], "--program does not go with --dtype"),
        (["numpy", "--time-limit", "3"], "--time-limit goes with --program"),
        (["numpy", *COMPARED[1:]], "--compared goes with all"),
        ([*COMPARED, "--clause", "SUP-5"], "--compared does not go with --clause"),
        ([*COMPARED, "--fail-fast"], "--compared does not go with --fail-fast"),
        ([*ACKNOWLEDGE, "--clause", "SUP-5"], "--acknowledge does not go with --clause"),
        ([*ACKNOWLEDGE, "--fail-fast"], "--acknowledge does not go with --fail-fast"),
        ([*ACKNOWLEDGE, "--dtype", "float64"], "--acknowledge does not go with --dtype"),
        (["optax", "--acknowledge"], "--acknowledge goes with our own targets"),
        ([*PROGRAM, "--acknowledge"], "--acknowledge goes with our own targets"),
        (["numpy", "--vector", "supcon-001", "--seed", "1"], "--vector does not go with --seed"),
        (["numpy", "--json", ""], "--json must not be empty"),
        (["numpy", "--device", ""], "--device must not be empty"),
        (["numpy", "--test", ""], "--test must not be empty"),
        (["numpy", "--test", "", "--test", "x"], "--test must not be empty"),
        (["--program", ""], "--program must not be empty"),
        ([""], "a target must not be empty"),
    ],
)
def test_what_would_be_without_effect_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--list", "clauses"],
        ["--mutants"],
        SHOW,
        [*PROGRAM, *SHOW[1:], "--time-limit", "3"],
        [*PROGRAM, "--json", "a.json", "--seed", "0"],
        ["numpy", "--clause", "SUP-5", "--fail-fast", "--performance", "--seed", "0"],
        ["torch", "--device", "cpu", "--dtype", "float64", "--html", "a.html"],
        ["all", "--acknowledge", "--performance", "--seed", "1", "--junit", "a.xml"],
        ["all", "--clause", "SUP-5", "--vector", "supcon-001"],
        [*COMPARED, "--json", "a.json"],
        ACKNOWLEDGE,
    ],
)
def test_what_goes_together_is_accepted(arguments: list[str]) -> None:
    assert main(arguments) == 0
