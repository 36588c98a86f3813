"""How far accuracy moves with a parameter, after the scatter of the seeds is taken out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tuned_contrastive.benchmarks.accuracy.statistics import (
    NO_SCATTER,
    Interval,
    paired_interval,
)

LEAST_JACKKNIFED = 3
"""Seeds: with one left out, two have to remain for their scatter."""


@dataclass(frozen=True)
class Movement:
    """The variance of a loss's mean accuracy over the values of a parameter."""

    variance: float
    """Less `by_scatter`: 0 on average for a flat curve, however noisy, and so below 0 at times."""
    by_scatter: float
    """The variance that the scatter of the seeds alone gives to the mean accuracy."""
    p: float
    """Of the F test whether accuracy depends on the parameter at all."""
    by_seed: tuple[float, ...]
    """The jackknife's pseudo-values of `variance`, whose mean it is; empty for two seeds."""


def movement(accuracies: Sequence[Sequence[float]], judged_over_trained: float) -> Movement:
    """Return how far the mean over seeds moves over the values of a parameter.

    What a seed has on average over the values is taken from it first. The scatter that is left
    gives the mean over n seeds (1/n + judged rows/training rows) times its own variance, as in
    `paired_interval` and for its reason.

    Parameters
    ----------
    accuracies : sequence of sequence of float
        For each value of the parameter those of the seeds, two or more.
    judged_over_trained : float
        Rows that are judged over rows that train.

    Examples
    --------
    >>> found = movement([[0.5, 0.7, 0.6], [0.7, 0.9, 0.8]], 0.4)
    >>> round(found.variance, 3), found.by_scatter < 1e-30
    (0.02, True)
    """
    table = np.asarray(accuracies)
    values, seeds = table.shape
    variance, by_scatter = _variances(table, judged_over_trained)
    p = 1.0
    if by_scatter > NO_SCATTER**2:
        ratio = (variance + by_scatter) / by_scatter
        p = float(stats.f.sf(ratio, values - 1, (values - 1) * (seeds - 1)))
    by_seed: list[float] = []
    if seeds >= LEAST_JACKKNIFED:
        for seed in range(seeds):
            rest, _ = _variances(np.delete(table, seed, axis=1), judged_over_trained)
            by_seed.append(seeds * variance - (seeds - 1) * rest)
    return Movement(variance, by_scatter, p, tuple(by_seed))


def movement_difference(first: Movement, second: Movement, judged_over_trained: float) -> Interval:
    """Return the first variance less the second, with the interval of their pseudo-values.

    The jackknife keeps what the losses share of a seed, and asks for no equal scatter.

    References
    ----------
    J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
    Statistics 29, 1958.
    """
    if not first.by_seed:
        difference = first.variance - second.variance
        return Interval(difference, float("-inf"), float("inf"), 1.0, LEAST_JACKKNIFED - 1)
    return paired_interval(first.by_seed, second.by_seed, judged_over_trained)


def _variances(table: NDArray[np.float64], judged_over_trained: float) -> tuple[float, float]:
    """Return the variance of the mean curve less what scatter gives, and the latter."""
    values, seeds = table.shape
    curves = table - table.mean(0)  # (values, seeds)
    curve = curves.mean(1, keepdims=True)
    scatter = np.square(curves - curve).sum() / ((values - 1) * (seeds - 1))
    by_scatter = float((1 / seeds + judged_over_trained) * scatter)
    return float(np.square(curve).sum() / (values - 1)) - by_scatter, by_scatter
