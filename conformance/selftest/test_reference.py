"""The reference against the oracle, and the oracle against itself (NUM-14, NUM-15, CNF-6)."""

import dataclasses
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.reference import (
    Gradients,
    oracle,
    responses,
    supcon_gradients,
    tcl_gradients,
    tcl_loss,
)
from tuned_contrastive.reference.agreement import disagreement
from tuned_contrastive.reference.cases import grid
from tuned_contrastive.reference.gradients import anchor_weights
from tuned_contrastive.reference.losses import anchor_terms
from tuned_contrastive.reference.pairs import Float64, make_pairs

TEMPERATURES = (0.005, 0.02, 0.1, 0.5, 10.0)
K1 = (0.0, 1e-3, 1.0, 5000.0, 1e8)
K2 = (0.0, 0.1, 1.0, 10.0)
NORMS = (1e-6, 1e-3, 1.0, 1e3, 1e6)
STRATA = list(product(TEMPERATURES, K1, K2, NORMS))
"""500 cells of TCL, every combination; SupCon has its own cells without k1 and k2."""


def equiangular(rows: int) -> Float64:
    """Return unit rows with one common angle, in as many columns."""
    return np.asarray(np.linalg.cholesky(np.full((rows, rows), 0.3) + 0.7 * np.eye(rows)))


def near(x: Float64, spread: float) -> Float64:
    """Return two clusters of that spread, with few distinct similarities."""
    return x[np.arange(len(x)) % 2] + spread * x


ARRANGEMENTS: dict[str, tuple[Callable[[Float64], Float64], bool]] = {
    "random, normalised": (lambda x: x, True),
    "random, as given": (lambda x: x, False),
    "clustered": (lambda x: near(x, 2.0**-10), True),
    "clustered, as given": (lambda x: near(x, 2.0**-6), False),
    "equiangular": (lambda x: equiangular(len(x)), True),
}


def batch(seed: int, arrangement: str, norm: float) -> tuple[Float64, Any, bool]:
    """Return rows of that norm, labels with classes of odd sizes, and whether to normalise."""
    arrange, normalize = ARRANGEMENTS[arrangement]
    rows, columns = 3 + seed % 4, 2 + seed // 4 % 3
    x = arrange(grid(seed, rows, columns))
    x = x / np.sqrt((x * x).sum(axis=1).max()) * norm
    return x, np.arange(rows) * (1 + seed % 2) % 3 % 2, normalize


@pytest.mark.clause("NUM-14")
@pytest.mark.clause("NUM-15")
@pytest.mark.parametrize("cell", range(len(STRATA)))
def test_reference_agrees_with_the_oracle(cell: int) -> None:
    T, k1, k2, norm = STRATA[cell]
    reduction = ("mean", "sum", "none")[cell % 3]
    arrangement = list(ARRANGEMENTS)[(cell + cell // 5 + cell // 25) % 5]
    x, labels, normalize = batch(cell, arrangement, norm)
    given = {"temperature": T, "k1": k1, "k2": k2, "normalize": normalize, "reduction": reduction}
    _, _, share = disagreement("tcl", x, labels, upstream=2.0, **given)
    assert share <= 1


@pytest.mark.clause("NUM-14")
@pytest.mark.clause("NUM-15")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("T", TEMPERATURES)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_reference_of_supcon_agrees_with_the_oracle(
    arrangement: str, T: float, norm: float
) -> None:
    seed = 1000 + NORMS.index(norm) * 31 + TEMPERATURES.index(T)
    x, labels, normalize = batch(seed, arrangement, norm)
    _, _, share = disagreement(
        "supcon", x, labels, temperature=T, normalize=normalize, upstream=2.0
    )
    assert share <= 1


def test_a_reference_of_nan_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **given: Any) -> Any:
        right = tcl_gradients(*args, **given)
        return dataclasses.replace(right, embeddings=np.full_like(right.embeddings, np.nan))

    monkeypatch.setattr("tuned_contrastive.reference.agreement.tcl_gradients", broken)
    given: dict[str, Any] = {"temperature": 0.5, "k1": 3.0, "k2": 2.0}
    _, _, share = disagreement("tcl", grid(7, 6, 3) / 4, np.array([0, 0, 1, 1, 1, 2]), **given)
    assert share == np.inf


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Gradients)])
def test_a_wrong_reference_disagrees(
    monkeypatch: pytest.MonkeyPatch, field: str, normalize: bool, reduction: str
) -> None:
    def wrong(*args: Any, **given: Any) -> Any:
        right = tcl_gradients(*args, **given)
        return dataclasses.replace(right, **{field: getattr(right, field) * (1 + 1e-9)})

    monkeypatch.setattr("tuned_contrastive.reference.agreement.tcl_gradients", wrong)
    given: dict[str, Any] = {"temperature": 0.5, "k1": 3.0, "k2": 2.0, "normalize": normalize}
    x, labels = grid(7, 6, 3) / 4, np.array([0, 0, 1, 1, 1, 2])
    _, _, share = disagreement("tcl", x, labels, reduction=reduction, **given)
    assert share > 10


