"""The frozen vectors: value, per-anchor losses, gradients (the clauses that each vector names)."""

import pytest

from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.parametrise import COMPILED
from tuned_contrastive.conformance.protocol import Case, Implementation
from tuned_contrastive.conformance.vectors import Vector

EXTREME = {"GRD-9", "NUM-5", "NUM-6", "NUM-8", "NUM-19"}
"""What asks for scalars of 0, tiny ones and huge ones, and for rows opposite to one another."""


@pytest.mark.judges("loss")
def test_loss(
    implementation: Implementation, vector: Vector, dtype: str, quantity: str, accept: Accept
) -> None:
    outcome = implementation.loss(case_of(vector, dtype))
    accept(
        quantity_share(quantity, outcome.loss, vector.expected, vector.bounds, dtype), "the loss"
    )


@pytest.mark.judges("per_anchor")
def test_losses_of_the_anchors(
    implementation: Implementation, vector: Vector, dtype: str, quantity: str, accept: Accept
) -> None:
    outcome = implementation.loss(case_of(vector, dtype, reduction="none"))
    share = quantity_share(quantity, outcome.loss, vector.expected, vector.bounds, dtype)
    accept(share, "the loss of an anchor")


@pytest.mark.judges("embeddings")
def test_gradient_in_embeddings(
    implementation: Implementation, vector: Vector, dtype: str, quantity: str, accept: Accept
) -> None:
    outcome = implementation.gradients(case_of(vector, dtype), vector.upstream)
    share = quantity_share(quantity, outcome.embeddings, vector.expected, vector.bounds, dtype)
    accept(share, "a row of the gradient")


@pytest.mark.judges("temperature", "k1", "k2")
def test_gradient_in_scalars(
    implementation: Implementation, vector: Vector, dtype: str, quantity: str, accept: Accept
) -> None:
    outcome = implementation.gradients(case_of(vector, dtype, learnable=True), vector.upstream)
    got = getattr(outcome, quantity)
    share = quantity_share(quantity, got, vector.expected, vector.bounds, dtype)
    accept(share, f"the gradient in {quantity}")


@pytest.mark.chosen(*COMPILED, "mixed", "module", "tiles of 1", "one tile")
@pytest.mark.judges("loss", "embeddings")
def test_modes(
    implementation: Implementation,
    vector: Vector,
    dtype: str,
    mode: str,
    quantity: str,
    accept: Accept,
) -> None:
    case = case_of(vector, dtype, mode=mode)
    accept(share_of(implementation, vector, case, quantity), f"{quantity} in mode {mode}")


@pytest.mark.chosen("tiles of 3", dtypes=("float32",), every=True)
@pytest.mark.judges("loss", "embeddings")
def test_several_tiles(
    implementation: Implementation,
    vector: Vector,
    dtype: str,
    mode: str,
    quantity: str,
    accept: Accept,
) -> None:
    case = case_of(vector, dtype, mode=mode)
    accept(share_of(implementation, vector, case, quantity), f"{quantity} in mode {mode}")


@pytest.mark.chosen("jit", "graph", "xla", "tiles of 3", dtypes=("float32",))
@pytest.mark.judges("temperature", "k1", "k2")
def test_gradient_in_scalars_in_modes(
    implementation: Implementation,
    vector: Vector,
    dtype: str,
    mode: str,
    quantity: str,
    accept: Accept,
) -> None:
    case = case_of(vector, dtype, mode=mode, learnable=True)
    accept(share_of(implementation, vector, case, quantity), f"{quantity} in mode {mode}")


@pytest.mark.chosen("tiles of 3", dtypes=("float32",), citing=EXTREME)
@pytest.mark.judges("embeddings", "temperature", "k1", "k2")
def test_extreme_scalars_by_several_tiles(
    implementation: Implementation,
    vector: Vector,
    dtype: str,
    mode: str,
    quantity: str,
    accept: Accept,
) -> None:
    case = case_of(vector, dtype, mode=mode, learnable=True)
    accept(share_of(implementation, vector, case, quantity), f"{quantity} in mode {mode}")


def case_of(
    vector: Vector,
    dtype: str,
    mode: str = "eager",
    reduction: str | None = None,
    learnable: bool = False,
) -> Case:
    """Return the call that a vector describes."""
    parameters = {**vector.parameters, **({"reduction": reduction} if reduction else {})}
    return Case(vector.loss, vector.embeddings, vector.labels, parameters, dtype, mode, learnable)


def share_of(implementation: Implementation, vector: Vector, case: Case, quantity: str) -> float:
    """Return the share of the allowed error that a quantity of a differentiated call has."""
    got = getattr(implementation.gradients(case, vector.upstream), quantity)
    return quantity_share(quantity, got, vector.expected, vector.bounds, case.dtype)
