"""Published losses end as rivals.toml foresaw, but where rivals_found.toml tells otherwise."""

import json
import re
import tomllib
from collections import Counter
from functools import cache, partial
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from tuned_contrastive.conformance.known import load_deviations
from tuned_contrastive.conformance.records import Ran
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.selftest import rivals
from tuned_contrastive.conformance.selftest.test_document import (
    BATCHES,
    FIGURES,
    T,
    embeddings,
    shown,
)
from tuned_contrastive.spec import contract
from tuned_contrastive.spec.clauses import load_clauses

ENDINGS = {"fails": "fail", "passes": "pass"}
EITHER = "depends"
"""What a processor's rounding decides: only that it is judged is asked."""

Table = dict[str, list[dict[str, Any]]]


def load(name: str) -> Table:
    """Return a file beside this one, as it stands."""
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def endings(table: Table) -> dict[tuple[str, str], str]:
    """Return which names end how, by rival and name; a name may stand once only."""
    found = [
        ((rival, name), ending)
        for rival, lines in table.items()
        for line in lines
        for ending in (*ENDINGS, EITHER)
        for name in line.get(ending, ())
    ]
    assert max(Counter(key for key, _ in found).values()) == 1
    return dict(found)


def digest(lines: list[dict[str, Any]]) -> str:
    """Return the first digits of a hash of lines."""
    return sha256(json.dumps(lines).encode()).hexdigest()[:12]


FORESEEN, FOUND = load("rivals.toml"), load("rivals_found.toml")
TABLE = {rival: lines + FOUND.get(rival, []) for rival, lines in FORESEEN.items()}
FROZEN = {
    "supcontrast": "550910298ae8",
    "google_research": "2cda83bf579d",
    "released_tcl": "ac0d794f132b",
    "solo_learn": "e13b556291c7",
    "keras_io": "a5e1fe83d1d0",
    "catalyst": "acfde7f7697b",
    "tensorflow_similarity": "8576e4811d33",
    "open_clip": "8bcc6d0c19f8",
    "lightly": "75f9391d1505",
}
"""The first digits of the hash of what was foreseen of each, which its run does not change."""

ENDED = endings(FORESEEN) | endings(FOUND)
LINES = [
    pytest.param(rival, ending, name, id=f"{rival}-{ending}-{name}")
    for (rival, name), ending in ENDED.items()
]
SPEC = (Path(contract.__file__).parent / "spec.md").read_text(encoding="utf-8")
CODE = re.compile(r"X\d+")
FIGURE_OF = {
    "supcontrast": "SupContrast, base_temperature 0.07",
    "google_research": "google-research supcon, one view",
    "released_tcl": "TCL, column denominator (released code)",
    "solo_learn": "log of the sum (solo-learn)",
    "keras_io": "anchor included (keras.io)",
    "catalyst": "log of the mean, L_in (Catalyst)",
}
RAISES = ("catalyst", "C")
SECTION_12 = {
    "supcontrast": "SupContrast, `",
    "google_research": "google-research, `",
    "released_tcl": "released code of TCL",
    "solo_learn": "solo-learn",
    "keras_io": "keras.io",
    "catalyst": "Catalyst",
    "tensorflow_similarity": "TensorFlow Similarity",
    "open_clip": "open_clip",
    "lightly": "lightly",
}
SEVERAL_RANKS = {"X17"}


@cache
def judged(rival: str) -> Result:
    """Return how everything ended that applies to a rival."""
    return run(rivals.implementation(rival))


def about(rival: str, name: str) -> list[Ran]:
    """Return what is recorded of a clause, a test or a vector."""
    return [
        record
        for record in judged(rival).ran
        if name in (*record.clauses, record.test, record.test.partition("[")[0], record.vector)
    ]


@pytest.mark.parametrize(("rival", "ending", "name"), LINES)
def test_rival_ends_as_the_table_says(rival: str, ending: str, name: str) -> None:
    found = about(rival, name)
    failed = [record for record in found if record.status == "fail"]
    assert {record.status for record in found} <= {"pass", "fail"}
    assert found
    assert ending == EITHER or bool(failed) == (ending == "fails"), failed[:1]


