"""The figures of gradient responses: their arrays, points known by hand, and the command."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.benchmarks import accuracy
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.response import captions, command, curves, figures
from tuned_contrastive.benchmarks.response.batches import Setting, Spread, anchor_gradients
from tuned_contrastive.benchmarks.response.hardness import hardness
from tuned_contrastive.reference import responses

Document = dict[str, Any]
FOLDER = command.RESULTS
COMMITTED = command.load()
TRAINED = Path(accuracy.__file__).parent / "results" / "embeddings"
COMMAND = [sys.executable, "-m", "tuned_contrastive.benchmarks", "response", "--output"]
SIX_DIGITS = 2e-5
"""Relative: two roundings to six digits, and the libraries' own exponentials."""


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Return every number and word of a document by where it stands."""
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {place: value}
    return {at: leaf for key in value for at, leaf in leaves(value[key], f"{place}/{key}").items()}


def parts(found: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of a document, and all else, by where they stand."""
    every = leaves(found)
    numbers = {place: value for place, value in every.items() if isinstance(value, float)}
    return numbers, {place: value for place, value in every.items() if place not in numbers}


def lines(name: str) -> tuple[list[float], list[Document]]:
    """Return the similarities and the lines of a committed figure, SupCon's first."""
    return COMMITTED[name]["s"], COMMITTED[name]["lines"]


