"""The door for bare functions and classes: right ones are accepted, wrong ones refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.protocol import AnswerError, Case
from tuned_contrastive.conformance.selftest.doctored import PLAIN_NUMPY, PLAIN_SUPCON, WRONG_SIGN

TORCH = ["--framework", "torch", "--losses", "supcon"]


def judge(folder: Path, source: str, attribute: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the command on a source, and return its exit status and the JSON it wrote."""
    file, written = folder / "own.py", folder / "result.json"
    file.write_text(source, encoding="utf-8")
    status = main([f"{file}:{attribute}", "--json", str(written), *options])
    return status, json.loads(written.read_text(encoding="utf-8"))


def statuses(document: dict[str, Any]) -> dict[str, str]:
    """Return each clause's status."""
    return {clause["id"]: clause["status"] for clause in document["clauses"]}


def test_plain_torch_is_accepted(tmp_path: Path) -> None:
    status, document = judge(tmp_path, PLAIN_SUPCON, "supcon", *TORCH)
    assert (status, document["conforming"]) == (0, True)
    assert statuses(document)["SUP-5"] == statuses(document)["GRD-3"] == "pass"
    assert statuses(document)["TCL-1"] == statuses(document)["GRD-6"] == "not-applicable"


def test_wrong_sign_is_refused_at_its_clause(tmp_path: Path) -> None:
    clauses = [word for name in ("SUP-5", "SUP-9", "LAW-3") for word in ("--clause", name)]
    status, document = judge(tmp_path, WRONG_SIGN, "supcon", *TORCH, *clauses)
    assert status == 1
    assert statuses(document)["SUP-5"] == "fail"
    assert statuses(document)["SUP-9"] == statuses(document)["LAW-3"] == "pass"


def test_wrong_sign_is_most_telling_of_its_clause(tmp_path: Path) -> None:
    status, document = judge(tmp_path, WRONG_SIGN, "supcon", *TORCH, "--dtype", "float64")
    assert (status, document["conforming"]) == (1, False)
    assert "SUP-5" in document["results"][0]["telling"]


REMEMBERS = (
    PLAIN_SUPCON
    + """

class Remembers(torch.nn.Module):
    def __init__(self, temperature=0.1):
        super().__init__()
        self.temperature, self.labels = temperature, None

    def forward(self, embeddings, labels):
        if self.labels is None or len(self.labels) != len(labels):
            self.labels = labels.clone()
        return supcon(embeddings, self.labels, temperature=self.temperature)


def wipes(embeddings, labels, temperature=0.1):
    loss = supcon(embeddings.clone(), labels.clone(), temperature=temperature)
    embeddings.data.zero_()
    return loss
"""
)


def test_labels_kept_from_an_earlier_call_are_refused(tmp_path: Path) -> None:
    options = ["--assume", "normalizes", "--dtype", "float64"]
    status, document = judge(tmp_path, REMEMBERS, "Remembers", *TORCH, *options)
    assert (status, document["conforming"]) == (1, False)


def test_changed_arguments_are_refused(tmp_path: Path) -> None:
    options = ["--assume", "normalizes", "--dtype", "float64", "--clause", "INP-25"]
    status, document = judge(tmp_path, REMEMBERS, "wipes", *TORCH, *options)
    assert (status, statuses(document)["INP-25"]) == (1, "fail")


def test_module_class_takes_constructor_parameters(tmp_path: Path) -> None:
    clauses = [word for name in ("SUP-1", "SUP-10", "INP-4") for word in ("--clause", name)]
    options = ["--assume", "unit-input", "--dtype", "float64", *clauses]
    status, document = judge(tmp_path, PLAIN_SUPCON, "SupCon", *TORCH, *options)
    assert status == 0
    assert statuses(document)["SUP-1"] == statuses(document)["SUP-10"] == "pass"
    assert "with normalize=True its rows are normalised" in document["results"][0]["notes"][0]


def test_function_without_a_temperature_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text("def f(embeddings, labels): ...", encoding="utf-8")
    options = ["--framework", "numpy", "--losses", "supcon", "--assume", "normalizes"]
    target = f"{tmp_path / 'own.py'}:f"
    assert main([target, *options, "--clause", "SUP-5"]) == 2
    told = f"no test that was asked for applies to {target}: has no parameter temperature\n"
    assert capsys.readouterr().err == told


