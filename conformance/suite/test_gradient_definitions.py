"""One test per definition of the gradients that sees it whatever the others do (GRD-1 to GRD-11).

As in test_definitions.py: what another fault does to the gradient is the same in both calls that
are compared, or is not in the entries that are read. `readable` rows show each coefficient in a
column of its own. NUM-11, which the vectors cite only with others, is told apart in the same way.
"""

import numpy as np
import pytest

from tuned_contrastive.conformance.judge import rows_share, value_share
from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.suite.calls import gradients, sample, weights
from tuned_contrastive.conformance.suite.definitions import (
    COLD,
    FULL,
    LEFT,
    NEAR,
    NORMS,
    PAIRS,
    RAW,
    RIGHT,
    TINY,
    UNIT,
    UP,
    allowed_rows,
    batch,
    coefficients,
    readable,
    twos,
)

READABLE = pytest.mark.needs(
    dtypes=FULL, flat=True, gradient=("embeddings",), parameters={**RAW, **weights("tcl")}
)
SCALAR = {"temperature": COLD, "reduction": "none"}


@READABLE
@pytest.mark.clause("GRD-1")
def test_response_of_a_positive(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Near, two positives fill D_0: 1/T; far, a third does: 0; or their own k1 term: -1.

    As a contrast row 0 is to them the same in both: each has the other much nearer.
    """
    others = {"supcon": (16.0, 16.0, 0.0), "tcl": (16.0, 16.0)}[loss]
    near, far = (readable(loss, (own, *others), [0] * (1 + len(others))) for own in (1.0, -1.0))
    found = [coefficients(implementation, call, dtype)[0, 1:3].sum() for call in (near, far)]
    exact = np.array(2 / RAW["temperature"] + {"supcon": 0.0, "tcl": 2.0}[loss])
    allowed = 2 * (allowed_rows(near) + allowed_rows(far))[:1]
    accept(value_share(found[0] - found[1], exact, allowed, dtype), "the difference")


@READABLE
@pytest.mark.clause("GRD-2")
def test_response_of_a_negative(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """The negatives that take all of D_0 have 1/T together, whatever k2 is."""
    call = readable(loss, NEAR, PAIRS)
    found = coefficients(implementation, call, dtype)[0, 2:].sum()
    exact = np.array(2 / RAW["temperature"])
    accept(
        value_share(found, exact, 2 * allowed_rows(call)[:1], dtype),
        "the difference",
    )


@READABLE
@pytest.mark.clause("GRD-3")
def test_row_is_to_another_what_the_other_is_to_it(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """G_ij + G_ji is the coefficient of z_j in row i and of z_i in row j."""
    call = readable(loss, (0.5, -1.0, 1.5, 2.0), PAIRS)
    found, row = coefficients(implementation, call, dtype), allowed_rows(call)
    allowed = np.add.outer(row, row)
    accept(value_share(found, found.T, allowed, dtype), "a coefficient")


@pytest.mark.clause("GRD-4")
@pytest.mark.needs(
    dtypes=FULL, flat=True, pairs=True, gradient=("embeddings",),
    parameters={"temperature": 0.5}, free=("normalize",),
)  # fmt: skip
def test_gradient_of_normalised_rows_is_projected(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    unit = batch(implementation, loss, UNIT, PAIRS, temperature=0.5, normalize=False)
    longer = unit.with_rows(NORMS * UNIT).with_parameters(normalize=True)
    g = gradients(implementation, unit, dtype)[1]
    exact = (g - (g * UNIT).sum(axis=1, keepdims=True) * UNIT) / NORMS
    allowed = allowed_rows(unit) / NORMS[:, 0] + allowed_rows(longer)
    accept(rows_share(gradients(implementation, longer, dtype)[1], exact, allowed, dtype), "a row")


@READABLE
@pytest.mark.clause("GRD-5")
def test_gradient_of_rows_as_given_is_not_projected(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """No part of row 0 is taken off: its own column in its own gradient is 0."""
    call = readable(loss, NEAR, PAIRS)
    found = coefficients(implementation, call, dtype)[0, 0]
    accept(value_share(found, np.array(0.0), allowed_rows(call)[:1], dtype), "the own column")


@pytest.mark.clause("GRD-6")
@pytest.mark.needs(
    dtypes=FULL, flat=True, gradient=("temperature",), parameters={**SCALAR, **weights("tcl")}
)
def test_gradient_in_the_temperature(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Four anchors with l = (1 - 0)/T + log k2."""
    call = batch(implementation, loss, [RIGHT, UP, RIGHT, UP], PAIRS, **SCALAR)
    got = implementation.gradients(call.case(dtype, learnable=True), twos(call)).temperature
    exact, allowed = np.array(-2 * 4 / COLD**2), call.bounds(twos(call))["temperature"]
    accept(value_share(got, exact, allowed, dtype), "the gradient in the temperature")


@pytest.mark.clause("GRD-7")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, gradient=("k1",), parameters={**SCALAR, **weights("tcl")}
)
def test_gradient_in_k1(implementation: Implementation, dtype: str, accept: Accept) -> None:
    """Two anchors with l = log k1 + 1 + 1/T."""
    call = batch(implementation, "tcl", [RIGHT, LEFT], [0, 0], **SCALAR)
    got = implementation.gradients(call.case(dtype, learnable=True), twos(call)).k1
    exact, allowed = np.array(2 * 2 / call.parameters["k1"]), call.bounds(twos(call))["k1"]
    accept(value_share(got, exact, allowed, dtype), "the gradient in k1")


