"""The explanatory half of spec.md: its examples run, its figures follow from the formulas."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tuned_contrastive.conformance import known
from tuned_contrastive.spec.clauses import load_clauses

Float64 = NDArray[np.float64]
Labels = NDArray[np.int64]
Formula = Callable[[Labels], float]

DOCUMENT = (Path(__file__).parents[2] / "spec" / "spec.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)

T = 0.1
K1 = 5000.0
BATCHES: dict[str, Labels] = {
    name: np.array([int(digit) for digit in digits])
    for name, digits in {"A": "000111", "B": "000011", "C": "000112", "D": "000000"}.items()
}


def rows(header: str) -> list[list[str]]:
    """Return the body of the table that starts with `header`; nothing if it is not there."""
    found = re.search(re.escape(header) + r"\n\|[-|: ]+\|\n((?:\|.*\|\n)*)", DOCUMENT)
    lines = found.group(1).splitlines() if found else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


FIGURES = {name: cells for name, _, *cells in rows("| formula | codes | A | B | C | D |")}
FIGURE_CODES = {name: codes for name, codes, *_ in rows("| formula | codes | A | B | C | D |")}
FIRST_ANCHOR = dict(rows("| denominator | l_0 on B |"))
IMPLEMENTATIONS = rows("| implementation | what it computes | codes |")
CODES = [name for name, _ in rows("| code | deviation |")]


def similarities() -> Float64:
    """Return z z^T of the rows z_n,d = l2(sin(1 + 0.7n + 1.3d + 0.11nd)), N = 6, D = 4."""
    return embeddings() @ embeddings().T


def embeddings() -> Float64:
    n, d = np.arange(6)[:, None], np.arange(4)
    x = np.sin(1 + 0.7 * n + 1.3 * d + 0.11 * n * d)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def positives(labels: Labels) -> Float64:
    """Return 1 where j is in P(i)."""
    return np.asarray((labels[:, None] == labels).astype(np.float64) - np.eye(len(labels)))


def negatives(labels: Labels) -> Float64:
    """Return 1 where j is in N(i)."""
    return np.asarray((labels[:, None] != labels).astype(np.float64))


def per_positive(values: Float64, labels: Labels) -> Float64:
    """Return mean_P of each row of `values`; NaN without a positive."""
    P = positives(labels)
    with np.errstate(invalid="ignore"):
        return np.asarray((P * values).sum(axis=1) / P.sum(axis=1))


def supcon(labels: Labels) -> Float64:
    """Return l_i of SupCon; NaN without a positive."""
    return tcl(labels, 0.0)


def tcl(labels: Labels, k1: float = K1, k1_scale: float = 1.0) -> Float64:
    """Return l_i of TCL with k2 = 1 and exp(-k1_scale s) in the k1 term; NaN without a positive."""
    s = similarities()
    return np.asarray(np.log(denominator(labels, k1, k1_scale)) - per_positive(s / T, labels))


def denominator(labels: Labels, k1: float, k1_scale: float = 1.0) -> Float64:
    s, P, N = similarities(), positives(labels), negatives(labels)
    terms = P * (np.exp(s / T) + k1 * np.exp(-k1_scale * s)) + N * np.exp(s / T)
    return np.asarray(terms.sum(axis=1))


def tcl_column(labels: Labels) -> Float64:
    """Return l_i of TCL where each positive is divided by its own denominator."""
    terms = np.log(denominator(labels, K1))[None, :] - similarities() / T
    return per_positive(terms, labels)


def mean_of_anchors(losses: Float64) -> float:
    return float(np.nanmean(losses))


def mean_with_zeros(losses: Float64) -> float:
    return float(np.nan_to_num(losses).mean())


def learning_library(labels: Labels) -> float:
    """Return the mean over losses above 0; 0 without any negative."""
    losses = np.nan_to_num(supcon(labels))
    has_pairs = negatives(labels).any() and bool((losses > 0).any())
    return float(losses[losses > 0].mean()) if has_pairs else 0.0


def one_view(labels: Labels) -> float:
    """Return the mean over all samples of T l_i / |P(i)|, 0 without a positive."""
    return mean_with_zeros(T * supcon(labels) / np.maximum(positives(labels).sum(axis=1), 1))


def log_of_sum(labels: Labels) -> float:
    """Return the mean over all anchors of -log(sum_P / (sum_P + sum_N)); inf without a positive."""
    e = np.exp(similarities() / T)
    with np.errstate(divide="ignore"):
        log_sum = np.log((positives(labels) * e).sum(axis=1))
    return float((np.log(denominator(labels, 0.0)) - log_sum).mean())


def log_of_mean(labels: Labels) -> float:
    """Return L_in: `log_of_sum` with the mean over P(i) inside the logarithm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(positives(labels).sum(axis=1)).mean() + log_of_sum(labels))


