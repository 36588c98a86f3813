"""What is supported and what is not, claim by claim, in sentences counted from the comparisons."""

from collections.abc import Mapping, Sequence

from tuned_contrastive.benchmarks.accuracy.findings import Comparison
from tuned_contrastive.benchmarks.accuracy.movement import Movement
from tuned_contrastive.benchmarks.accuracy.names import TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import SWEPT
from tuned_contrastive.benchmarks.accuracy.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Interval,
    holm,
)
from tuned_contrastive.benchmarks.accuracy.tables import counted, move, moves, points, verdict
from tuned_contrastive.spec import contract


def in_short(said: Sequence[str]) -> str:
    """Return the list of what is supported and what is not."""
    return "## In short\n\n" + "".join(f"- {line}\n" for line in said)


def sides(found: Sequence[Comparison]) -> str:
    """Return where which loss is above the other, and how many differences are not claimed.

    And how many of those that are Holm's correction leaves.
    """
    claimed: dict[str, list[str]] = {}
    for each in found:
        if each.difference.side:
            lead = each.difference if each.difference.side > 0 else each.difference.reversed
            told = f"{each.dataset}, {points(lead)} points"
            claimed.setdefault(verdict(each), []).append(told)
    said = [f"{what} on {'; '.join(where)}" for what, where in claimed.items()]
    rest = sum(not each.difference.side for each in found)
    said.append(f"Not claimed: {rest} of {counted(len(found), 'difference')}")
    if rest < len(found):
        said.append(corrected([each.difference for each in found]))
    return f"{'. '.join(filter(None, said))}."


def corrected(found: Sequence[Interval]) -> str:
    """Return how many of some differences may be claimed together; nothing of a single one."""
    together = zip(found, holm([each.p for each in found]), strict=True)
    left = sum(each.side != 0 and p < 1 - LEVEL for each, p in together)
    told = f"Holm's correction over all {len(found)} leaves {left or 'none'}"
    return told if len(found) > 1 else ""


