"""The ledger of our own targets: the worst share of the allowed error that each has used.

A share that more than doubles fails a run until ``--acknowledge`` writes it down.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from tuned_contrastive.conformance.writing import write_text

FILE = Path(__file__).with_name("ledger.json")
GROWTH = 2.0
HOW = "(--acknowledge records it)"
"""How every sentence of `exceeded` ends."""

Shares = Mapping[str, Mapping[str, float]]
"""By dtype and quantity."""


def load() -> dict[str, Shares]:
    """Return the recorded shares by target."""
    found: dict[str, Shares] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def exceeded(target: str, shares: Shares) -> list[str]:
    """Return a sentence for each share that more than doubled, or that nobody has recorded."""
    recorded = load().get(target, {})
    told = []
    for dtype, quantities in shares.items():
        for quantity, share in quantities.items():
            known = recorded.get(dtype, {}).get(quantity)
            if known is None:
                told.append(f"{dtype} {quantity} uses {share:.3g} and is not recorded")
            elif share > GROWTH * known:
                told.append(f"{dtype} {quantity} uses {share:.3g}, recorded is {known:.3g}")
    return [f"{target}: {line} {HOW}" for line in told]


def acknowledge(target: str, shares: Shares) -> None:
    """Write the shares of a target down."""
    rounded = {
        dtype: {quantity: float(f"{share:.3g}") for quantity, share in quantities.items()}
        for dtype, quantities in shares.items()
    }
    found = load() | {target: rounded}
    write_text(FILE, json.dumps(found, indent=1) + "\n")