def per_pair(labels: Labels) -> float:
    """Return the mean over positive pairs, the pair's own positive and the negatives below."""
    e, N = np.exp(similarities() / T), negatives(labels)
    terms = np.log(e + (N * e).sum(axis=1, keepdims=True)) - similarities() / T
    return float(terms[positives(labels) == 1].mean())


def anchor_included(labels: Labels) -> float:
    """Return the mean over all rows with j = i among the positives and in the denominator."""
    s, same = similarities(), 1.0 - negatives(labels)
    return float(
        (np.log(np.exp(s / T).sum(axis=1)) - (same * s / T).sum(axis=1) / same.sum(axis=1)).mean()
    )


FORMULAS: dict[str, Formula] = {
    "SupCon of this document": lambda labels: mean_of_anchors(supcon(labels)),
    "zeros kept in the mean": lambda labels: mean_with_zeros(supcon(labels)),
    "SupContrast, base_temperature 0.07": lambda labels: T / 0.07 * mean_with_zeros(supcon(labels)),
    "pytorch-metric-learning SupConLoss": learning_library,
    "google-research supcon, one view": one_view,
    "log of the sum (solo-learn)": log_of_sum,
    "log of the mean, L_in (Catalyst)": log_of_mean,
    "per pair (pytorch-metric-learning NTXentLoss, optax ntxent)": per_pair,
    "anchor included (keras.io)": anchor_included,
    "TCL of this document": lambda labels: mean_of_anchors(tcl(labels)),
    "TCL, column denominator (released code)": lambda labels: float(tcl_column(labels).mean()),
    "TCL, exp(-s/T) in the k1 term": lambda labels: mean_of_anchors(tcl(labels, K1, 1 / T)),
}


def shown(value: float, decimals: int = 6) -> str:
    """Return a figure as the document prints it, 0 without a sign."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def names(pattern: str) -> list[str]:
    return re.findall(pattern, DOCUMENT, re.MULTILINE)


def test_document_has_worked_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_worked_example_runs(example: str) -> None:
    exec(compile(example, "spec.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_worked_example_checks_itself(example: str) -> None:
    assert re.search(r"^ *assert ", example, re.MULTILINE)


def test_figures_are_of_the_formulas() -> None:
    assert list(FIGURES) == list(FORMULAS)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", FORMULAS)
def test_figure_follows_from_its_formula(name: str, batch: str) -> None:
    printed = dict(zip(BATCHES, FIGURES[name], strict=True))
    assert printed[batch] == shown(FORMULAS[name](BATCHES[batch]))


@pytest.mark.parametrize(
    ("name", "losses"), [("D_i, the row", tcl), ("D_p, the column", tcl_column)]
)
def test_first_anchor_follows_from_its_formula(
    name: str, losses: Callable[[Labels], Float64]
) -> None:
    assert FIRST_ANCHOR[name] == shown(float(losses(BATCHES["B"])[0]), 4)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("pytorch-metric-learning SupConLoss", "SupConLoss"),
        ("per pair (pytorch-metric-learning NTXentLoss, optax ntxent)", "NTXentLoss"),
    ],
)
def test_library_gives_its_figure(name: str, loss: str, batch: str) -> None:
    library = pytest.importorskip("pytorch_metric_learning.losses")
    torch = pytest.importorskip("torch")
    value = getattr(library, loss)(temperature=T)(
        torch.tensor(embeddings()), torch.tensor(BATCHES[batch])
    )
    printed = dict(zip(BATCHES, FIGURES[name], strict=True))
    assert shown(float(value)) == printed[batch]


def test_deviation_codes_are_numbered_through() -> None:
    assert list(known.CODES) == CODES


def test_named_deviations_are_defined() -> None:
    cells = [codes for *_, codes in IMPLEMENTATIONS] + list(FIGURE_CODES.values())
    assert set(re.findall(r"X\d+", " ".join(cells))) <= set(CODES)


def test_every_law_and_gradient_formula_is_proved_once() -> None:
    laws = [f"LAW-{i}" for i in range(1, 16)]
    gradients = [f"GRD-{i}" for i in range(1, 9)]
    assert sorted(names(r"^\*Proof of ([A-Z]{3}-\d+)\.\*")) == sorted(laws + gradients)


def test_every_clause_has_its_reason_once_and_in_order() -> None:
    assert names(r"^- \*([A-Z]{3}-\d+)\.\*") == list(load_clauses())


def test_lines_are_at_most_140_characters() -> None:
    assert [line for line in DOCUMENT.splitlines() if len(line) > 140] == []
