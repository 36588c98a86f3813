"""Dtypes, precision, determinism and tiles (NUM-1 to NUM-3, NUM-13, NUM-17, NUM-18)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import (
    AnswerError,
    Implementation,
    Outcome,
    WithPrecision,
)
from tuned_contrastive.conformance.suite.calls import (
    LAW,
    gradient_share,
    gradients,
    loss_share,
    ones,
    sample,
)
from tuned_contrastive.conformance.suite.laws import MANY, many_columns

PLAIN: dict[str, Any] = {"temperature": 0.5, "normalize": True, "reduction": "mean"}
HALF_AS_FLOAT32 = {"float64": "float64", "float32": "float32", "bfloat16": "float32"}
HALF_AS_FLOAT32["float16"] = "float32"


@pytest.mark.clause("NUM-1")
@pytest.mark.needs(dtypes=("float64", "float32"), gradient=("embeddings",), parameters=PLAIN)
def test_full_dtypes_come_back(implementation: Implementation, loss: str, dtype: str) -> None:
    call = sample(loss, **PLAIN)
    outcome = implementation.gradients(call.case(dtype), ones(call))
    assert told_dtypes(outcome) == (dtype, dtype)


@pytest.mark.clause("NUM-2")
@pytest.mark.needs(dtypes=("bfloat16", "float16"), gradient=("embeddings",), parameters=PLAIN)
def test_half_dtypes_compute_in_float32(
    implementation: Implementation, loss: str, dtype: str
) -> None:
    call = sample(loss, **PLAIN)
    outcome = implementation.gradients(call.case(dtype), ones(call))
    assert told_dtypes(outcome) == ("float32", dtype)


@pytest.mark.clause("NUM-3")
@pytest.mark.needs(
    mode="mixed", feature="mixed-precision", gradient=("embeddings",), parameters=PLAIN
)
def test_mixed_precision_computes_in_full(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    call = sample(loss, **PLAIN)
    outcome = implementation.gradients(call.case(dtype, mode="mixed"), ones(call))
    assert told_dtypes(outcome)[0] == HALF_AS_FLOAT32[dtype]
    accept(loss_share(outcome.loss, call.exact().loss, call, dtype, calls=1), "the loss")


@pytest.mark.clause("NUM-13")
@pytest.mark.needs(gradient=("embeddings",), parameters=PLAIN)
def test_same_bits_twice(implementation: Implementation, loss: str, dtype: str) -> None:
    call = sample(loss, 45, 7, **PLAIN)
    first, again = gradients(implementation, call, dtype), gradients(implementation, call, dtype)
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


@pytest.mark.clause("NUM-14")
@pytest.mark.needs(
    flat=True, dtypes=("float64", "float32"), free=("temperature",), rows=MANY,
    parameters={"normalize": True, "reduction": "mean"},
)  # fmt: skip
@pytest.mark.parametrize("temperature", [0.5, 64.0])
def test_every_column_counts_at_every_temperature(
    implementation: Implementation, loss: str, dtype: str, temperature: float, accept: Accept
) -> None:
    call, exact = many_columns(loss, temperature)
    accept(loss_share(implementation.loss(call.case(dtype)).loss, exact, call, dtype, calls=1))


@pytest.mark.clause("NUM-17")
@pytest.mark.needs(
    gradient=("embeddings",), flat=True, dtypes=("float64",),
    parameters={"temperature": 0.5, "reduction": "sum"}, free=("normalize", "k1"),
)  # fmt: skip
@pytest.mark.parametrize("mode", ["tiles of 3", "one tile"])
@pytest.mark.parametrize("normalize", [True, False])
@LAW
@given(labels=st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_labels_in_any_order_by_tiles(
    implementation: Implementation,
    loss: str,
    dtype: str,
    mode: str,
    normalize: bool,
    accept: Accept,
    labels: list[int],
) -> None:
    weights: dict[str, Any] = {"k1": 3.0} if loss == "tcl" else {}
    call = sample(loss, 7, normalize=normalize, reduction="sum", **weights)
    call = call.with_labels(np.array(labels))
    value, gradient = gradients(implementation, call, dtype, mode)
    exact = call.exact(ones(call))
    accept(loss_share(value, exact.loss, call, dtype, calls=1), "the loss")
    allowed = call.bounds(ones(call))["embeddings"]
    accept(gradient_share(gradient, exact.embeddings, allowed, dtype), "a row")


@pytest.mark.clause("NUM-18")
@pytest.mark.needs(feature="precision")
def test_products_ask_for_the_highest_precision(
    implementation: WithPrecision, loss: str, dtype: str
) -> None:
    case = sample(loss, **PLAIN).case(dtype)
    assert implementation.product_precisions(case, None) == {"highest"}


@pytest.mark.clause("NUM-18")
@pytest.mark.needs(feature="precision")
def test_the_caller_may_choose_the_precision(
    implementation: WithPrecision, loss: str, dtype: str
) -> None:
    case = sample(loss, **PLAIN).case(dtype)
    assert implementation.product_precisions(case, "default") == {"default"}


def told_dtypes(outcome: Outcome) -> tuple[str, str]:
    """Return the dtypes of the loss and of its gradient; AnswerError where one is not told."""
    for name in ("loss_dtype", "gradient_dtype"):
        if getattr(outcome, name) is None:
            raise AnswerError(f"gradients must name {name}, as 'float32', got None")
    return str(outcome.loss_dtype), str(outcome.gradient_dtype)
