"""How far accuracy moves with a parameter, on curves that are drawn here."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tuned_contrastive.benchmarks.accuracy.movement import (
    Movement,
    movement,
    movement_difference,
)

SHARE = 0.4
"""Rows that judge over rows that train, as in the sweeps."""
SHARED = SHARE / (1 + SHARE)
"""The correlation of two seeds that the variance of Nadeau and Bengio is made for."""
DRAWN = 400
Table = NDArray[np.float64]


def drawn(rng: np.random.Generator, noise: float, slope: float, shared: float) -> Movement:
    """Return the movement of a line over 5 values with the noise of 5 seeds, in points."""
    own, common = rng.normal(size=(5, 5)), rng.normal(size=(5, 1))
    scatter = noise * (np.sqrt(1 - shared) * own + np.sqrt(shared) * common)
    line = slope * np.linspace(-0.5, 0.5, 5)[:, None]
    return movement((98 + line + rng.normal(size=5) + scatter).tolist(), SHARE)


def claimed(first: tuple[float, float], second: tuple[float, float], shared: float) -> list[int]:
    """Return which of two losses, each of a noise and a slope, is said to move more."""
    rng = np.random.default_rng(0)
    pairs = [(drawn(rng, *first, shared), drawn(rng, *second, shared)) for _ in range(DRAWN)]
    return [movement_difference(a, b, SHARE).side for a, b in pairs]


@pytest.mark.parametrize("shared", [0.0, SHARED])
@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_a_noisier_loss_is_not_said_to_move_more(slope: float, shared: float) -> None:
    sides = claimed((0.7, slope), (0.2, slope), shared)
    assert 1 - sides.count(0) / DRAWN <= 0.05


@pytest.mark.parametrize("shared", [0.0, SHARED])
def test_a_slope_is_found_beside_a_flat_line(shared: float) -> None:
    assert claimed((0.3, 3.0), (0.3, 0.0), shared).count(1) / DRAWN > 0.8
    assert claimed((0.3, 0.0), (0.3, 3.0), shared).count(-1) / DRAWN > 0.8


def test_dependence_is_claimed_of_flat_lines_as_often_as_its_level() -> None:
    rng = np.random.default_rng(0)
    p = [drawn(rng, 0.7, 0.0, SHARED).p for _ in range(DRAWN)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07
    assert drawn(rng, 0.7, 3.0, SHARED).p < 0.01


def test_variance_is_that_of_the_line_on_average() -> None:
    rng = np.random.default_rng(0)
    found = [drawn(rng, 0.7, 3.0, SHARED) for _ in range(DRAWN)]
    error = np.std([each.variance for each in found]) / np.sqrt(DRAWN)
    expected = np.var(3 * np.linspace(-0.5, 0.5, 5), ddof=1)
    assert np.mean([each.variance for each in found]) == pytest.approx(expected, abs=3 * error)
    assert np.mean([each.by_seed for each in found]) == pytest.approx(
        np.mean([each.variance for each in found])
    )


def test_p_without_shared_rows_is_that_of_two_way_analysis() -> None:
    table: Table = np.random.default_rng(1).normal(size=(4, 6))
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    between, within = 6 * table.mean(1).var(ddof=1), np.square(rest).sum() / (3 * 5)
    found = movement(table.tolist(), 0.0)
    assert found.p == pytest.approx(stats.f.sf(between / within, 3, 15))
    assert found.by_scatter == pytest.approx(within / 6)
    assert found.variance == pytest.approx((between - within) / 6)


def test_a_line_without_scatter_shows_no_dependence() -> None:
    assert movement([[0.5] * 5, [0.5] * 5], SHARE).p == 1


def test_two_seeds_leave_no_interval() -> None:
    pair = [movement([[0.5, 0.6], [0.7, 0.9]], SHARE), movement([[0.5, 0.5], [0.5, 0.6]], SHARE)]
    found = movement_difference(pair[0], pair[1], SHARE)
    assert (found.side, found.p, found.high) == (0, 1, np.inf)