@pytest.mark.clause("GRD-13")
def test_oracle_hessian_is_the_difference_of_its_gradients() -> None:
    x, labels, step = grid(8, 4, 2), [0, 0, 1, 1], 1e-6
    v: dict[str, Any] = {"embeddings": grid(9, 4, 2), "temperature": 0.3, "k1": 0.5, "k2": -0.2}
    product = oracle.hessian_vector_product(
        "tcl", x, labels, temperature=0.5, k1=3.0, k2=2.0, direction=v
    )
    moved = [
        tcl_gradients(
            x + sign * step * v["embeddings"],
            labels,
            temperature=0.5 + sign * step * 0.3,
            k1=3.0 + sign * step * 0.5,
            k2=2.0 - sign * step * 0.2,
        )
        for sign in (1, -1)
    ]
    difference = (moved[0].embeddings - moved[1].embeddings) / (2 * step)
    np.testing.assert_allclose(product["embeddings"], difference, rtol=1e-6, atol=1e-9)
    k1 = np.array([at.k1 for at in moved], dtype=np.float64)
    np.testing.assert_allclose(product["k1"], (k1[0] - k1[1]) / (2 * step), rtol=1e-6)


@pytest.mark.clause("CNF-6")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_reference_returns_float64(dtype: str) -> None:
    x = grid(3, 2, 3, 2).astype(dtype)
    result = tcl_gradients(x, [0, 0], reduction="none", upstream=np.full((2, 3), 2.0))
    assert result.per_anchor.shape == (2, 3)
    assert {np.asarray(value).dtype for value in vars(result).values()} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(
        result.loss, tcl_loss(x.astype(np.float64), [0, 0], reduction="none")
    )


@pytest.mark.clause("CNF-6")
def test_gradients_are_without_k_for_supcon() -> None:
    result = supcon_gradients(grid(3, 4, 2), [0, 0, 1, 1])
    assert (result.k1, result.k2) == (None, None)


PAIRS = make_pairs(grid(3, 4, 2), [0, 0, 1, 2], normalize=True)
"""Two rows of one class, and two that are no anchor."""


