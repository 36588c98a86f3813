"""Means over seeds with their intervals, and differences of losses, paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.95
LEAST_SEEDS = 5
"""With fewer nothing is claimed: an interval of two may miss by as much as it is wide."""
NO_SCATTER = 1e-9
"""Standard deviations below are rounding: accuracies are counts over some hundred rows."""


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval at `LEVEL`."""

    mean: float
    low: float
    high: float
    p: float = math.nan
    """Of a difference: the two-sided p value of the t test that its interval is of."""

    seeds: int = LEAST_SEEDS

    @property
    def side(self) -> int:
        """Return 1 or -1, the sign of a difference that may be claimed, or 0 for any other."""
        is_claimed = self.seeds >= LEAST_SEEDS
        return is_claimed * ((self.low > 0) - (self.high < 0))

    @property
    def reversed(self) -> "Interval":
        """Return the difference the other way round."""
        return Interval(-self.mean, -self.high, -self.low, self.p, self.seeds)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean over seeds and Student's interval; infinite for one value."""
    return _interval(values, 1 / len(values))


def paired_interval(
    first: Sequence[float], second: Sequence[float], test_over_train: float
) -> Interval:
    """Return the mean of `first - second`, seed by seed, with its interval and p value.

    Seeds split the same rows, so that their training rows overlap and differences are correlated:
    the variance of the mean is (1/n + test rows/training rows) times that of the differences, not
    1/n times. Without it, differences are claimed too often. Equal differences that are not 0 tell
    nothing of their variance: their interval is infinite.

    Parameters
    ----------
    first, second : sequence of float
        Accuracies of two losses, in the same order of seeds.
    test_over_train : float
        Rows that are judged over rows that train; 0 gives the plain paired t interval.

    Raises
    ------
    ValueError
        Where the lengths differ.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> paired_interval([0.9, 0.8, 0.9, 0.7, 0.8], [0.6, 0.6, 0.6, 0.5, 0.5], 0.6).side
    1
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    share = 1 / len(differences) + test_over_train
    found = _interval(differences, share)
    if len(differences) < 2:
        return replace(found, p=1.0)
    spread = float(np.std(differences, ddof=1))
    if spread < NO_SCATTER:
        if abs(found.mean) > NO_SCATTER:
            found = replace(found, low=-math.inf, high=math.inf)
        return replace(found, p=1.0)
    error = spread * math.sqrt(share)
    return replace(found, p=float(2 * stats.t.sf(abs(found.mean) / error, len(differences) - 1)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values that hold for all of a family together, in the order given.

    References
    ----------
    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.5, 0.125, 0.25])
    [0.5, 0.375, 0.5]
    """
    adjusted, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = least
    return adjusted


def _interval(values: Sequence[float], share: float) -> Interval:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf, seeds=len(values))
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    half = quantile * float(np.std(values, ddof=1)) * math.sqrt(share)
    return Interval(mean, mean - half, mean + half, seeds=len(values))
