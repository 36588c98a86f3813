"""What the page says of a claim, whichever way the numbers come out."""

import pytest

from tuned_contrastive.benchmarks.accuracy import summary
from tuned_contrastive.benchmarks.accuracy.findings import Comparison
from tuned_contrastive.benchmarks.accuracy.names import UNTRAINED
from tuned_contrastive.benchmarks.accuracy.statistics import Interval

ABOVE, BELOW, OPEN = (
    Interval(0.2, 0.1, 0.3, 0.01),
    Interval(-0.2, -0.3, -0.1, 0.01),
    Interval(0.1, -0.1, 0.3, 0.5),
)


def against(difference: Interval, second: str = "supcon") -> Comparison:
    """Return TCL against another loss on wine."""
    return Comparison("tcl", second, "wine", difference, 7, 3)


@pytest.mark.parametrize(
    ("differences", "told"),
    [
        ([ABOVE, OPEN], "TCL above SupCon on wine, +20.0 (+10.0 to +30.0) points. Not claimed: "
         "1 of 2 differences. Holm's correction over all 2 leaves 1."),
        ([BELOW], "SupCon above TCL on wine, +20.0 (+10.0 to +30.0) points. Not claimed: 0 of 1 "
         "differences. Holm's correction over all 1 leaves 1."),
        ([OPEN], "Not claimed: 1 of 1 differences."),
        ([Interval(0.2, 0.1, 0.3, 0.04), OPEN], "TCL above SupCon on wine, +20.0 (+10.0 to +30.0) "
         "points. Not claimed: 1 of 2 differences. Holm's correction over all 2 leaves none."),
    ],
)  # fmt: skip
def test_sides(differences: list[Interval], told: str) -> None:
    assert summary.sides([against(each) for each in differences]) == told


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "Supported in 1 of 1 comparisons only: that TCL is more accurate."),
        (BELOW, "Not supported: that TCL is more accurate than they are."),
        (OPEN, "Nor does an interval that includes 0 show that losses are equal."),
    ],
)
def test_more_accurate(difference: Interval, told: str) -> None:
    assert told in summary.more_accurate([against(difference), against(ABOVE, UNTRAINED)])


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "SupCon is above TCL on none of 1 data sets, below on 1 "
         "(Holm's correction over all 1 leaves 1)."),
        (BELOW, "SupCon is above TCL on 1 of 1 data sets (Holm's correction over all 1 leaves 1)."),
        (OPEN, "SupCon is above TCL on none of 1 data sets."),
    ],
)  # fmt: skip
def test_with_defaults(difference: Interval, told: str) -> None:
    assert summary.with_defaults([against(difference)]).endswith(told)


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "TCL moves more (Holm's correction over all 1 leaves 1). TCL's own move it: k1"),
        (BELOW, "TCL moves less (Holm's correction over all 1 leaves 1). TCL's own move it: k1"),
        (OPEN, "no difference claimed (Holm's correction over all 1 leaves none). TCL's own"),
    ],
)
def test_told_moves(difference: Interval, told: str) -> None:
    assert told in summary.told_moves({"epochs": difference}, {"k1": ABOVE})


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "Supported: labels, and with them more positives, help TCL here."),
        (BELOW, "Not supported: that labels, and with them more positives, help;"),
        (OPEN, "Not supported: that labels, and with them more positives, help;"),
    ],
)
def test_more_positives(difference: Interval, told: str) -> None:
    said = summary.more_positives([against(difference, "tcl-2-views")])
    assert said.startswith(told)
    assert said.endswith("Not judged: the number of negatives.")


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (BELOW, "Supported for those: that TCL is the more stable. Its accuracy moves less than "
         "SupCon's over 1 of the 1 parameters that both have, more over none;"),
        (ABOVE, "Not supported: that TCL is the more stable. Its accuracy moves less than "
         "SupCon's over none of the 1 parameters that both have, more over 1;"),
    ],
)  # fmt: skip
def test_more_stable(difference: Interval, told: str) -> None:
    assert summary.more_stable({"epochs": difference}).startswith(told)


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "above another method in 1 of 1 comparisons and below in none of 1. Supported in "
         "1 of 1 comparisons only: that it is better."),
        (BELOW, "above another method in none of 1 comparisons and below in 1 of 1. Not "
         "supported: that it is on par, or better."),
    ],
)  # fmt: skip
def test_on_par(difference: Interval, told: str) -> None:
    assert summary.on_par([against(difference, "vicreg"), against(ABOVE, UNTRAINED)]).endswith(told)


def test_frameworks_that_are_apart_are_told() -> None:
    found = {"supcon": [ABOVE, BELOW], "tcl": [ABOVE, OPEN]}
    assert summary.overlap(found) == "Not supported for SupCon: that the frameworks are alike."
