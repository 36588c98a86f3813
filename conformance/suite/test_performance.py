"""Memory and time of large calls, measured only where asked for (PRF-1, PRF-2)."""

import pytest

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.performance import large_case, seconds
from tuned_contrastive.conformance.protocol import Implementation, WithPerformance

ROWS = 8192
ALLOWED = (ROWS**2 - (ROWS // 2) ** 2) // 2
"""Bytes from half as many rows on: half of what one mask of all pairs grows by."""

TURNS = 7


@pytest.mark.performance
@pytest.mark.clause("PRF-1")
@pytest.mark.needs(feature="performance", dtype="float32")
def test_memory_holds_no_array_of_all_pairs(
    implementation: WithPerformance, loss: str, accept: Accept
) -> None:
    few, many = (implementation.peak_memory(loss, rows) for rows in (ROWS // 2, ROWS))
    accept(max(0, many - few) / ALLOWED, "the growth of memory with the rows")


@pytest.mark.performance
@pytest.mark.clause("PRF-2")
@pytest.mark.needs(feature="performance", dtype="float32", mode="dense")
def test_tiles_are_no_slower_than_all_pairs(
    implementation: Implementation, loss: str, accept: Accept
) -> None:
    tiled = large_case(loss, ROWS // 2, columns=128)
    dense = large_case(loss, ROWS // 2, columns=128, mode="dense")
    # In turn, so that whatever else the machine does meets both; the first turn is a warm-up.
    pairs = [(seconds(implementation, tiled), seconds(implementation, dense)) for _ in range(TURNS)]
    times = list(zip(*pairs[1:], strict=True))
    accept(min(times[0]) / min(times[1]), "the time by tiles over that of all pairs at once")