def rivals(found: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with other losses, not with TCL itself or the untrained encoder."""
    own = (UNTRAINED, "tcl-2-views", "tcl-3-views")
    return [each for each in found if each.second not in own]


def with_untrained(found: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with the untrained encoder."""
    return [each for each in found if each.second == UNTRAINED]


def tally(found: Sequence[Comparison]) -> str:
    """Return in how many comparisons the first is above, and in how many below."""
    if not found:
        return ""
    ours, theirs = (
        " or ".join(dict.fromkeys(TITLES[name] for name in names))
        for names in zip(*((each.first, each.second) for each in found), strict=True)
    )
    above, below = _claimed(found)
    told = f"{ours} is above {theirs} in {_of(above, found)}"
    return f"{told}, below in {below or 'none'}{_corrected(found)}."


def with_defaults(found: Sequence[Comparison]) -> str:
    """Return on how many data sets each rival is above or below TCL, both with their defaults."""
    said = []
    for rival in dict.fromkeys(each.second for each in found):
        own = [each for each in found if each.second == rival]
        above, below = _claimed(own)
        told = f"{TITLES[rival]} is above TCL on {_of(below, own, 'data set')}"
        said.append(told + f", below on {above}" * bool(above))
    told = "; ".join(said) + _corrected(found)
    where = "on the validation rows, which choose the probe's regularisation, too"
    return f"With the library's defaults (k1 = {contract.K1:g}), {where}: {told}." if said else ""


def more_positives(found: Sequence[Comparison]) -> str:
    """Return what claim 1 gets from the runs."""
    helped = [TITLES[each.first] for each in found if each.difference.side > 0]
    rest = (
        "that it is the number of positives, and not the labels, that helps. Not judged: the "
        "number of negatives."
    )
    if not helped:
        return f"Not supported: that labels, and with them more positives, help; nor {rest}"
    told = " and ".join(dict.fromkeys(helped))
    return (
        f"Supported: labels, and with them more positives, help {told} here{_corrected(found)}. "
        f"Not supported: {rest}"
    )


def more_accurate(found: Sequence[Comparison]) -> str:
    """Return what claim 4 gets from the runs."""
    others = rivals(found)
    above, _ = _claimed(others)
    if above:
        told = f"Supported in {_of(above, others)} only: that TCL is more accurate."
    else:
        told = (
            "Not supported: that TCL is more accurate than they are. "
            "Nor does an interval that includes 0 show that losses are equal."
        )
    return f"{tally(others)} {told}"


def more_stable(differences: Mapping[str, Interval]) -> str:
    """Return what claim 5 gets from the differences of movements, TCL's less SupCon's."""
    sides = [each.side for each in differences.values()]
    less, more = sides.count(-1), sides.count(1)
    verb = "Supported for those" if less else "Not supported"
    return (
        f"{verb}: that TCL is the more stable. Its accuracy moves less than SupCon's over "
        f"{less or 'none'} of the {counted(len(sides), 'parameter')} that both have, more over "
        f"{more or 'none'}{_left(list(differences.values()))}; for k1 and k2 there is nothing to "
        "compare with. Where no difference is claimed, none is excluded."
    )


def on_par(found: Sequence[Comparison]) -> str:
    """Return what claim 6 gets from the runs, the untrained encoder apart."""
    others = rivals(found)
    above, below = _claimed(others)
    told = "Not supported: that it is on par, or better."
    if above:
        told = f"Supported in {_of(above, others)} only: that it is better."
    return (
        f"By linear probe TCL is above another method in {_of(above, others)} and below in "
        f"{below or 'none'}{_twice(others)}{_corrected(others)}. {told}"
    )


def _twice(found: Sequence[Comparison]) -> str:
    names = {each.second for each in found}
    return ", the two implementations of SimCLR counted as two" * ({"simclr", "ntxent"} <= names)


def told_moves(
    differences: Mapping[str, Interval], own: Mapping[str, Movement], depends: str
) -> str:
    """Return over which parameters one loss moves more, and how far TCL's own move it.

    Parameters
    ----------
    differences : mapping
        By parameter that both losses have, TCL's movement less SupCon's.
    own : mapping
        Of TCL, by parameter that SupCon has not.
    depends : str
        As `dependence` returns it.
    """
    told = "; ".join(
        f"{name.replace('_', ' ')}: {moves(each)}" for name, each in differences.items()
    )
    names = " and ".join(TITLES[loss] for loss in SWEPT)
    alone = ", ".join(f"{name}: {move(each)}" for name, each in own.items())
    return (
        f"How far accuracy of {names} moves with a parameter, each around its default: {told}"
        f"{_left(list(differences.values()))}. {depends} "
        f"How far TCL moves with its own, in points: {alone}."
    )


def dependence(found: Mapping[tuple[str, str], Movement]) -> str:
    """Return on which parameters accuracy depends at all, by loss and parameter."""
    adjusted = holm([each.p for each in found.values()])
    together = dict(zip(found, adjusted, strict=True))
    said = []
    for loss in dict.fromkeys(loss for loss, _ in found):
        names = [
            name.replace("_", " ")
            for (of, name), p in together.items()
            if of == loss and p < 1 - LEVEL and len(found[of, name].by_seed) >= LEAST_SEEDS
        ]
        said.append(f"{TITLES[loss]}'s accuracy depends on {' and '.join(names) or 'none'}")
    told = "; ".join(said)
    return f"By F tests, after Holm's correction over all {len(found)}: {told}."


def overlap(found: Mapping[str, Sequence[Interval]]) -> str:
    """Return whether the intervals of the frameworks overlap, loss by loss."""
    apart = [
        TITLES[loss]
        for loss, intervals in found.items()
        if max(each.low for each in intervals) > min(each.high for each in intervals)
    ]
    if apart:
        return f"Not supported for {' and '.join(apart)}: that the frameworks are alike."
    return "The intervals of the frameworks overlap for every loss, which does not show equality."


def _corrected(found: Sequence[Comparison]) -> str:
    return _left([each.difference for each in found])


def _left(found: Sequence[Interval]) -> str:
    """Return what correction leaves of the claimed ones, in brackets; nothing where none is."""
    told = corrected(found)
    return f" ({told})" if told and any(each.side for each in found) else ""


def _claimed(found: Sequence[Comparison]) -> tuple[int, int]:
    sides = [each.difference.side for each in found]
    return sides.count(1), sides.count(-1)


def _of(count: int, found: Sequence[Comparison], of: str = "comparison") -> str:
    return f"{count or 'none'} of {counted(len(found), of)}"