def test_all_that_is_lacking_is_told_first(tmp_path: Path) -> None:
    options = ["--framework", "numpy", "--losses", "tcl", "--assume", "normalizes"]
    _, document = judge(tmp_path, "def f(embeddings, labels, tau=0.1): ...", "f", *options)
    reasons = {clause["id"]: clause["reason"] for clause in document["clauses"]}
    assert reasons["CNF-1"] == "no vector ran: has no parameter k1, k2, temperature"
    assert reasons["TCL-1"] == "has no parameter k1, k2, temperature"


def test_temperature_that_is_always_the_same_is_judged(tmp_path: Path) -> None:
    options = ["--framework", "numpy", "--losses", "supcon", "--assume", "normalizes"]
    source = "from tuned_contrastive.reference import supcon_loss\n"
    source += "def f(embeddings, labels):\n    return supcon_loss(embeddings, labels)\n"
    _, document = judge(tmp_path, source, "f", *options)
    assert "--set temperature=VALUE says what it always is" in " ".join(
        document["results"][0]["notes"]
    )
    fixed = ["--set", "temperature=0.1", "--clause", "SUP-5"]
    status, document = judge(tmp_path, source, "f", *options, *fixed)
    assert status == 0
    assert statuses(document)["SUP-5"] == "pass"


def test_numpy_function_is_judged_by_its_values(tmp_path: Path) -> None:
    options = ["--framework", "numpy", "--losses", "tcl", "--set", "temperature=0.1"]
    clauses = [word for name in ("TCL-1", "GRD-1", "SUP-10") for word in ("--clause", name)]
    status, document = judge(tmp_path, PLAIN_NUMPY, "tcl", *options, *clauses)
    assert status == 0
    assert statuses(document)["TCL-1"] == "pass"
    assert statuses(document)["GRD-1"] == statuses(document)["SUP-10"] == "not-applicable"
    assert "only values are judged" in " ".join(document["results"][0]["notes"])


def test_a_value_that_is_no_tensor_is_told_as_such() -> None:
    subject = bare_implementation(
        lambda embeddings, labels: 0.5,
        name="mine",
        framework="torch",
        loss="supcon",
        assume="normalizes",
    )
    case = Case("supcon", np.eye(2), np.array([0, 0]))
    for call in (subject.loss, lambda case: subject.gradients(case, np.array(1.0))):
        with pytest.raises(AnswerError, match=r"return a torch\.Tensor, got float: 0\.5"):
            call(case)


def test_a_loss_of_another_shape_is_told_as_such() -> None:
    subject = bare_implementation(
        lambda embeddings, labels, temperature=0.1, reduction="mean": embeddings.sum(),
        name="mine",
        framework="torch",
        loss="supcon",
        assume="normalizes",
    )
    case = Case("supcon", np.eye(2), np.array([0, 0]), {"reduction": "none"})
    with pytest.raises(AnswerError, match=r"mine must return a loss of shape \(2,\), got \(\)"):
        subject.gradients(case, np.ones(2))


@pytest.mark.parametrize(
    ("attribute", "options", "told"),
    [
        ("SupCon", [], "say --assume normalizes or --assume unit-input"),
        ("supcon", ["--assume", "normalizes"], "--assume is for a signature without normalize"),
        ("supcon", ["--set", "margin=1"], "its signature has no margin"),
        ("supcon", ["--set", "margin"], "--set takes NAME=VALUE"),
        ("supcon", ["--set", "temperature=abc"], "--set: temperature must be a real number"),
        ("supcon", ["--set", "temperature=-1"], "--set: temperature must be finite and > 0"),
        ("supcon", ["--set", "reduction=avg"], "--set: reduction must be 'mean', 'sum' or 'none'"),
        ("needs", ["--assume", "normalizes"], "it needs --set margin=VALUE"),
        ("absent", [], "has no attribute 'absent'"),
        ("torch", [], "must be a function or a class"),
    ],
)
def test_wrong_use_of_the_door(
    tmp_path: Path,
    attribute: str,
    options: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = f"{PLAIN_SUPCON}\n\ndef needs(embeddings, labels, margin): ..."
    (tmp_path / "own.py").write_text(source, encoding="utf-8")
    assert main([f"{tmp_path / 'own.py'}:{attribute}", *TORCH, *options]) == 2
    assert told in capsys.readouterr().err
