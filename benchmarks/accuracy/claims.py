"""The words of the claims: what was run for each, its tables, its figure, what they support."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuned_contrastive.benchmarks.accuracy.findings import Comparison
from tuned_contrastive.benchmarks.accuracy.names import TITLES
from tuned_contrastive.benchmarks.accuracy.page import NARROW, OWN_SCALES
from tuned_contrastive.benchmarks.accuracy.plan import Plan
from tuned_contrastive.benchmarks.accuracy.tables import counted, points
from tuned_contrastive.benchmarks.accuracy.tuning import BASE, defaults
from tuned_contrastive.benchmarks.response import tables
from tuned_contrastive.benchmarks.response.style import number, pairs_of, parameters_of


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


def responses(at: str, positive: Mapping[str, Any], negative: Mapping[str, Any]) -> str:
    """Return the section on the claims that are no matter of accuracy.

    Parameters
    ----------
    at : str
        The folder of the figures of responses, seen from the page.
    positive, negative : mapping
        The arrays of the figures of one positive and of one negative.
    """
    return f"""
## Claims 2 and 3: gradient responses

Not a matter of accuracy: `python -m tuned_contrastive.benchmarks response --output DIR` draws them.
Both tables show figures 1 and 2 of [the page of responses]({at}/README.md) at four similarities:
dl_i/ds_ij of one pair of an anchor with {pairs_of(positive["setting"])},
from the reference.

![The response of one positive, from hard to easy]({at}/positive.svg)

A positive, from hard to easy: below 0 it is pulled in, above 0 pushed away
({parameters_of(positive["setting"], "T", "k2")}).

{tables.positive(positive)}
![The response of one negative, from easy to hard]({at}/negative.svg)

A negative, from easy to hard, for several k2 ({parameters_of(negative["setting"], "T", "k1")}).

{tables.negative(negative)}
The page has five figures more, the last of them measured on trained embeddings.

{responses_supported(negative)}
"""


def responses_supported(negative: Mapping[str, Any]) -> str:
    """Return what claims 2 and 3 get from the responses."""
    return (
        "Supported: k1 and k2 set the responses, which the specification proves (LAW-12 to LAW-15):"
        " k1 pulls positives harder, k2 pushes negatives harder, but than SupCon only above "
        f"k2* = {number(negative['crossover'])} on these rows; with the default k2 = 1 TCL pushes "
        "every negative less. Not supported: that such responses are better, for which accuracy "
        "would have to follow (claim 4)."
    )


def with_labels(
    plan: Plan, accuracy: str, compared: str, chosen: str, defaults: str, caveat: str,
    supported: str,
) -> str:  # fmt: skip
    """Return the section on claim 4."""
    seeds, scales = plan.scale.seeds, f" {OWN_SCALES}" * (len(plan.datasets) > 1)
    return f"""
## Claim 4: against SupCon and cross-entropy, with labels

Run: {", ".join(plan.datasets)}; every loss tuned in {plan.scale.trials} runs for each of {seeds}
seeds, then judged once. Accuracy on the test rows, percent; linear probe, mean over {seeds} seeds
(95 % interval, {NARROW}).

{accuracy}
![Accuracies on test rows](results/supervised.svg)

The same numbers, without cross-entropy's own classifier: test accuracy after tuning, mean over
{seeds} seeds; bars are 95 % intervals, {NARROW}.{scales}

Differences, paired by seed.

{compared}
What tuning chose, the three most frequent choices of every loss.

{chosen}
{caveat}

Without tuning, every loss with its defaults, on the **validation** rows.

{defaults}
{supported}
"""


def stability(plan: Plan, means: str, moved: str, around: str, supported: str) -> str:
    """Return the section on claim 5."""
    scale, given = plan.scale, defaults("tcl")
    return f"""
## Claim 5: stability over hyper-parameters

Run: digits, {scale.sweep_seeds} seeds, one parameter at a time away from the defaults (T =
{given["temperature"]:g}, k1 = {given["k1"]:g}, k2 = {given["k2"]:g}, learning rate
{BASE["learning_rate"]:g}, {BASE["batch_size"]:g} rows, {counted(scale.epochs, "epoch")},
{BASE["embedding"]:g} dimensions), accuracy on the **validation** rows: the test rows are not
touched. The same rows choose the regularisation of the probe. SupCon has neither k1 nor k2: its
line there is the default. Epochs are fixed, steps are not: smaller batches make more of them. Batch
sizes are those that the rows were really cut into.

![Accuracy over each parameter](results/sweeps.svg)

Validation accuracy, mean over {scale.sweep_seeds} seeds, everything else at the defaults; the band
is the 95 % interval, {NARROW}. The dotted line
marks the default.

{means}
How far a loss moves is the standard deviation, in points, of its mean accuracy over the values, its
square less what the scatter of the seeds alone gives: of a flat curve, however noisy, the square is
0 on average (0.0 is shown where it is below). In brackets: what scatter alone gives, and the p of
the F test that all values are alike, which takes scatter to be alike at all of them. The squares of
two losses are compared by the jackknife over seeds. Scatter counts as in all differences here, by
Nadeau and Bengio. {around}

{moved}
{supported}
"""


METHODS = {
    "simclr-3-views": "With three views, too, our SupCon tells what a third brings without TCL.",
    "ntxent": "NT-Xent of pytorch-metric-learning has the values of our SupCon with views (a test "
    "compares them), and takes over its tuning.",
    "vicreg": "VICReg is pytorch-metric-learning's.",
    "barlow-twins": "Barlow Twins is written from its paper.",
    "simsiam": "SimSiam is written from its paper, but for its predictor's learning rate, which "
    "falls with the rest here and is kept fixed there.",
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


def frameworks(table: str, compared: str, supported: str, seeds: int) -> str:
    """Return the section on the three frameworks."""
    return f"""
## In more than one framework

Run: after the README's example, in float32 and in shuffled batches of 128 everywhere; digits, split
as above, a fully connected encoder 64-64-16, Adam 1e-3, the loss with its defaults; a logistic
regression on the encoder's outputs; test rows, percent, mean over the same {seeds} seeds (95 %
interval, {NARROW}).

{table}
The frameworks differ in more than the loss. Each draws its first weights as its example in the
README does (PyTorch's default: uniform, by the inputs of a layer; that of Keras: Glorot's uniform,
biases 0; JAX, which has none: normal, by the inputs), from its own generator; JAX has no biases.
Of 897 rows, PyTorch and Keras take the last one as a batch of its own in every epoch, without an
anchor, JAX drops it.

{supported}

Differences, paired by seed.

{compared}"""


def _said(compared: Comparison) -> str:
    if not compared.difference.side:
        return f"no difference is claimed ({points(compared.difference)} points)"
    more = "more" if compared.difference.side > 0 else "less"
    return f"labels bring {abs(100 * compared.difference.mean):.1f} points {more}"
