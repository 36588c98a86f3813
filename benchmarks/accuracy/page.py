"""The words of ``RESULTS.md`` around its tables: what was run, and what it can support."""

from collections.abc import Mapping, Sequence

from tuned_contrastive.benchmarks.accuracy import data, views
from tuned_contrastive.benchmarks.accuracy.findings import Comparison, Findings
from tuned_contrastive.benchmarks.accuracy.names import TITLES
from tuned_contrastive.benchmarks.accuracy.plan import SWEPT, Plan
from tuned_contrastive.benchmarks.accuracy.tables import points, verdict

OPENING = """# The paper's claims about accuracy, checked

Written by `python -m tuned_contrastive.benchmarks accuracy` from the records in
[`results/runs.jsonl`](results/runs.jsonl), one line a run; the same command goes on where it was
stopped, and writes this page again. Claims are numbered as in the abstract of the paper
(C. Animesh and M. Chandraker, "Tuned Contrastive Learning", WACV 2025): 1, 4, 5 and 6 are about
accuracy. A difference is claimed only where its 95 % interval, paired by seed, excludes 0.
"""
CLAIMS_2_3 = """
## Claims 2 and 3: gradient responses

Not a matter of accuracy: `python -m tuned_contrastive.benchmarks response` draws them. The
embeddings of the validation rows of digits, seed 0, with the defaults of each loss and before
training, are in `results/embeddings`; what they do to their pairs is
the last figure of [the page of responses](../results/response/README.md).
"""
LIMITS = """
## What none of this can support

The encoders have two hidden layers of 128 units, the images 8 x 8 pixels, the tables some hundred
rows. The paper's networks are ResNets and its data CIFAR-10, CIFAR-100, Fashion-MNIST and
ImageNet-100: nothing here confirms or refutes its numbers there. Those files are read with
`--datasets cifar10 cifar100 fashion-mnist --data DIR`; none was run for this page.
"""


def origin(findings: Findings) -> str:
    """Return where and how long it ran."""
    count = len(findings.records)
    hours = sum(record["seconds"] for record in findings.records) / 3600
    lines = [f"{count} runs, {hours:.2f} hours of one core in all."]
    for where in findings.environments[-1:]:
        versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        lines.append(
            f"{where['date']}, {where['cpu']}, {where['processes']} processes of one thread, "
            f"Python {where['python']}, {versions}."
        )
    return " ".join(lines) + "\n"


def how(plan: Plan) -> str:
    """Return the protocol, the same for every loss."""
    scale = plan.scale
    shares = (1 - data.TEST - data.VALIDATION, data.VALIDATION, data.TEST)
    split = "{:.0%} training, {:.0%} validation, {:.0%} test".format(*shares)
    noise = f"noise of {views.PIXEL_NOISE:g} of the range of a pixel"
    return f"""## How it was run

- Protocol of the paper's code: an encoder with a projection head, two augmented views of a row
  (three where the loss says so), contrastive training by SGD with momentum 0.9, weight decay 1e-4
  and a learning rate that falls to 0 by a half cosine, batches of 64 rows; then the head is dropped
  and a linear classifier is fitted to the frozen encoder's outputs for the training rows, without
  views. The paper's classifier is trained by SGD for 50 epochs; this one is a logistic regression,
  whose regularisation the validation rows choose among four. Cross-entropy has a linear classifier
  in the head's place, and is judged by the same probe, and by that classifier beside it.
- Digits are moved by up to {views.SHIFT:g} of their side, rotated by up to 15 degrees, and get
  {noise}; in tables {views.MASKED:.0%} of the features are masked and the
  others get noise of {views.TABLE_NOISE:g} of the spread over the training rows.
- {scale.epochs} epochs, or as many as make {scale.steps} steps. The same encoder, views, batches
  and epochs for every loss; a third view costs half as much again in time.
- Each of the {scale.seeds} seeds splits the rows anew ({split}),
  and gives the weights at the start, the same for every loss.
- Tuning: {scale.trials} runs for every loss, data set and seed. The first has the defaults, the
  others are drawn once for all data sets (learning rate and temperature the same for the losses
  that have them; k1 in 1 to 1e5, k2 in 1 to 10). The best by the probe on the validation rows is
  run once more, and that run alone sees the test rows. The labels of the validation rows choose in
  the self-supervised setting, too.
- The interval of a mean is Student's over seeds. Seeds share rows, so a paired difference gets the
  variance of Nadeau and Bengio (2003), (1/n + judging rows/training rows) times that of the
  differences; the training rows are counted before any are left out. At 95 %, one interval in
  twenty misses what it estimates: of as many comparisons as stand here, single ones may.
"""


