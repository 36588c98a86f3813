"""The words of ``RESULTS.md`` around its tables: what was run, and what it can support."""

from tuned_contrastive.benchmarks.accuracy import data, views
from tuned_contrastive.benchmarks.accuracy.files import SOURCES
from tuned_contrastive.benchmarks.accuracy.findings import Findings
from tuned_contrastive.benchmarks.accuracy.names import TITLES
from tuned_contrastive.benchmarks.accuracy.plan import FULL, Plan
from tuned_contrastive.benchmarks.accuracy.statistics import LEAST_SEEDS
from tuned_contrastive.benchmarks.accuracy.tables import counted
from tuned_contrastive.benchmarks.accuracy.tuning import MOST_SMOOTHING, RANGES, SCALED_DOWN

TITLE = "# The paper's claims about accuracy, checked\n"
OPENING = """Written by `python -m tuned_contrastive.benchmarks accuracy` from the records in
[`results/runs.jsonl`](results/runs.jsonl), one line a run; the same command goes on where it was
stopped, and writes this page again. Claims are numbered as in the abstract of the paper
(C. Animesh and M. Chandraker, "Tuned Contrastive Learning", WACV 2025): 1, 4, 5 and 6 are about
accuracy. A difference is claimed only where its 95 % interval, paired by seed, excludes 0, and with
5 seeds or more.
"""
NARROW = "over these draws of the same rows; too narrow for new rows"
"""What the interval of a single mean is worth, under every table and figure that shows one."""

OWN_SCALES = "Each panel has a scale of its own."
"""Under a figure of differences or accuracies with panels of several data sets."""

ALTERED = """Only the training rows of the digits with few labels, with imbalance and with noise are
altered: their validation and test rows stay complete, balanced and clean. So tuning sees more
labels than training does with few labels, and better ones than the probe with noise. For a seed
all kinds of digits have the same validation and test rows: they are no independent evidence.
"""

GIVEN_UP = """ The rule was settled after results had been seen: a narrower one, with the rows that
  were drawn from in the place of those that train, had claimed five differences more, and was
  given up."""
ROUNDING = """- Rounding grows in training. An earlier run of the same plan, of 2026-11-25, had
  kernels of SupCon and TCL that differ in the last bits. With equal parameters only the losses that
  are made of these differ, by up to 3.1 points of validation and 1.9 points of test accuracy; 26 of
  the 260 tuned runs that count had chosen other parameters; mean differences moved by up to 0.4
  points, and 6 of the 85 paired intervals of this page to the other side of excluding 0. One that
  ends near 0 says little.
"""
"""Of the whole only, compared once with the records that these have replaced."""


def opening(plan: Plan) -> str:
    """Return the title, and that a page of few seeds or short trainings supports nothing."""
    scale = plan.scale
    if scale.seeds >= LEAST_SEEDS and scale.epochs >= FULL.epochs:
        return f"{TITLE}\n{OPENING}"
    few = f"{counted(scale.seeds, 'seed')}, {counted(scale.epochs, 'epoch')}"
    told = f"This page shows that the command works, and supports nothing ({few})."
    return f"{TITLE}\n{told}\n\n{OPENING}"


def is_whole(plan: Plan) -> bool:
    """Return whether a plan is the one whose results are known, not a part of it or another."""
    return plan == Plan(FULL, FULL.datasets)


def origin(findings: Findings) -> str:
    """Return where and how long it ran."""
    count = len(findings.records)
    hours = sum(record["seconds"] for record in findings.records) / 3600
    lines = [f"{counted(count, 'run')}, {hours:.2f} hours summed over them, without start-up."]
    for where in findings.environments:
        versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        at = f", at {where['revision']}" if where.get("revision") else ", at an unrecorded revision"
        lines.append(
            f"From {where['date']}: {where['cpu']}, {where['processes']} processes of one thread "
            f"(one for the runs in three frameworks), Python {where['python']}, {versions}{at}."
        )
    return " ".join(lines) + "\n"