@pytest.mark.clause("CNF-6")
@pytest.mark.parametrize(
    ("result", "field"),
    [
        (PAIRS, "s"),
        (anchor_terms(PAIRS, 0.5, 3.0, 2.0), "losses"),
        (tcl_gradients(grid(3, 4, 2), [0, 0, 1, 2]), "loss"),
        (responses(grid(3, 4, 2), [0, 0, 1, 2]), "tcl"),
    ],
)
def test_results_are_frozen(result: Any, field: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        setattr(result, field, 0.0)


def test_a_row_that_is_no_anchor_has_no_terms() -> None:
    terms = vars(anchor_terms(PAIRS, 0.5, 3.0, 2.0))
    assert [name for name, value in terms.items() if value[2:].any()] == []


def test_a_row_that_is_no_anchor_weighs_nothing() -> None:
    weights = anchor_weights(PAIRS, (4,), "none", [2.0, 3.0, np.inf, 5.0])
    np.testing.assert_array_equal(weights, [2.0, 3.0, 0.0, 0.0])


def test_a_row_that_is_no_anchor_does_not_respond() -> None:
    result = responses(grid(3, 4, 2), [0, 0, 1, 2], k1=3.0, k2=2.0)
    np.testing.assert_array_equal(np.stack([result.supcon, result.tcl])[:, 2:], 0.0)


@pytest.mark.clause("LAW-1")
def test_without_k1_tcl_responds_like_supcon() -> None:
    result = responses(grid(4, 6, 3), [0, 0, 0, 1, 1, 2], temperature=0.5, k1=0.0, k2=1.0)
    np.testing.assert_array_equal(result.tcl, result.supcon)


@pytest.mark.clause("NUM-19")
@pytest.mark.parametrize("name", ["k1", "k2"])
def test_a_weight_may_be_as_large_as_any_number(name: str) -> None:
    x, labels = grid(500, 12, 3), (np.arange(12) > 1).astype(np.int64)
    given = {"temperature": 0.5, "k1": 3.0, "k2": 1.0, name: 3 * 2.0**1022}
    _, _, share = disagreement("tcl", x, labels, upstream=2.0, **given)
    assert share <= 1


@pytest.mark.clause("NUM-10")
def test_an_infinite_product_of_a_row_with_itself_changes_nothing() -> None:
    x, labels = np.eye(4), [0, 0, 1, 1]
    given: dict[str, Any] = {"temperature": 0.5, "normalize": False}
    ordinary = tcl_gradients(x, labels, **given)
    long = tcl_gradients(x * [[1e200], [1.0], [1.0], [1.0]], labels, **given)
    assert (long.loss, long.temperature) == (ordinary.loss, ordinary.temperature)


@pytest.mark.clause("NUM-11")
@pytest.mark.parametrize("sign", [1, -1])
def test_infinities_of_both_signs_add_up_to_that_of_the_larger(sign: int) -> None:
    x, labels = np.array([[1.0], [-1.0], [0.9], [-0.9]]), [0, 0, 1, 1]
    found = tcl_gradients(
        x, labels, temperature=1e-3, k1=0.0, k2=0.0, normalize=False, reduction="none",
        upstream=sign * np.array([1.0, 0.0, -1000.0, 0.0]),  # times e^1900 and e^1710
    )  # fmt: skip
    assert found.k2 == sign * np.inf


@pytest.mark.clause("NUM-11")
@pytest.mark.parametrize(
    ("name", "T", "length", "weight"),
    [("k1", 1e3, 30.0, 1e-100), ("k2", 1.9 / 715, 1.0, 1e-10)],  # times e^900, e^715
)
def test_a_small_weight_brings_back_a_term_that_overflows(
    name: str, T: float, length: float, weight: float
) -> None:
    x, labels = length * np.array([[1.0], [-1.0], [0.9], [-0.9]]), [0, 0, 1, 1]
    given: dict[str, Any] = {
        "temperature": T, "k1": 0.0, "k2": 0.0, "normalize": False, "reduction": "none",
        "upstream": np.array([weight, 0.0, 0.0, 0.0]),
    }  # fmt: skip
    exact = getattr(oracle.evaluate("tcl", x, labels, **given), name)
    found = getattr(tcl_gradients(x, labels, **given), name)
    assert found == pytest.approx(float(exact), rel=1e-10)


@pytest.mark.clause("SUP-2")
def test_a_row_of_the_smallest_norm_is_not_zero() -> None:
    x, labels = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 2.0]]), [0, 0, 1, 1]
    short = x * [[1e-12], [1.0], [1.0], [1.0]]  # the norm of a row with one entry is exact
    assert tcl_loss(short, labels) == tcl_loss(x, labels)


@pytest.mark.clause("INP-16")
def test_the_range_of_a_scalar_array_is_checked() -> None:
    with pytest.raises(ValueError, match=r"temperature must be finite and > 0, got -1\.0"):
        tcl_loss(grid(3, 4, 2), [0, 0, 1, 1], temperature=np.array(-1.0))


@pytest.mark.parametrize("upstream", [[1.0, 2.0], [[1.0]]])
def test_upstream_of_another_shape_is_refused(upstream: Any) -> None:
    x = grid(3, 4, 2)
    with pytest.raises(ValueError, match=r"upstream must have shape \(\) or \(4,\), got"):
        tcl_gradients(x, [0, 0, 1, 1], reduction="none", upstream=upstream)


@pytest.mark.clause("LAW-13")
@pytest.mark.clause("LAW-15")
def test_responses_cross_at_the_crossover() -> None:
    x, labels = grid(4, 6, 3), [0, 0, 0, 1, 1, 2]
    at = responses(x, labels, temperature=0.5, k1=3.0)
    crossed = responses(x, labels, temperature=0.5, k1=3.0, k2=at.crossover[0])
    anchor = at.negatives[0]
    np.testing.assert_allclose(crossed.tcl[0, anchor], crossed.supcon[0, anchor], rtol=1e-13)
    assert (at.tcl < at.supcon)[at.positives].all()
    assert np.isnan(at.crossover[5])
