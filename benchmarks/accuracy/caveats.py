"""What the runs do not vary or choose well, in sentences computed from plan and records."""

from collections.abc import Collection, Sequence

import numpy as np

from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.findings import (
    PARTS,
    Comparison,
    Findings,
    judged_over_trained,
)
from tuned_contrastive.benchmarks.accuracy.names import TITLES, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.summary import corrected
from tuned_contrastive.benchmarks.accuracy.tables import counted
from tuned_contrastive.benchmarks.accuracy.tuning import BASE, RANGES, defaults, trials


def positives(datasets: Collection[str]) -> str:
    """Return in words how many positives labels give to an anchor."""
    if "digits" not in datasets:
        return "many positives"
    _, counts = np.unique(load("digits", 0).train.y, return_counts=True)
    rows = counts.sum()
    same_class = (counts * (counts - 1)).sum() / (rows * (rows - 1))
    count = 1 + 2 * (BASE["batch_size"] - 1) * same_class  # two views; of the own row one is left
    size = f"{BASE['batch_size']:g}"
    return f"a batch of {size} digits in two views has {count:.1f} positives for an anchor"


def smallest_k1(findings: Findings) -> str:
    """Return how often tuning chose TCL nearest to SupCon, and what its draws cannot tell."""
    if "tcl" not in findings.losses("supervised"):
        return ""
    draws = trials("tcl", findings.plan.scale.trials)[1:]
    nearest = min(draws, key=lambda each: each["k1"])
    is_lowest = nearest["temperature"] == min(each["temperature"] for each in draws)
    often = []
    for dataset in findings.datasets("supervised"):
        finals = findings.finals("supervised", dataset, "tcl")
        count = sum(each["run"]["parameters"]["k1"] == nearest["k1"] for each in finals)
        if 2 * count >= len(finals):
            often.append(f"{dataset} ({count} of {len(finals)})")
    tuned = [len(RANGES.keys() & defaults(loss).keys()) for loss in ("tcl", "supcon")]
    return (
        f"TCL contains SupCon, at k1 = 0 and k2 = 1, but tuning's range of k1 starts at "
        f"{RANGES['k1'][0]:g}. The draw with the smallest k1, {nearest['k1']:g}, has "
        f"T = {nearest['temperature']:g}{', the smallest T' if is_lowest else ''}; half of the "
        f"seeds or more chose it on: {', '.join(often) or 'no data set'}. "
        f"The {len(draws)} draws cover {tuned[0]} dimensions of TCL, {tuned[1]} of SupCon. They "
        "are one design, the same for all seeds: no interval here covers the choice of it."
    )


def unequal_points(findings: Findings) -> str:
    """Return how far TCL's default lies below its best k1, around which movements are taken."""
    values = findings.plan.scale.sweeps["k1"]
    means = {k1: float(np.mean(each)) for k1, each in
             zip(values, findings.swept("tcl", "k1"), strict=True)}  # fmt: skip
    best, default = max(means, key=lambda k1: means[k1]), defaults("tcl")["k1"]
    return (
        "Movements are taken around unequal points: at "
        f"k1 = {best:g}, the best of {len(means)} on these very rows, TCL's mean is "
        f"{100 * (means[best] - means[default]):.1f} points above that of its default, "
        f"k1 = {default:g}: what is judged is how stable the defaults are."
    )


def few_rows(findings: Findings) -> str:
    """Return what makes the intervals wide where few rows train, and is no scatter of accuracy."""
    if "digits-few" not in findings.datasets("supervised"):
        return ""
    record = findings.finals("supervised", "digits-few", UNTRAINED)[0]
    trained, judged = (record["rows"][part] for part in ("train", "test"))
    seeds, ratio = findings.plan.scale.seeds, judged_over_trained(record, "test")
    return (
        f"On digits-few the intervals are wide by the correction: {judged} rows judge {trained} "
        f"that train, so that the variance of a mean is 1/{seeds} + {judged}/{trained} = "
        f"{1 / seeds + ratio:.1f} times that of the differences.\n"
    )


def beside_untrained(found: Sequence[Comparison], kind: str) -> str:
    """Return which losses are below and above the encoder that nothing trained.

    Parameters
    ----------
    found : sequence of Comparison
        Each loss less the untrained encoder.
    kind : str
        What judges, a key of `PARTS`.
    """
    said = []
    for dataset in dict.fromkeys(each.dataset for each in found):
        own = [each for each in found if each.dataset == dataset]
        differences = [each.difference for each in own]
        above, below = (_named(own, side) for side in (1, -1))
        holm_left = corrected(differences) if any(each.side for each in differences) else ""
        lower = sum(each.mean < 0 for each in differences)
        said.append(
            f"By {PARTS[kind]} on {dataset}, of {counted(len(own), 'trained loss')} above the "
            f"{TITLES[UNTRAINED]}, by paired intervals: {above}; below: {below}"
            f"{f' ({holm_left})' if holm_left else ''}; lower means, claimed or not: "
            f"{lower or 'none'}."
        )
    return " ".join(said)


def _named(found: Sequence[Comparison], side: int) -> str:
    names = [TITLES[each.first] for each in found if each.difference.side == side]
    return " and ".join(names) or "none"