@pytest.mark.parametrize("rival", TABLE)
def test_every_clause_that_applies_is_in_the_table(rival: str) -> None:
    ended = judged(rival).status
    told = {
        (name, ended[name] if ending == EITHER else ENDINGS[ending])
        for (of, name), ending in ENDED.items()
        if of == rival and name in load_clauses()
    }
    assert told == {(name, status) for name, status in ended.items() if status in ENDINGS.values()}


def test_what_was_foreseen_stays() -> None:
    assert {rival: digest(lines) for rival, lines in FORESEEN.items()} == FROZEN


def test_what_was_found_is_new_or_said_to_refute_what_was_foreseen() -> None:
    foreseen, found = endings(FORESEEN), endings(FOUND)
    refuted = foreseen.keys() & found.keys()
    assert all(foreseen[key] != found[key] for key in refuted)
    assert refuted == {
        (rival, name)
        for rival, lines in FOUND.items()
        for line in lines
        if line["reason"].startswith("refuted: ")
        for ending in (*ENDINGS, EITHER)
        for name in line.get(ending, ())
    }


def test_every_rival_has_lines_with_reasons() -> None:
    assert set(FOUND) <= set(TABLE) == {*rivals.LABELLED, *rivals.PAIRED}
    assert all(line["reason"] for lines in TABLE.values() for line in lines)
    assert {frozenset(line) for lines in TABLE.values() for line in lines} == {
        frozenset({ending, "reason"}) for ending in (*ENDINGS, EITHER)
    }


@pytest.mark.parametrize("rival", TABLE)
def test_codes_are_those_of_the_specification(rival: str) -> None:
    named = [line for line in SPEC.splitlines() if line.startswith(f"| {SECTION_12[rival]}")]
    (row,) = named
    always = set(CODE.findall(re.sub(r"\(.*?\)", "", row.split("|")[3])))
    told = {
        code for line in TABLE[rival] if "fails" in line for code in CODE.findall(line["reason"])
    }
    assert always - SEVERAL_RANKS <= told <= set(CODE.findall(row))


@pytest.mark.parametrize(
    ("rival", "batch"), [pair for pair in product(FIGURE_OF, BATCHES) if pair != RAISES]
)
def test_formula_gives_the_figure_of_the_specification(rival: str, batch: str) -> None:
    given = rivals.LABELLED[rival]
    rows, labels = torch.tensor(embeddings()), torch.tensor(BATCHES[batch])
    call = partial(given.function, rows[:, None] if given.views else rows, labels, temperature=T)
    printed = dict(zip(BATCHES, FIGURES[FIGURE_OF[rival]], strict=True))[batch]
    assert shown(float(call())) == printed


def test_catalyst_raises_where_the_formula_has_no_number() -> None:
    rows, labels = torch.tensor(embeddings()), torch.tensor(BATCHES["C"])
    with pytest.raises(ValueError, match="must have a positive"):
        rivals.catalyst(rows, labels)


@pytest.mark.clause("CNF-2")
def test_loss_of_two_views_is_judged_on_two_rows_of_a_class_alone() -> None:
    result = run(rivals.implementation("lightly"), clauses=["SUP-5", "INP-5"])
    reasons = {clause.id: clause.reason for clause in result.clauses}
    assert result.status == {"INP-5": "not-applicable", "SUP-5": "pass"}
    assert reasons["INP-5"] == "takes two rows of every class, no more and no fewer"


@pytest.mark.clause("CNF-3")
def test_formula_of_lightly_ends_as_lightly_is_declared_to() -> None:
    result = run(rivals.implementation("lightly"), declared=load_deviations("lightly"))
    known = {name for name, status in result.status.items() if status == "known"}
    assert known == {"SUP-2", "NUM-7"}
    assert result.as_declared
