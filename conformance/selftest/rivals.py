"""Losses that others publish under these names, each as a formula written from its description.

They stand for code that is not installed beside these tests; rivals.toml foresaw where each of them
must differ from the specification, rivals_found.toml has what its run refuted of that, or showed
beyond it. Rows are taken as given or normalised, as the original does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.adapters.two_views import TwoViews
from tuned_contrastive.conformance.protocol import Implementation


def supcontrast(
    embeddings: Tensor,
    labels: Tensor | None = None,
    temperature: float = 0.07,
    base_temperature: float = 0.07,
) -> Tensor:
    """Take (B, V, D) view after view; T/base_temperature, and a mean over all rows."""
    samples, views, _ = embeddings.shape
    classes = (torch.arange(samples) if labels is None else labels).repeat(views)
    rows = embeddings.transpose(0, 1).flatten(0, 1)
    others, positives = _masks(classes)
    logits = _less_its_maximum(rows @ rows.T / temperature)
    log_shares = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    losses = -(log_shares * positives).sum(1) / positives.sum(1).clamp(min=1)
    return (losses * temperature / base_temperature).mean()


def google_research(
    embeddings: Tensor, labels: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """Multiply by T; with one view divide once more by |P|, and keep 0 for a row without any."""
    samples, views, _ = embeddings.shape
    classes = torch.arange(samples) if labels is None else labels
    rows = embeddings.flatten(0, 1)
    others, positives = _masks(classes.repeat_interleave(views))
    logits = _less_its_maximum(rows @ rows.T / temperature)
    log_shares = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    count = positives.sum(1).clamp(min=1)
    losses = -temperature * (log_shares * positives).sum(1) / count
    return (losses / count if views == 1 else losses).mean()


def released_tcl(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    k1: float = 5000.0,
    k2: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Divide each exponential by the denominator of its column, without a maximum."""
    others, positives = _masks(labels)
    s = embeddings @ embeddings.T
    e = (s / temperature).exp()
    D = (e * positives + k1 * (-s).exp() * positives + k2 * e * (others - positives)).sum(1)
    losses = -((e / D).log() * positives).sum(1) / positives.sum(1)
    return {"mean": losses.mean(), "sum": losses.sum()}.get(reduction, losses)


def solo_learn(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Take the logarithm of the positives' share of the sum, over all rows."""
    z = normalize(embeddings)
    others, positives = _masks(labels)
    e = (z @ z.T / temperature).exp()
    return -((e * positives).sum(1) / (e * others).sum(1)).log().mean()


def keras_io(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Classify each row as one of its whole class, itself included."""
    z = normalize(embeddings)
    same = (labels[:, None] == labels).to(z)
    return cross_entropy(z @ z.T / temperature, same / same.sum(1, keepdim=True))


def catalyst(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Take the logarithm of the positives' mean; exp(1/T) is subtracted from whole sums."""
    z = normalize(embeddings)
    same = (labels[:, None] == labels).to(z)
    count = same.sum(1) - 1
    if not count.all():
        raise ValueError("every row must have a positive")
    e, own = (z @ z.T / temperature).exp(), torch.tensor(1 / temperature).to(z).exp()
    near = ((e * same).sum(1) - own) / count
    return ((e.sum(1) - own).log() - near.log()).mean()


def tensorflow_similarity(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Add NT-Xent of the first view's rows and that of the second's."""
    one, two = normalize(first), normalize(second)
    partners, itself = torch.arange(len(one)), torch.eye(len(one), dtype=torch.bool)
    own = [(z @ z.T / temperature).masked_fill(itself, -torch.inf) for z in (one, two)]
    across = one @ two.T / temperature
    return cross_entropy(torch.cat([across, own[0]], 1), partners) + cross_entropy(
        torch.cat([across.T, own[1]], 1), partners
    )


def open_clip(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Classify the rows of one view among those of the other, in both directions.

    The original takes rows that its models have normalised.
    """
    logits = normalize(first) @ normalize(second).T / temperature
    partners = torch.arange(len(logits))
    return (cross_entropy(logits, partners) + cross_entropy(logits.T, partners)) / 2


def lightly(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Classify the rows of both views among all others: NT-Xent."""
    z = torch.cat([normalize(first), normalize(second)])
    itself = torch.eye(len(z), dtype=torch.bool)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    return cross_entropy(logits, torch.arange(len(z)).roll(len(first)))


@dataclass(frozen=True)
class Rival:
    """A formula of labels, and how its rows reach it."""

    function: Callable[..., Tensor]
    loss: str = "supcon"
    views: bool = False
    assume: str = "normalizes"

    def implementation(self) -> Implementation:
        """Return it as something that the suite can judge, in float64."""
        return bare_implementation(
            self.function,
            name=self.function.__name__,
            framework="torch",
            loss=self.loss,
            assume=self.assume,
            views=self.views,
            dtypes=("float64",),
        )


LABELLED = {
    "supcontrast": Rival(supcontrast, views=True, assume="unit-input"),
    "google_research": Rival(google_research, views=True, assume="unit-input"),
    "released_tcl": Rival(released_tcl, loss="tcl", assume="unit-input"),
    "solo_learn": Rival(solo_learn),
    "keras_io": Rival(keras_io),
    "catalyst": Rival(catalyst),
}
PAIRED = {function.__name__: function for function in (tensorflow_similarity, open_clip, lightly)}


class Paired(TwoViews):
    """A formula of two views, in float64."""

    capabilities = replace(TwoViews.capabilities, dtypes=("float64",))

    def __init__(self, name: str) -> None:
        self.name = name

    def of_pairs(self, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss of two views."""
        return PAIRED[self.name](first, second, temperature)


def implementation(name: str) -> Implementation:
    """Return a rival by its name."""
    if name in LABELLED:
        return LABELLED[name].implementation()
    return Paired(name)


def _masks(classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 where j != i, and where j is in P(i), as sums are multiplied in the originals."""
    others = 1 - torch.eye(len(classes), dtype=torch.float64)
    return others, (classes[:, None] == classes) * others


def _less_its_maximum(logits: Tensor) -> Tensor:
    """Subtract the maximum of each row, the anchor's own entry included, as a constant."""
    return logits - logits.amax(1, keepdim=True).detach()
