"""The share of what cannot be compared is infinite, and says why in the report."""

from typing import Any

import numpy as np
import pytest

from tuned_contrastive.conformance.judge import rows_share, value_share
from tuned_contrastive.conformance.suite.laws import strictly_positive

NAN, INF = np.nan, np.inf
BOUND = np.ones(2)


@pytest.mark.parametrize(
    ("got", "exact", "why"),
    [
        (None, [1.0, 2.0], "must have shape (2,), got None"),
        ([1.0], [1.0, 2.0], "must have shape (2,), got (1,)"),
        ([1.0, 2.5], [1.0, NAN], "must be nan, got 2.5"),
        ([NAN, 2.5], [1.0, 2.5], "must be finite, got nan"),
        ([-INF, 2.5], [1.0, 2.5], "must be finite, got -inf"),
        ([1.0, 2.5], [1.0, INF], "must be inf, got 2.5"),
    ],
)
def test_why_numbers_cannot_be_compared(got: Any, exact: list[float], why: str) -> None:
    given = None if got is None else np.array(got)
    share = value_share(given, np.array(exact), BOUND, "float64")
    assert (share, getattr(share, "why", "")) == (INF, why)


def test_why_rows_cannot_be_compared() -> None:
    share = rows_share(np.ones((2, 3)), np.ones((2, 4)), BOUND, "float64")
    assert getattr(share, "why", "") == "must have shape (2, 4), got (2, 3)"


def test_what_does_not_grow_is_told() -> None:
    share = strictly_positive(np.zeros(1), np.ones(1), np.full(1, 1e-9))
    assert (share, getattr(share, "why", "")) == (INF, "must be above 0 everywhere, and is not")
