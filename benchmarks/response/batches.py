"""Batches with chosen similarities to one anchor, which is their first row."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference import Response, responses, supcon_gradients, tcl_gradients
from tuned_contrastive.spec import contract

Float64 = NDArray[np.float64]
Batch = tuple[Float64, NDArray[np.int64]]


@dataclass(frozen=True)
class Spread:
    """Evenly spaced similarities to the anchor; a single one lies in the middle."""

    count: int
    lowest: float
    highest: float

    def similarities(self) -> Float64:
        """Return them, lowest first."""
        if self.count == 1:
            return np.array([(self.lowest + self.highest) / 2])
        return np.linspace(self.lowest, self.highest, self.count)


@dataclass(frozen=True)
class Setting:
    """The anchor's batch and the parameters of the losses."""

    positives: Spread = Spread(12, 0.4, 0.9)
    negatives: Spread = Spread(115, -0.4, 0.4)
    temperature: float = contract.TEMPERATURE
    k1: float = contract.K1
    k2: float = contract.K2

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of `tcl_loss`."""
        return {"temperature": self.temperature, "k1": self.k1, "k2": self.k2}

    def responses(
        self, *, positive: Iterable[float] = (), negative: Iterable[float] = ()
    ) -> Response:
        """Return the responses, the given similarities in place of the first of each spread."""
        return responses(*self.batch(positive, negative), **self.parameters())

    def batch(self, positive: Iterable[float] = (), negative: Iterable[float] = ()) -> Batch:
        """Return embeddings and labels: the anchor, its positives, its negatives."""
        return anchored(
            _replaced(self.positives.similarities(), positive),
            _replaced(self.negatives.similarities(), negative),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def anchored(positives: Float64, negatives: Float64) -> Batch:
    """Return unit rows of a plane with these similarities to the first row, and their labels.

    Only similarities to the anchor enter its loss, so that the plane is no restriction.
    """
    s = np.concatenate([[1.0], positives, negatives])
    labels = np.repeat([0, 1], [1 + len(positives), len(negatives)])
    return np.stack([s, np.sqrt(1 - s * s)], axis=1), labels


def anchor_gradients(batch: Batch, setting: Setting) -> tuple[Float64, Float64]:
    """Return the gradients of the first row's own loss in every row, (N, D), SupCon's and TCL's."""
    embeddings, labels = batch
    first = np.zeros(len(embeddings))
    first[0] = 1.0
    T = setting.temperature
    supcon = supcon_gradients(
        embeddings, labels, temperature=T, reduction="none", upstream=first
    ).embeddings
    tcl = tcl_gradients(
        embeddings, labels, reduction="none", upstream=first, **setting.parameters()
    ).embeddings
    return supcon, tcl


def _replaced(similarities: Float64, given: Iterable[float]) -> Float64:
    first = np.asarray([*given], dtype=np.float64)
    return np.concatenate([first, similarities[len(first) :]])
