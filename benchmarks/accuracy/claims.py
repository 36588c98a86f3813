"""The words of the claims about accuracy: what was run for each, its tables, its figure."""

from collections.abc import Sequence

from tuned_contrastive.benchmarks.accuracy.findings import Comparison
from tuned_contrastive.benchmarks.accuracy.names import TITLES
from tuned_contrastive.benchmarks.accuracy.page import NARROW
from tuned_contrastive.benchmarks.accuracy.plan import Plan
from tuned_contrastive.benchmarks.accuracy.tables import points
from tuned_contrastive.benchmarks.accuracy.tuning import BASE, defaults


def many_positives(
    positives: str, compared: str, found: Sequence[Comparison], figure: str, supported: str
) -> str:
    """Return the section on claim 1."""
    said = " ".join(f"{TITLES[each.first]}: {_said(each)}." for each in found)
    return f"""
## Claim 1: many positives and many negatives for an anchor

Run: the same loss on the same rows, with labels ({positives}) and without (one positive), each
tuned for itself. The probe has all labels in both cases.

{compared}
{said}

![The share of the k1 term over batch size, positives and temperature]({figure})

What more positives and negatives do to TCL's denominator, on chosen rows; the page of responses has
their settings.

That the loss takes any number of positives is a matter of its definition, which the
conformance suite judges; this table shows what more positives, and the labels they carry, bring on
this data. It does not separate the two. {supported}
"""


def with_labels(
    plan: Plan, accuracy: str, compared: str, chosen: str, defaults: str, caveat: str,
    supported: str,
) -> str:  # fmt: skip
    """Return the section on claim 4."""
    seeds = plan.scale.seeds
    return f"""
## Claim 4: against SupCon and cross-entropy, with labels

Run: {", ".join(plan.datasets)}; every loss tuned in {plan.scale.trials} runs for each of {seeds}
seeds, then judged once. Accuracy on the test rows, percent; linear probe, mean over {seeds} seeds
(95 % interval, {NARROW}).

{accuracy}
![Accuracies on test rows](results/supervised.svg)

The same numbers: test accuracy after tuning, mean over {seeds} seeds; bars are 95 % intervals,
{NARROW}.

Differences, paired by seed.

{compared}
What tuning chose, the three most frequent choices of every loss.

{chosen}
{caveat}

Without tuning, every loss with its defaults, on the **validation** rows.

{defaults}
{supported}
"""


def stability(plan: Plan, means: str, spreads: str, around: str, supported: str) -> str:
    """Return the section on claim 5."""
    scale, given = plan.scale, defaults("tcl")
    return f"""
## Claim 5: stability over hyper-parameters

Run: digits, {scale.sweep_seeds} seeds, one parameter at a time away from the defaults (T =
{given["temperature"]:g}, k1 = {given["k1"]:g}, k2 = {given["k2"]:g}, learning rate
{BASE["learning_rate"]:g}, {BASE["batch_size"]:g} rows, {scale.epochs} epochs,
{BASE["embedding"]:g} dimensions), accuracy on the **validation** rows: the test rows are not
touched. The same rows choose the regularisation of the probe. SupCon has neither k1 nor k2: its
line there is the default. Epochs are fixed, steps are not: smaller batches make more of them. Batch
sizes are those that the rows were really cut into.

![Accuracy over each parameter](results/sweeps.svg)

Validation accuracy, mean over {scale.sweep_seeds} seeds, everything else at the defaults; the band
is the 95 % interval, {NARROW}.

{means}
How far a seed's accuracy moves, best value less worst, in points: mean (95 % interval,
{NARROW}). {around}

{spreads}
{supported}
"""


METHODS = {
    "simclr-3-views": "With three views, too, our SupCon tells what a third brings without TCL.",
    "ntxent": "NT-Xent of pytorch-metric-learning has the values of our SupCon with views (a test "
    "compares them), and takes over its tuning.",
    "vicreg": "VICReg is pytorch-metric-learning's.",
    "barlow-twins": "Barlow Twins is written from its paper.",
    "simsiam": "SimSiam is written from its paper.",
}
"""What is to say of a loss without labels, where it was run."""


def without_labels(
    plan: Plan,
    datasets: Sequence[str],
    tables: tuple[str, str],
    differences: tuple[str, str],
    chosen: str,
    untrained: str,
    supported: str,
) -> str:
    """Return the section on claim 6; tables and differences by linear probe, then by neighbours."""
    seeds = plan.scale.seeds
    return f"""
## Claim 6: without labels, against self-supervised methods

Run: {", ".join(datasets)}, labels seen by the probe and by tuning only.
{" ".join(told for loss, told in METHODS.items() if loss in plan.losses)} Neighbours are
judged with the parameters that the linear probe chose, and all losses train {BASE["embedding"]:g}
dimensions in batches of about {BASE["batch_size"]:g} rows, where several of these
methods were made for thousands.

Test accuracy, percent, mean over {seeds} seeds (95 % interval, {NARROW}).

{tables[0]}
{tables[1]}
![Accuracies on test rows](results/self-supervised.svg)

The same numbers: mean over {seeds} seeds, bars are 95 % intervals, {NARROW}.

Linear probe, differences paired by seed.

{differences[0]}
Nearest neighbours, by the cosine of the encoder's outputs as they are.

{differences[1]}
{untrained}

What tuning chose, the three most frequent choices of every loss.

{chosen}
"On par" would need a margin set beforehand, and none was: the intervals say which differences
remain possible. {supported}
"""


def _said(compared: Comparison) -> str:
    if not compared.difference.excludes_zero:
        return f"no difference is claimed ({points(compared.difference)} points)"
    more = "more" if compared.difference.low > 0 else "less"
    return f"labels bring {abs(100 * compared.difference.mean):.1f} points {more}"
