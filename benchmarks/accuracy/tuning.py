"""What tuning tries: every loss with its defaults, then with as many draws from its ranges."""

import numpy as np

from tuned_contrastive.benchmarks.accuracy.names import CROSS_ENTROPY, UNTRAINED
from tuned_contrastive.spec import contract

Parameters = dict[str, float]
BASE: Parameters = {"learning_rate": 0.1, "batch_size": 64, "embedding": 64}
OWN: dict[str, Parameters] = {
    "temperature": {"temperature": contract.TEMPERATURE},
    "tcl": {"temperature": contract.TEMPERATURE, "k1": contract.K1, "k2": contract.K2},
    CROSS_ENTROPY: {"smoothing": 0.0},
    "vicreg": {"learning_rate": 0.01, "covariance": 1.0},
    "barlow-twins": {"learning_rate": 0.01, "redundancy": 5e-3},
    "simsiam": {},
    UNTRAINED: {},
}
"""What the losses have beside it in their first tuning run; "temperature" is all others."""

RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0.01, 1.0),
    "temperature": (0.05, 1.0),
    "k1": (1.0, 1e5),
    "k2": (1.0, 10.0),
    "covariance": (0.1, 10.0),
    "redundancy": (5e-4, 5e-2),
}
"""From which tuning draws, evenly in the logarithm."""
MOST_SMOOTHING = 0.2
SCALED_DOWN = {"vicreg": 0.1, "barlow-twins": 0.1}
"""Of the learning rates' range: the values of these losses are tens of times the others'."""


def defaults(loss: str) -> Parameters:
    """Return the parameters of a loss's first tuning run."""
    kind = "tcl" if loss.startswith("tcl") else loss
    return {**BASE, **OWN.get(kind, OWN["temperature"])}


def trials(loss: str, count: int) -> list[Parameters]:
    """Return the defaults, then draws that cover every range evenly; the same for all data sets.

    Losses that share a parameter share its draws, scaled to their range.
    """
    first = defaults(loss)
    rng = np.random.default_rng(0)
    drawn = {
        name: (rng.permutation(count - 1) + rng.random(count - 1)) / (count - 1)
        for name in (*RANGES, "smoothing")
    }
    names = [name for name in first if name in drawn]
    return [
        first,
        *(
            {**first, **{name: _at(loss, name, drawn[name][k]) for name in names}}
            for k in range(count - 1)
        ),
    ]


def _at(loss: str, name: str, share: float) -> float:
    """Return the value at a share of a range, to three digits."""
    if name == "smoothing":
        return round(MOST_SMOOTHING * share, 3)
    low, high = RANGES[name]
    value = low * (high / low) ** share
    value *= SCALED_DOWN.get(loss, 1.0) if name == "learning_rate" else 1.0
    return float(f"{value:.3g}")
