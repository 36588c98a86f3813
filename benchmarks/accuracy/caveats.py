"""What the runs do not vary or choose well, in sentences computed from plan and records."""

from collections.abc import Collection

import numpy as np

from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.findings import PARTS, Findings
from tuned_contrastive.benchmarks.accuracy.names import UNTRAINED
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
    """Return how far TCL's default lies below its best k1, around which spreads are taken."""
    values = findings.plan.scale.sweeps["k1"]
    means = {k1: float(np.mean(each)) for k1, each in
             zip(values, findings.swept("tcl", "k1"), strict=True)}  # fmt: skip
    best, default = max(means, key=lambda k1: means[k1]), defaults("tcl")["k1"]
    return (
        "Some of a best less a worst is chance, the more the noisier a loss is, and no interval "
        "here tells how much. Spreads are taken around unequal points: at "
        f"k1 = {best:g}, the best of {len(means)} on these very rows, TCL's mean is "
        f"{100 * (means[best] - means[default]):.1f} points above that of its default, "
        f"k1 = {default:g}: what is judged is how stable the defaults are."
    )


def beside_untrained(findings: Findings, setting: str, kind: str) -> str:
    """Return how many losses are below and above the encoder that nothing trained."""
    said = []
    for dataset in findings.datasets(setting):
        losses = findings.losses(setting)
        if UNTRAINED not in losses:
            continue
        found = [
            findings.compare(setting, dataset, loss, UNTRAINED, kind).difference
            for loss in losses
            if loss != UNTRAINED
        ]
        below, above = sum(each.high < 0 for each in found), sum(each.low > 0 for each in found)
        said.append(
            f"by {PARTS[kind]} on {dataset}, of {len(found)} trained losses {below or 'none'} "
            f"below the untrained encoder and {above or 'none'} above it, by paired intervals; "
            f"lower means, claimed or not: {sum(each.mean < 0 for each in found) or 'none'}"
        )
    return f"{'; '.join(said).capitalize()}." if said else ""