@pytest.mark.clause("GRD-8")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, gradient=("k2",), parameters={**SCALAR, **weights("tcl")}
)
def test_gradient_in_k2(implementation: Implementation, dtype: str, accept: Accept) -> None:
    """Four anchors with l = (1 - 0)/T + log k2."""
    call = batch(implementation, "tcl", [RIGHT, UP, RIGHT, UP], PAIRS, **SCALAR)
    got = implementation.gradients(call.case(dtype, learnable=True), twos(call)).k2
    exact, allowed = np.array(2 * 4 / call.parameters["k2"]), call.bounds(twos(call))["k2"]
    accept(value_share(got, exact, allowed, dtype), "the gradient in k2")


@pytest.mark.clause("GRD-9")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, gradient=("k1", "k2"), parameters=SCALAR, free=("k1", "k2")
)
@pytest.mark.parametrize("weight", ["k1", "k2"])
def test_gradient_at_a_weight_of_0_is_that_beside_it(
    implementation: Implementation, dtype: str, weight: str, accept: Accept
) -> None:
    beside = batch(implementation, "tcl", np.eye(3), [0, 0, 1], **SCALAR, k1=TINY, k2=TINY)
    zero, upstream = beside.with_parameters(k1=0.0, k2=0.0), twos(beside)
    expected, got = (
        getattr(implementation.gradients(call.case(dtype, learnable=True), upstream), weight)
        for call in (beside, zero)
    )
    allowed = beside.bounds(upstream)[weight] + zero.bounds(upstream)[weight]
    accept(value_share(got, expected, allowed, dtype), f"the gradient in {weight}")


@pytest.mark.clause("GRD-10")
@pytest.mark.needs(
    dtypes=FULL, flat=True, pairs=True, gradient=("embeddings",),
    parameters={"temperature": 0.5, "reduction": "mean"},
)  # fmt: skip
def test_scalar_upstream_gradient_multiplies(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    rows = sample(loss, 4, 3).embeddings
    call = batch(implementation, loss, rows, PAIRS, temperature=0.5, reduction="mean")
    case, upstream = call.case(dtype), twos(call)
    once = np.asarray(implementation.gradients(case, upstream / 2).embeddings)
    twice = np.asarray(implementation.gradients(case, upstream).embeddings)
    accept(rows_share(twice, 2 * once, 2 * allowed_rows(call), dtype), "a row")


@READABLE
@pytest.mark.clause("GRD-11")
def test_upstream_gradient_weighs_each_anchor(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """The coefficients of the negatives in row 0 are of its own loss alone: they double with it."""
    call = readable(loss, NEAR, PAIRS)
    upstream = np.array([4.0, 2.0, 2.0, 2.0])
    got = np.asarray(implementation.gradients(call.case(dtype), upstream).embeddings)[0, 3:]
    exact = 2 * coefficients(implementation, call, dtype)[0, 2:]
    allowed = call.bounds(upstream)["embeddings"][0] + 2 * allowed_rows(call)[0]
    accept(value_share(got, exact, np.repeat(allowed, 2), dtype), "a response")


@pytest.mark.clause("NUM-11")
@pytest.mark.needs(
    loss="tcl", dtypes=("float32",), flat=True, gradient=("k1",),
    parameters={"temperature": 0.011, "reduction": "none", "k1": 0.0},
)  # fmt: skip
def test_gradient_beyond_the_dtype_is_infinite(implementation: Implementation, dtype: str) -> None:
    """Two anchors with exp(1)/exp(-1/T), each beyond the largest float32."""
    given = {"temperature": 0.011, "reduction": "none", "k1": 0.0}
    call = batch(implementation, "tcl", [RIGHT, LEFT], [0, 0], **given)
    got = implementation.gradients(call.case(dtype, learnable=True), twos(call)).k1
    assert got == np.inf
