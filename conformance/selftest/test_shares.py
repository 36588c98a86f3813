"""The bounds are neither padded nor short: what our own implementations use of them (section 9)."""

from functools import cache

import pytest

from tuned_contrastive.conformance.protocol import DTYPES
from tuned_contrastive.conformance.run import run
from tuned_contrastive.conformance.targets import load_target

QUANTITIES = ("loss", "per_anchor", "embeddings", "temperature", "k1", "k2")
STORED_HALF = [(dtype, "embeddings") for dtype in ("bfloat16", "float16")]
BANDED = [("numpy", "float64", quantity) for quantity in QUANTITIES]
BANDED += [
    ("torch", dtype, quantity)
    for dtype in DTYPES
    for quantity in QUANTITIES
    if (dtype, quantity) not in STORED_HALF
]


@cache
def shares(target: str) -> dict[str, dict[str, float]]:
    """Return the worst share per dtype and quantity over the vectors, all of which cite these."""
    return run(load_target(target), clauses={"NUM-14", "NUM-15"}).shares


@pytest.mark.parametrize(("target", "dtype", "quantity"), BANDED)
def test_share_is_between_a_fiftieth_and_a_half(target: str, dtype: str, quantity: str) -> None:
    assert 0.02 <= shares(target)[dtype][quantity] <= 0.5


@pytest.mark.parametrize(("dtype", "quantity"), STORED_HALF)
def test_stored_half_rows_use_their_rounding(dtype: str, quantity: str) -> None:
    assert 0.5 <= shares("torch")[dtype][quantity] <= 1
