"""Rows of extreme length, classes of unequal size, the temperature's last bits: one test each.

Each shows in batches that losses of pairs take, too, or apart from what else a loss does to large
classes (SUP-2, SUP-8, NUM-1, NUM-7).
"""

import numpy as np
import pytest

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.suite.definitions import (
    COLD,
    FULL,
    PAIRS,
    UNIT,
    batch,
    same_share,
)

HALF = {"temperature": 0.5}
BELOW, SHORT = 2.0**-43, 2.0**-37
"""Norms of 1.1e-13 and 7.3e-12: the one is no row, the other is one like any (SUP-2, NUM-7)."""
LONG = {
    "squares": {"float64": 2.0**600, "float32": 2.0**100},
    "norm": {"float64": 1.5 * 2.0**1023, "float32": 1.5 * 2.0**127},
}
"""Entries by what of their row overflows; the second are near the end of the range."""


@pytest.mark.clause("SUP-2")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, parameters={**HALF, "normalize": True})
def test_row_below_the_smallest_norm_is_zero(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    scale = np.array([[BELOW], [1.0], [1.0], [1.0]])
    short = batch(implementation, loss, scale * UNIT, PAIRS, **HALF)
    zero = short.with_rows((scale > BELOW) * UNIT)
    accept(same_share(implementation, zero, short, dtype))


@pytest.mark.clause("NUM-7")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, parameters={**HALF, "normalize": True})
def test_short_row_has_its_direction(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    unit = batch(implementation, loss, UNIT, PAIRS, **HALF)
    accept(same_share(implementation, unit, unit.with_rows(SHORT * UNIT), dtype))


@pytest.mark.clause("NUM-7")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, parameters={**HALF, "normalize": True})
@pytest.mark.parametrize("overflows", list(LONG))
def test_long_row_has_its_direction(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, overflows: str
) -> None:
    unit = batch(implementation, loss, UNIT, PAIRS, **HALF)
    rows = LONG[overflows][dtype] * (2 * UNIT)
    accept(same_share(implementation, unit, unit.with_rows(rows), dtype))


@pytest.mark.clause("SUP-8")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "mean", "temperature": COLD})
def test_row_of_a_large_class_weighs_no_more(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Rows that each coincide with a negative lose the same; of four, then five, two lose nothing.

    Their class has two rows, then three. All else is too far away to be seen.
    """
    given = {"temperature": COLD, "reduction": "mean"}
    e = np.eye(4)
    of_two = batch(implementation, loss, e[[0, 1, 3, 3, 0, 1]], [0, 0, 1, 1, 2, 3], **given)
    of_three = of_two.with_rows(e[[0, 1, 2, 3, 3, 0, 1, 2]], np.array([0, 0, 0, 1, 1, 2, 3, 4]))
    accept(same_share(implementation, of_two, of_three, dtype, times=1.2))


@pytest.mark.clause("NUM-1")
@pytest.mark.needs(dtypes=("float64",), flat=True, pairs=True, free=("temperature",))
def test_temperature_has_all_its_bits(
    implementation: Implementation, loss: str, dtype: str
) -> None:
    """0.3 and the number of float32 next to it are two temperatures, whatever the loss is."""
    call = batch(implementation, loss, UNIT, PAIRS, temperature=0.3)
    near = call.with_parameters(temperature=float(np.float32(0.3)))
    one, other = (implementation.loss(c.case(dtype)).loss for c in (call, near))
    assert one != other, "the loss at 0.3 must differ from that at the float32 beside it"
