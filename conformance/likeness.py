"""Whether two wrong implementations are the same, however they round and whatever they claim."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tuned_contrastive.conformance.applicability import Needs, why_not
from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.protocol import Capabilities, Float64, Implementation
from tuned_contrastive.conformance.suite.test_vectors import case_of
from tuned_contrastive.conformance.vectors import Vector, load_vectors

ASKED_IN = "float64"
TOLD_BY = "float32"
"""The dtype whose allowed errors tell answers apart: what float64 rounds away is far below them."""

Place = tuple[str, str]
"""The id of a vector, and a quantity."""


@dataclass(frozen=True)
class Answers:
    """What an implementation makes of the vectors: where it was asked, and what came out wrong."""

    asked: frozenset[Place]
    wrong: Mapping[Place, Float64]


def answers(subject: Implementation, losses: frozenset[str]) -> Answers:
    """Ask for all vectors of these losses in float64, even where another loss or dtype is claimed.

    What else is claimed holds: the code may be for one kind of input or of gradient.
    """
    claims = replace(subject.capabilities, losses=losses, dtypes=(ASKED_IN,))
    asked: set[Place] = set()
    wrong: dict[Place, Float64] = {}
    for vector in load_vectors().values:
        if applies(vector, ASKED_IN, claims):
            for quantity, got in answer(subject, vector, ASKED_IN).items():
                asked.add((vector.id, quantity))
                if not _alike(got, vector.expected[quantity], vector, quantity):
                    wrong[vector.id, quantity] = got
    return Answers(frozenset(asked), wrong)


def applies(vector: Vector, dtype: str, claims: Capabilities) -> bool:
    """Return whether the claims make a vector applicable in a dtype."""
    views = vector.embeddings.ndim == 3
    needs = Needs(
        loss=vector.loss, dtype=dtype, parameters=vector.parameters, views=views,
        flat=not views, unlabelled=vector.labels is None,
    )  # fmt: skip
    return dtype in vector.dtypes and why_not(needs, claims) is None


def answer(subject: Implementation, vector: Vector, dtype: str) -> dict[str, Float64]:
    """Return the loss and the gradients that a vector has and the subject claims, NaN for none."""
    case = case_of(vector, dtype, learnable=True)
    gradients = subject.capabilities.gradients
    outcome = subject.gradients(case, vector.upstream) if gradients else subject.loss(case)
    names = [name for name in vector.expected if name == "loss" or name in gradients]
    got = {name: getattr(outcome, name) for name in names}
    return {name: np.asarray(np.nan if v is None else v) for name, v in got.items()}


def differ(one: Answers, other: Answers) -> bool:
    """Return whether a vector that both were asked for tells them apart."""
    places = one.asked & other.asked
    both = places & one.wrong.keys()
    if both != places & other.wrong.keys():
        return True
    vectors = {vector.id: vector for vector in load_vectors().values}
    return any(
        not _alike(one.wrong[name, quantity], other.wrong[name, quantity], vectors[name], quantity)
        for name, quantity in both
    )


def _alike(got: Float64, other: Float64, vector: Vector, quantity: str) -> bool:
    return quantity_share(quantity, got, {quantity: other}, vector.bounds, TOLD_BY) <= 1