def response(line: Document) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the responses of a line."""
    return np.array(line["response"])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the command as a user does, with embeddings; return its folder and what it told."""
    folder = tmp_path_factory.mktemp("response")
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    rows = rng.normal(size=(4, 8))[labels] + 0.5 * rng.normal(size=(40, 8))
    np.savez(folder / "mine.npz", embeddings=rows, labels=labels)
    words = [*COMMAND, "out", "--embeddings", "mine.npz", "--batch-size", "20", "--k1", "7"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stderr


@pytest.mark.parametrize("name", curves.FIGURES)
def test_committed_arrays_are_regenerated(name: str, drawn: tuple[Path, str]) -> None:
    (numbers, words), (kept_numbers, kept_words) = (
        parts(found[name]) for found in (command.load(drawn[0]), COMMITTED)
    )
    assert words == kept_words
    assert numbers == pytest.approx(kept_numbers, rel=SIX_DIGITS, abs=1e-12)


def test_committed_measures_are_those_of_the_trained_encoders() -> None:
    measured = {
        file.stem: command.rounded(command.measure(file, batch_size=120))
        for file in sorted(TRAINED.glob("*.npz"))
    }
    (numbers, words), (kept_numbers, kept_words) = map(parts, (measured, COMMITTED["hardness"]))
    assert words == kept_words
    assert numbers == pytest.approx(kept_numbers, rel=SIX_DIGITS, abs=1e-12)


def test_committed_page_follows_from_the_committed_arrays() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == captions.page(COMMITTED)


@pytest.mark.parametrize("suffix", ["svg", "png"])
@pytest.mark.parametrize("name", captions.CAPTIONS)
def test_every_figure_is_committed(name: str, suffix: str) -> None:
    assert (FOLDER / f"{name}.{suffix}").is_file()


@pytest.mark.parametrize("k1", curves.K1S)
@pytest.mark.parametrize("T", curves.CROSSOVER_TEMPERATURES)
def test_crossover_of_orthogonal_positives_is_1_plus_k1(T: float, k1: float) -> None:
    found = COMMITTED["crossover"]
    (line,) = (each for each in found["lines"] if (each["T"], each["k1"]) == (T, k1))
    at_zero = line["k2*"][int(np.argmin(np.abs(found["s"])))]
    assert at_zero == pytest.approx(1 + k1, rel=SIX_DIGITS)


def test_orthogonal_rows_share_the_denominator_by_hand() -> None:
    setting = Setting(Spread(3, 0.0, 0.0), Spread(5, 0.0, 0.0), temperature=0.3, k1=4.0, k2=2.0)
    found = setting.responses()
    assert found.k1_share[0] == pytest.approx(4 * 3 / (3 + 4 * 3 + 2 * 5))
    assert found.supcon[0, 1] == pytest.approx((1 / (3 + 5) - 1 / 3) / 0.3)
    assert found.tcl[0, 1] == pytest.approx((1 / 0.3 - 4) / 25 - 1 / (0.3 * 3))
    assert found.tcl[0, 4] == pytest.approx(2 / (0.3 * 25))


def test_single_pair_without_negatives_has_no_response_in_supcon() -> None:
    found = Setting(Spread(1, 0.2, 0.6), Spread(0, 0.0, 0.0)).responses()
    assert found.similarities[0, 1] == pytest.approx(0.4)
    assert found.supcon[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert found.tcl[0, 1] < 0


def test_given_similarity_replaces_the_first() -> None:
    found = curves.BASE.responses(positive=[-0.25], negative=[0.75])
    positives, negatives = curves.BASE.positives, curves.BASE.negatives
    rest = [positives.similarities()[1:], [0.75], negatives.similarities()[1:]]
    np.testing.assert_allclose(found.similarities[0, 1:], np.concatenate([[-0.25], *rest]))
    assert (found.positives[0].sum(), found.negatives[0].sum()) == (12, 115)


def test_supcon_pulls_a_hard_positive_and_pushes_an_easy_one() -> None:
    s, (supcon, *_) = lines("positive")
    signs = np.sign(response(supcon))
    assert (s[0], s[-1], signs[0], signs[-1]) == (-1.0, 1.0, -1.0, 1.0)
    assert np.count_nonzero(np.diff(signs)) == 1


def test_every_positive_is_drawn_below_supcons() -> None:
    # LAW-13
    _, (supcon, *tcl) = lines("positive")
    stacked = np.array([response(line) for line in (supcon, *tcl)])
    assert (np.diff(stacked, axis=0) < 0).all()
    maps = np.array([each["response"] for each in COMMITTED["pushed"]["maps"]])
    assert (maps[1:] < maps[0]).all()


def test_every_negative_is_drawn_higher_for_a_larger_k2() -> None:
    # LAW-14
    _, (_, *tcl) = lines("negative")
    stacked = np.array([response(line) for line in tcl])
    assert (np.diff(stacked, axis=0) > 0).all()


def test_negatives_are_drawn_above_supcons_from_the_crossover_on() -> None:
    # LAW-15
    _, (supcon, *tcl) = lines("negative")
    above = {line["k2"]: response(line) > response(supcon) for line in tcl}
    below = {k2: not rows.any() for k2, rows in above.items()}
    assert {k2: rows.all() for k2, rows in above.items()} == {
        k2: k2 > COMMITTED["negative"]["crossover"] for k2 in curves.K2S
    }
    assert below == {k2: k2 < COMMITTED["negative"]["crossover"] for k2 in curves.K2S}


def test_share_is_minus_the_sum_of_the_responses() -> None:
    # LAW-12
    setting = replace(curves.STATES["near"], temperature=0.25, k1=500.0)
    found = setting.responses()
    column = COMMITTED["share"]["near"]["T"]
    share = column["lines"][0]["share"][column["x"].index(0.25)]
    assert -found.tcl[0].sum() / (1 + 1 / 0.25) == pytest.approx(share, rel=SIX_DIGITS)
    assert found.supcon[0].sum() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("panel", "loss"), [(0, 0), (1, 1)])
def test_pulls_add_up_to_the_gradient_of_the_anchor(panel: int, loss: int) -> None:
    found = curves.pull()["panels"][panel]
    gradients = anchor_gradients(curves.pulled_batch(), curves.BASE)[loss]
    np.testing.assert_allclose(np.sum(found["pulls"], axis=0), -gradients[0, :2], atol=1e-12)
    assert gradients[0, 2] == pytest.approx(0.0, abs=1e-12)


def test_easiest_positive_of_the_picture_is_pushed_less_by_tcl() -> None:
    easiest = [panel["response"][0] for panel in COMMITTED["pull"]["panels"]]
    assert easiest[0] > easiest[1] > 0


def test_drawn_norm_is_that_of_the_pairs_row() -> None:
    s, (supcon, *tcl) = lines("positive")
    across = np.sqrt(1 - np.square(s))
    drawn = np.array([line["norm"] for line in (supcon, *tcl)])
    expected = [np.abs(response(line)) * across for line in (supcon, *tcl)]
    np.testing.assert_allclose(drawn, expected, rtol=1e-4, atol=1e-7)


def test_measured_pairs_are_those_of_the_reference() -> None:
    rows = np.random.default_rng(1).normal(size=(12, 3))
    labels = np.array([0, 0, 0, 1, 1, 2] * 2)
    measured = hardness(rows, labels, temperature=0.5, k1=20.0, k2=3.0, batch_size=6, edges=(-1, 1))
    halves = [responses(rows[at], labels[at], temperature=0.5, k1=20.0, k2=3.0)
              for at in (slice(6), slice(6, 12))]  # fmt: skip
    anchors = [(half, half.positives.any(axis=1, keepdims=True)) for half in halves]
    tcl = np.concatenate([half.tcl[half.negatives & anchor] for half, anchor in anchors])
    supcon = np.concatenate([half.supcon[half.positives] for half in halves])
    assert measured["positive"]["count"] == [2 * (6 + 2)]
    assert measured["negative"]["count"] == [2 * (3 * 3 + 2 * 4)]
    found = np.array(measured["negative"]["tcl"]["percentiles"])[:, 0]
    np.testing.assert_allclose(found, np.percentile(tcl, [10, 50, 90]))
    assert measured["positive"]["supcon"]["share above 0"] == np.mean(supcon > 0)


def test_pairs_are_measured_in_the_bin_of_their_similarity() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    measured = hardness(rows, [0, 0, 1, 1], edges=(-1, -0.5, 0, 0.5, 1))
    assert measured["edges"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert measured["positive"]["count"] == [0, 0, 2, 2]
    assert measured["negative"]["count"] == [4, 0, 4, 0]
    assert measured["positive"]["tcl"]["percentiles"][1][:2] == [None, None]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"batch_size": 5}, r"batch_size must be 1 to 4, got 5"),
        ({"batch_size": 0}, r"batch_size must be 1 to 4, got 0"),
        ({"edges": (1, -1)}, r"edges must rise from -1 to 1, got \(1, -1\)"),
        ({"edges": (-1, 0.5)}, r"edges must rise from -1 to 1, got \(-1, 0.5\)"),
        ({"temperature": 0.0}, r"temperature must be finite and > 0"),
    ],
)
def test_measuring_refuses_what_it_cannot_do(given: Document, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        hardness(np.eye(4), [0, 0, 1, 1], **given)


@pytest.mark.parametrize("name", [*curves.FIGURES, "hardness"])
def test_command_draws_both_formats(name: str, drawn: tuple[Path, str]) -> None:
    folder, _ = drawn
    assert (folder / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_command_tells_how_far_it_is(drawn: tuple[Path, str]) -> None:
    told = [line.split(":")[0] for line in drawn[1].splitlines()]
    assert told == [f"response {at}/7" for at in range(1, 8)]
    assert all(re.search(r" \(\d+ s, \d+ s left\)$", line) for line in drawn[1].splitlines())


def test_command_writes_the_page_with_every_figure(drawn: tuple[Path, str]) -> None:
    text = (drawn[0] / "README.md").read_text(encoding="utf-8")
    assert text.count("](") - 1 == len(captions.CAPTIONS)
    assert "2 batches of 20 samples" in text
    assert command.load(drawn[0])["hardness"]["mine"]["setting"]["k1"] == 7


def test_svg_is_the_same_twice(tmp_path: Path) -> None:
    assert _drawn(tmp_path / "a") == _drawn(tmp_path / "b")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--embeddings", "none.npz"], "none.npz must be an .npz file with the arrays embeddings"),
        (["--embeddings", "bare.npz"], "bare.npz must be an .npz file with the arrays embeddings"),
        (["--embeddings", "number.npz"], "number.npz must be an .npz file with the arrays embed"),
        (["--output", "bare.npz"], "--output must be a folder, or may be made one: "),
        (["--embeddings", "short.npz"], "short.npz: labels must have shape (4,), got (3,)"),
        (["--embeddings", "good.npz", "--batch-size", "9"], "good.npz: batch_size must be 1 to 4"),
        (["--embeddings", "good.npz", "./good.npz"], "--embeddings must be files of different nam"),
        (["--embeddings", "good.npz", "--temperature", "0"], "good.npz: temperature must be"),
        (["--k1", "5"], "--k1 is for --embeddings: name files, too"),
        (["--batch-size", "5"], "--batch-size is for --embeddings: name files, too"),
    ],
)
def test_wrong_usage_is_one_sentence_and_leaves_nothing(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", rows=np.eye(4))
    np.savez("number.npz", embeddings=1.0, labels=0)
    np.savez("short.npz", embeddings=np.eye(4), labels=np.arange(3))
    np.savez("good.npz", embeddings=np.eye(4), labels=np.arange(4) % 2)
    assert main(["response", "--output", "out", *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(told)
    assert (said.err.count("\n"), said.out, Path("out").exists()) == (1, "", False)


def test_written_arrays_are_read_back(tmp_path: Path) -> None:
    found = {"pull": command.rounded({"x": (1 / 3, 2, None), "name": "TCL"})}
    command.write(tmp_path / "response.json", found)
    assert command.load(tmp_path) == {"pull": {"x": [0.333333, 2, None], "name": "TCL"}}
    assert json.loads((tmp_path / "response.json").read_text(encoding="utf-8")) == found


def _drawn(folder: Path) -> bytes:
    folder.mkdir()
    figures.draw("crossover", COMMITTED["crossover"], folder)
    return (folder / "crossover.svg").read_bytes()
