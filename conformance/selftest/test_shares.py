"""The bounds are neither padded nor short: what our own implementations use of them (section 9)."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tuned_contrastive.conformance import ledger
from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.protocol import DTYPES
from tuned_contrastive.conformance.run import run

QUANTITIES = ("loss", "per_anchor", "embeddings", "temperature", "k1", "k2")
FRAMEWORKS = ("torch", "tensorflow", "jax")
HALVES = ("bfloat16", "float16")
BANDED = [("numpy", "float64", quantity) for quantity in QUANTITIES]
BANDED += [
    (target, dtype, quantity)
    for target in FRAMEWORKS
    for dtype in DTYPES
    for quantity in QUANTITIES
    if not (dtype in HALVES and quantity == "embeddings")
]


@cache
def shares(target: str) -> Any:
    """Return the worst share per dtype and quantity over the vectors, all of which cite these."""
    words = [sys.executable, "-m", "tuned_contrastive.conformance", target]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        only = ["--clause", "NUM-14", "--clause", "NUM-15", "--json", str(file)]
        subprocess.run([*words, *only], check=True, capture_output=True)
        return json.loads(file.read_text(encoding="utf-8"))["results"][0]["shares"]


@pytest.mark.clause("CNF-8")
def test_shares_of_the_reference_are_in_the_band() -> None:
    found = run(NumpyReference(), clauses={"NUM-14", "NUM-15"}).shares
    assert all(0.02 <= share <= 0.5 for share in found["float64"].values())


@pytest.mark.clause("CNF-8")
@pytest.mark.parametrize(("target", "dtype", "quantity"), BANDED)
def test_share_is_between_a_fiftieth_and_a_half(target: str, dtype: str, quantity: str) -> None:
    assert 0.02 <= shares(target)[dtype][quantity] <= 0.5


@pytest.mark.parametrize("target", ["numpy", *FRAMEWORKS])
def test_no_share_exceeds_the_ledger(target: str) -> None:
    assert ledger.exceeded(target, shares(target)) == []


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("target", FRAMEWORKS)
def test_stored_half_rows_use_their_rounding(target: str, dtype: str) -> None:
    assert 0.5 <= shares(target)[dtype]["embeddings"] <= 1
