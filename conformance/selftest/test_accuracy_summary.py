"""What the page says of a claim, whichever way the numbers come out."""

from dataclasses import replace

import pytest

from tuned_contrastive.benchmarks.accuracy import caveats, summary, tables
from tuned_contrastive.benchmarks.accuracy.findings import Comparison
from tuned_contrastive.benchmarks.accuracy.movement import Movement
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
         "difference."),
        ([OPEN], "Not claimed: 1 of 1 difference."),
        ([Interval(0.2, 0.1, 0.3, 0.04), OPEN], "TCL above SupCon on wine, +20.0 (+10.0 to +30.0) "
         "points. Not claimed: 1 of 2 differences. Holm's correction over all 2 leaves none."),
    ],
)  # fmt: skip
def test_sides(differences: list[Interval], told: str) -> None:
    assert summary.sides([against(each) for each in differences]) == told


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "Supported in 1 of 1 comparison only: that TCL is more accurate."),
        (BELOW, "Not supported: that TCL is more accurate than they are."),
        (OPEN, "Nor does an interval that includes 0 show that losses are equal."),
    ],
)
def test_more_accurate(difference: Interval, told: str) -> None:
    assert told in summary.more_accurate([against(difference), against(ABOVE, UNTRAINED)])


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "SupCon is above TCL on none of 1 data set, below on 1."),
        (BELOW, "SupCon is above TCL on 1 of 1 data set."),
        (OPEN, "SupCon is above TCL on none of 1 data set."),
    ],
)
def test_with_defaults(difference: Interval, told: str) -> None:
    assert summary.with_defaults([against(difference)]).endswith(told)


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (
            ABOVE,
            "TCL moves more; k: no difference claimed (Holm's correction over all 2 leaves 1).",
        ),
        (
            BELOW,
            "TCL moves less; k: no difference claimed (Holm's correction over all 2 leaves 1).",
        ),
        (OPEN, "no difference claimed; k: no difference claimed. "),
    ],
)
def test_told_moves(difference: Interval, told: str) -> None:
    found = {"epochs": difference, "k": OPEN}
    said = summary.told_moves(found, {"k1": moved(0.02)}, "It does.")
    assert told in said
    assert said.endswith(" It does. How far TCL moves with its own, in points: "
                         "k1: 3.0 (scatter 4.0; p = 0.020).")  # fmt: skip


def moved(p: float, seeds: int = 5) -> Movement:
    """Return a movement by 3 points, where scatter gives 4."""
    return Movement(0.03**2, 0.04**2, p, (0.03**2,) * seeds)


def test_dependence_is_told_where_correction_leaves_it() -> None:
    p = {("tcl", "k1"): 0.001, ("tcl", "learning_rate"): 0.02, ("supcon", "learning_rate"): 0.03}
    found = {key: moved(value) for key, value in p.items()}
    assert summary.dependence(found) == (
        "By F tests, after Holm's correction over all 3: TCL's accuracy depends on k1 and "
        "learning rate; SupCon's accuracy depends on learning rate."
    )
    fourth = {**found, ("supcon", "epochs"): moved(0.9)}
    assert summary.dependence(fourth) == (
        "By F tests, after Holm's correction over all 4: TCL's accuracy depends on k1; "
        "SupCon's accuracy depends on none."
    )


def test_few_seeds_show_no_dependence() -> None:
    assert summary.dependence({("tcl", "k1"): moved(0.0, 4)}).endswith("depends on none.")


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
         "SupCon's over 1 of the 2 parameters that both have, more over none (Holm's correction "
         "over all 2 leaves 1); for k1"),
        (ABOVE, "Not supported: that TCL is the more stable. Its accuracy moves less than "
         "SupCon's over none of the 2 parameters that both have, more over 1 (Holm's correction "
         "over all 2 leaves 1); for k1"),
        (OPEN, "Not supported: that TCL is the more stable. Its accuracy moves less than "
         "SupCon's over none of the 2 parameters that both have, more over none; for k1"),
    ],
)  # fmt: skip
def test_more_stable(difference: Interval, told: str) -> None:
    assert summary.more_stable({"epochs": difference, "k": OPEN}).startswith(told)


@pytest.mark.parametrize(
    ("p", "told"),
    [(0.02, "| TCL above SupCon |"), (0.03, "| TCL above SupCon (not after Holm) |")],
)
def test_a_claim_that_correction_does_not_leave_says_so(p: float, told: str) -> None:
    found = [against(Interval(0.2, 0.1, 0.3, p)), against(OPEN)]
    lines = tables.comparisons(found).splitlines()
    assert lines[2].endswith(told)
    assert lines[3].endswith("| no difference claimed |")


def test_losses_are_named_beside_the_untrained_encoder() -> None:
    found = [
        replace(against(difference, UNTRAINED), first=first)
        for first, difference in (("simsiam", ABOVE), ("vicreg", BELOW), ("simclr", OPEN))
    ]
    assert caveats.beside_untrained(found, "linear") == (
        "By linear probe on wine, of 3 trained losses above the untrained encoder, by paired "
        "intervals: SimSiam; below: VICReg (pytorch-metric-learning) (Holm's correction over all 3 "
        "leaves 2); lower means, claimed or not: 1."
    )


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        (ABOVE, "above another method in 1 of 1 comparison and below in none. Supported in "
         "1 of 1 comparison only: that it is better."),
        (BELOW, "above another method in none of 1 comparison and below in 1. Not "
         "supported: that it is on par, or better."),
    ],
)  # fmt: skip
def test_on_par(difference: Interval, told: str) -> None:
    assert summary.on_par([against(difference, "vicreg"), against(ABOVE, UNTRAINED)]).endswith(told)


def test_frameworks_that_are_apart_are_told() -> None:
    found = {"supcon": [ABOVE, BELOW], "tcl": [ABOVE, OPEN]}
    assert summary.overlap(found) == "Not supported for SupCon: that the frameworks are alike."