def claim_1(compared: str, found: Sequence[Comparison]) -> str:
    """Return the section on many positives."""
    said = " ".join(f"{TITLES[each.first]}: {_said(each)}." for each in found)
    return f"""
## Claim 1: many positives and many negatives for an anchor

Run: the same loss on the same rows, with labels (a batch of 64 rows of ten classes and two views
has 13.6 positives for an anchor on average) and without (one positive). The probe has all labels in
both cases.

{compared}
{said}

That the loss takes any number of positives is a matter of its definition, which the
conformance suite judges; this table shows what more positives, and the labels they carry, bring on
this data. It does not separate the two.
"""


def claim_4(accuracy: str, compared: str, chosen: str, defaults: str) -> str:
    """Return the section on supervised accuracy."""
    return f"""
## Claim 4: against SupCon and cross-entropy, with labels

Accuracy on the test rows, percent, after tuning; linear probe, mean over seeds (95 % interval).

{accuracy}
![Accuracies on test rows](results/supervised.svg)

Differences, paired by seed.

{compared}
What tuning chose for TCL, the three most frequent choices.

{chosen}
Without tuning, every loss with its defaults, on the **validation** rows.

{defaults}"""


def claim_5(means: str, spreads: str) -> str:
    """Return the section on stability."""
    return f"""
## Claim 5: stability over hyper-parameters

Run: digits, one parameter at a time away from the defaults (T = 0.1, k1 = 5000, k2 = 1, learning
rate 0.1, 64 rows, 30 epochs, 64 dimensions), accuracy on the **validation** rows: the test rows are
not touched. SupCon has neither k1 nor k2: its line there is the default.

![Accuracy over each parameter](results/sweeps.svg)

{means}
How far a seed's accuracy moves, best value less worst, in points: mean (95 % interval).

{spreads}"""


def claim_6(linear: str, neighbours: str, first: str, second: str) -> str:
    """Return the section on training without labels."""
    return f"""
## Claim 6: without labels, against self-supervised methods

Run: digits, labels seen by the probe and by tuning only. "Our SupCon, 3 views" tells what a third
view brings without TCL. NT-Xent of pytorch-metric-learning has the values of our SupCon with views
(a test compares them), and takes over its tuning. VICReg is pytorch-metric-learning's; Barlow Twins
and SimSiam are written from their papers.

{linear}
{neighbours}
![Accuracies on test rows](results/self-supervised.svg)

Linear probe, differences paired by seed.

{first}
Nearest neighbours.

{second}
"On par" would need a margin set beforehand, and none was: the intervals say which differences
remain possible."""


def frameworks(table: str, overlaps: Sequence[str]) -> str:
    """Return the section on the three frameworks."""
    lines = "\n".join(f"- {line}" for line in overlaps)
    return f"""
## In more than one framework

Run: the README's example, digits, a fully connected encoder 64-64-16, Adam 1e-3, batches of 128,
the loss with its defaults, each framework with its own weights at the start; a logistic regression
on the encoder's outputs; test rows, percent, mean over the same seeds (95 % interval).

{table}
{lines}
"""


def summary(said: Sequence[str]) -> str:
    """Return the list of what is supported and what is not."""
    return "## In short\n\n" + "".join(f"- {line}\n" for line in said)


def sides(claim: str, found: Sequence[Comparison]) -> str:
    """Return where which loss is above the other, and how many differences are not claimed."""
    if not found:
        return ""
    claimed: dict[str, list[str]] = {}
    for each in found:
        if each.difference.excludes_zero:
            lead = each.difference if each.difference.low > 0 else each.difference.reversed
            told = f"{each.dataset}, {points(lead)} points"
            claimed.setdefault(verdict(each), []).append(told)
    said = [f"{what} on {'; '.join(where)}" for what, where in claimed.items()]
    rest = sum(not each.difference.excludes_zero for each in found)
    return f"{claim}. {'. '.join([*said, f'Not claimed: {rest} of {len(found)} differences'])}."


def told_moves(verdicts: Mapping[str, str]) -> str:
    """Return over which parameters the accuracy of one loss moves more than the other's."""
    told = "; ".join(f"{name.replace('_', ' ')}: {what}" for name, what in verdicts.items())
    names = " and ".join(TITLES[loss] for loss in SWEPT)
    return f"Claim 5, how far accuracy of {names} moves with a parameter. {told}."


def _said(compared: Comparison) -> str:
    if not compared.difference.excludes_zero:
        return f"no difference is claimed ({points(compared.difference)} points)"
    more = "more" if compared.difference.low > 0 else "less"
    return f"labels bring {abs(100 * compared.difference.mean):.1f} points {more}"