def how(findings: Findings) -> str:
    """Return the protocol, the same for every loss."""
    plan, scale = findings.plan, findings.plan.scale
    given_up, rounding = (GIVEN_UP, ROUNDING) if is_whole(plan) else ("", "")
    epochs = counted(scale.epochs, "epoch")
    noise = f"noise of {views.PIXEL_NOISE:g} of the range of a pixel"
    return f"""## How it was run

- Protocol of the paper's code: an encoder with a projection head, two augmented views of a row
  (three where the loss says so), contrastive training by SGD with momentum 0.9, weight decay 1e-4
  and a learning rate that falls to 0 by a half cosine, batches of about 64 rows (the table below
  has their true sizes); then the head is dropped and a linear classifier is fitted to the frozen
  encoder's outputs for the training rows, without views. The paper's classifier is trained by SGD
  for 50 epochs; this one is a logistic regression, whose regularisation the validation rows choose
  among four. Cross-entropy has a linear classifier in the head's place, and is judged by the same
  probe, and by that classifier beside it.
- Images are moved by up to {views.SHIFT:g} of their side, rotated by up to 15 degrees, and get
  {noise}; in tables {views.MASKED:.0%} of the features are masked and the
  others get noise of {views.TABLE_NOISE:g} of the spread over the training rows.
- {epochs} (the paper's code: 100), or as many as make {scale.steps} steps. Every loss
  has the same encoder, kind of views, size of batches and epochs, but for a third view: half as
  many again to go through the encoder, so that of losses with three views and with two the budget
  is unequal. Batches and
  views are drawn alike, not the same ones, where a loss or its head draws numbers of its own, or a
  third view does.
- Each of the {scale.seeds} seeds splits the rows anew ({_split(plan)}),
  and gives the encoder's weights at the start, the same for every loss.
- Tuning: {scale.trials} runs for every loss{_but_ntxent(plan)}, data set and seed.
  The first has the defaults, the others are drawn once for all data sets and seeds: {_ranges()}.
  Losses share the draws of a parameter that both have. The best by the probe on the validation rows
  is run once more, and that run alone sees the test rows. Of equal ones the first is taken, the
  defaults before all: {_ties(findings)}. The labels of the validation rows choose in the
  self-supervised setting, too, and nothing is chosen by neighbours.
- A training that diverges counts as an accuracy of 0: {findings.diverged()} of the runs did.
- The interval of a mean is Student's over seeds: {NARROW}.
- Seeds share rows, so a paired difference gets the variance of Nadeau and Bengio (2003),
  (1/n + judging rows/training rows) times that of the differences, and the t test of that variance.
  Their argument is for all rows that do not judge training; where rows are left out on purpose (few
  labels, imbalance) the interval is wider than it had to be, and a large difference may stay
  unclaimed.{given_up}
{rounding}- At 95 %, one interval in twenty misses what it estimates, so single ones may. Holm's
  p holds for all lines of a table together; in short, it is taken over the differences counted.
"""


def _ranges() -> str:
    told = [
        f"{name.replace('_', ' ')} in {low:g} to {high:g}" for name, (low, high) in RANGES.items()
    ]
    scaled = [f"{TITLES[loss]} {by:g} times" for loss, by in SCALED_DOWN.items()]
    told[0] += f" ({' and '.join(scaled)} that)"
    smoothing = f"label smoothing of cross-entropy in 0 to {MOST_SMOOTHING:g}, evenly"
    return f"{', '.join(told)}, all evenly in the logarithm; {smoothing}"


def _split(plan: Plan) -> str:
    """Return how rows are split; files have test rows of their own."""
    shares = (1 - data.TEST - data.VALIDATION, data.VALIDATION, data.TEST)
    told = "{:.0%} training, {:.0%} validation, {:.0%} test".format(*shares)
    if any(name in SOURCES for name in plan.datasets):
        told += (
            f"; of files {data.VALIDATION:.0%} of their training rows validate, their test rows "
            "are the same for every seed, and half of the images are mirrored: no interval says "
            "anything of other test rows"
        )
    return told


def _but_ntxent(plan: Plan) -> str:
    """Return the exception from the runs of tuning."""
    return f" but {TITLES['ntxent']}" if "ntxent" in plan.losses else ""


def _ties(findings: Findings) -> str:
    """Return how often tuning had equals to choose from."""
    told = [f"{tied} of {of} choices on {name}" for name, (tied, of) in findings.ties().items()]
    return f"{', '.join(told) or 'no choice'} had equals"


def limits(plan: Plan) -> str:
    """Return what none of the runs can support."""
    from_files = [name for name in plan.datasets if name in SOURCES]
    epochs = counted(plan.scale.epochs, "epoch")
    was_run = "none was run for this page"
    if from_files:
        was_run = f"run for this page: {', '.join(from_files)}"
    return f"""
## What none of this can support

The encoder has two hidden layers of 128 units for digits of 8 x 8 pixels and for tables of some
hundred rows, and three convolutions for larger images. The paper's networks are ResNets and its
data CIFAR-10, CIFAR-100, Fashion-MNIST and ImageNet-100: nothing here confirms or refutes its
numbers there. Those files are read with
`--datasets {" ".join(SOURCES)} --data DIR`; {was_run}.
Trainings are shorter than the paper's, of {epochs} where it has 100, and longer
ones may end in another order.
"""
