"""Learnable scalars, second derivatives and transforms (GRD-12 to GRD-15)."""

from typing import Any

import numpy as np
import pytest

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import (
    Float64,
    Implementation,
    Outcome,
    WithSecondDerivatives,
    WithTransforms,
)
from tuned_contrastive.conformance.suite.calls import Call, loss_share, sample, weights
from tuned_contrastive.reference.oracle import hessian_vector_product

SECOND = 1e-10
"""The relative error that GRD-13 and GRD-14 allow."""

PARAMETERS: tuple[dict[str, Any], ...] = (
    {"normalize": True, "reduction": "mean", "temperature": 0.5},
    {"normalize": False, "reduction": "sum", "temperature": 0.75},
    {"normalize": True, "reduction": "sum", "temperature": 0.25},
)


@pytest.mark.clause("GRD-12")
@pytest.mark.needs(feature="learnable", parameters={"reduction": "none"}, free=("temperature",))
def test_learnable_scalars_are_the_numbers(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    call = sample(loss, reduction="none", **weights(loss))
    got = implementation.loss(call.case(dtype, learnable=True)).loss
    accept(loss_share(got, implementation.loss(call.case(dtype)).loss, call, dtype))


@pytest.mark.clause("GRD-13")
@pytest.mark.needs(feature="second-derivatives", dtype="float64")
@pytest.mark.parametrize("given", PARAMETERS, ids=["unit-mean", "raw-sum", "unit-sum"])
def test_hessian_vector_product(
    implementation: WithSecondDerivatives, loss: str, given: dict[str, Any], accept: Accept
) -> None:
    call = sample(loss, 5, 3, **given, **weights(loss))
    along = direction(call)
    exact = hessian_vector_product(
        loss, call.embeddings, call.labels, direction=along, **call.parameters
    )
    got = implementation.hessian_vector_product(call.case("float64"), along)
    accept(relative(got, exact, "embeddings") / SECOND, "H v in the embeddings")
    accept(relative(got, exact, "temperature") / SECOND, "H v in the temperature")


@pytest.mark.clause("GRD-13")
@pytest.mark.needs(loss="tcl", feature="second-derivatives", dtype="float64")
@pytest.mark.parametrize("weight", ["k1", "k2"])
@pytest.mark.parametrize("given", PARAMETERS[:2], ids=["unit-mean", "raw-sum"])
def test_hessian_vector_product_in_the_weights(
    implementation: WithSecondDerivatives, weight: str, given: dict[str, Any], accept: Accept
) -> None:
    call = sample("tcl", 5, 3, **given, **weights("tcl"))
    along = direction(call)
    exact = hessian_vector_product(
        "tcl", call.embeddings, call.labels, direction=along, **call.parameters
    )
    got = implementation.hessian_vector_product(call.case("float64"), along)
    accept(relative(got, exact, weight) / SECOND, f"H v in {weight}")


@pytest.mark.clause("GRD-13")
@pytest.mark.needs(loss="tcl", feature="second-derivatives", dtype="float64")
@pytest.mark.parametrize("quantity", ["embeddings", "temperature", "k1", "k2"])
def test_hessian_vector_product_at_weights_of_zero(
    implementation: WithSecondDerivatives, quantity: str, accept: Accept
) -> None:
    call = sample("tcl", 5, 3, **PARAMETERS[0], k1=0.0, k2=0.0)
    along = direction(call)
    exact = hessian_vector_product(
        "tcl", call.embeddings, call.labels, direction=along, **call.parameters
    )
    got = implementation.hessian_vector_product(call.case("float64"), along)
    accept(relative(got, exact, quantity) / SECOND, f"H v in {quantity}")


@pytest.mark.clause("GRD-14")
@pytest.mark.needs(feature="transforms", dtype="float64")
@pytest.mark.parametrize("given", PARAMETERS, ids=["unit-mean", "raw-sum", "unit-sum"])
def test_transform_gives_what_the_plain_call_gives(
    implementation: WithTransforms,
    loss: str,
    transform: str,
    given: dict[str, Any],
    accept: Accept,
) -> None:
    case = sample(loss, 7, 3, **given, **weights(loss)).case("float64")
    got, plain = implementation.transformed(transform, case)
    allowed = SECOND * np.abs(plain).max()
    accept(float(np.abs(got - plain).max() / allowed), f"transform {transform}")


@pytest.mark.clause("GRD-15")
@pytest.mark.needs(feature="transforms", dtype="float64", mode="tiles of 3")
@pytest.mark.parametrize("given", PARAMETERS, ids=["unit-mean", "raw-sum", "unit-sum"])
def test_transform_by_tiles_gives_what_the_plain_call_gives(
    implementation: WithTransforms,
    loss: str,
    transform: str,
    given: dict[str, Any],
    accept: Accept,
) -> None:
    case = sample(loss, 7, 3, **given, **weights(loss)).case("float64", "tiles of 3")
    got, plain = implementation.transformed(transform, case)
    allowed = SECOND * np.abs(plain).max()
    accept(float(np.abs(got - plain).max() / allowed), f"transform {transform}")


@pytest.mark.clause("GRD-15")
@pytest.mark.needs(feature="second-derivatives", dtype="float64", mode="tiles of 3")
@pytest.mark.parametrize("given", PARAMETERS, ids=["unit-mean", "raw-sum", "unit-sum"])
def test_hessian_vector_product_by_tiles(
    implementation: WithSecondDerivatives, loss: str, given: dict[str, Any], accept: Accept
) -> None:
    call = sample(loss, 5, 3, **given, **weights(loss))
    along = direction(call)
    exact = hessian_vector_product(
        loss, call.embeddings, call.labels, direction=along, **call.parameters
    )
    got = implementation.hessian_vector_product(call.case("float64", "tiles of 3"), along)
    accept(relative(got, exact, "embeddings") / SECOND, "H v in the embeddings")
    accept(relative(got, exact, "temperature") / SECOND, "H v in the temperature")


def direction(call: Call) -> dict[str, Float64]:
    """Return a direction without symmetry."""
    rows = np.cos(np.arange(1.0, call.embeddings.size + 1)).reshape(call.embeddings.shape)
    scalars = {"temperature": 0.75, "k1": -0.5, "k2": 1.25}
    taken = [name for name in scalars if name == "temperature" or call.loss == "tcl"]
    return {"embeddings": rows, **{name: np.asarray(scalars[name]) for name in taken}}


def relative(got: Outcome, exact: dict[str, Any], quantity: str) -> float:
    """Return ||error|| / ||exact||."""
    expected = np.asarray(exact[quantity], dtype=np.float64)
    found = np.asarray(getattr(got, quantity), dtype=np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
