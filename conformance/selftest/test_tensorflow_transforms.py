"""The tiled form of the TensorFlow backend: what tapes, forward mode and maps make of it."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tuned_contrastive import reference
from tuned_contrastive.backends.tensorflow import blockwise, dense, supcon_loss, tcl_loss
from tuned_contrastive.conformance.protocol import Case
from tuned_contrastive.conformance.selftest.tensorflow_samples import (
    ADAPTER,
    CLOSE,
    LABELS,
    ROWS,
    compilers,
    forms_taken,
)
from tuned_contrastive.reference.oracle import hessian_vector_product
from tuned_contrastive.spec import contract

sides = pytest.mark.parametrize("block_size", [0, 4])


def product(loss: str, rows: Any, labels: Any) -> Any:
    """Return the second derivative of a loss in up to 6 rows, along their cosines."""
    given: dict[str, Any] = {"temperature": contract.TEMPERATURE}
    given |= {"k1": contract.K1, "k2": contract.K2} if loss == "tcl" else {}
    along: dict[str, Any] = {"embeddings": np.cos(rows), **dict.fromkeys(given, 0.0)}
    exact = hessian_vector_product(loss, rows, labels.tolist(), direction=along, **given)
    return exact["embeddings"]


@pytest.mark.clause("GRD-13")
def test_second_derivatives_where_a_run_chooses_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "THRESHOLD", (6, 6))
    signature = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([None], tf.int64)]

    def along(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = supcon_loss(x, y)
            slope = inner.gradient(loss, x)
        return outer.gradient(slope, x, tf.cos(x))

    second = tf.function(along, signature, autograph=False)
    for count in (5, 6):
        given = ROWS[:count], LABELS[:count]
        exact = product("supcon", *given)
        np.testing.assert_allclose(second(*given), exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("named", "form"), [(True, blockwise), (False, dense)])
def test_a_map_is_known_by_more_than_the_name_of_a_scope(
    named: bool, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = forms_taken(monkeypatch)

    @tf.function  # type: ignore[untyped-decorator]
    def twice(x: tf.Tensor) -> tf.Tensor:
        if named:
            with tf.name_scope("loop_body"):
                return supcon_loss(x, LABELS, block_size=3)
        loss = partial(supcon_loss, labels=LABELS, block_size=3)
        return [tf.vectorized_map(loss, tf.stack([x, x])) for _ in range(2)]

    twice.get_concrete_function(tf.constant(ROWS))
    assert {*taken} == {form}


@pytest.mark.clause("GRD-14")
@pytest.mark.parametrize("count", [7, 8])
@pytest.mark.parametrize("transform", ADAPTER.transforms)
def test_transforms_on_both_sides_of_the_threshold(
    count: int, transform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "THRESHOLD", (8, 8))
    monkeypatch.setattr(blockwise, "BLOCK_SIZE", ((3, 3), (3, 3)))
    given = {"temperature": 0.3, "k1": 2.0, "k2": 0.7, "block_size": None}
    case = Case("tcl", ROWS[:count], LABELS[:count], given, "float64", "eager", False)
    found, plain = ADAPTER.transformed(transform, case)
    np.testing.assert_allclose(found, plain, rtol=1e-10, atol=1e-12)


@sides
@compilers
@pytest.mark.clause("GRD-14", "NUM-16")
def test_forward_mode_inside_a_function(block_size: int, xla: bool) -> None:
    def slope(x: Any) -> Any:
        with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as forward:
            value = tcl_loss(x, LABELS, block_size=block_size)
        return forward.jvp(value)

    exact = np.sum(reference.tcl_gradients(ROWS, LABELS).embeddings * np.cos(ROWS))
    np.testing.assert_allclose(
        tf.function(slope, jit_compile=xla)(tf.constant(ROWS)), exact, rtol=CLOSE
    )


@sides
@pytest.mark.clause("GRD-14")
def test_forward_mode_around_a_function(block_size: int) -> None:
    x, function = tf.constant(ROWS), tf.function(partial(tcl_loss, block_size=block_size))
    with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as forward:
        value = function(x, LABELS)
    exact = np.sum(reference.tcl_gradients(ROWS, LABELS).embeddings * np.cos(ROWS))
    np.testing.assert_allclose(forward.jvp(value), exact, rtol=CLOSE)


@sides
@compilers
@pytest.mark.clause("GRD-13")
def test_second_derivative_of_a_function(block_size: int, xla: bool) -> None:
    x = tf.constant(ROWS[:6])
    loss = tf.function(partial(tcl_loss, block_size=block_size), jit_compile=xla)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = loss(x, LABELS[:6])
        slope = inner.gradient(value, x)
    found = outer.gradient(slope, x, tf.cos(x))
    exact = product("tcl", ROWS[:6], LABELS[:6])
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.clause("GRD-13", "GRD-15")
def test_second_derivatives_of_few_rows_where_exponentials_are_large() -> None:
    random = np.random.default_rng(7)
    x, v = 1 + random.normal(size=(100, 4)) / 20, random.normal(size=(100, 4))

    def found_in(dtype: Any) -> Any:
        rows, along = tf.constant(x, dtype), tf.constant(v, dtype)
        with tf.GradientTape() as second:
            second.watch(rows)
            with tf.GradientTape() as first:
                first.watch(rows)
                loss = supcon_loss(rows, np.zeros(100, int), temperature=0.025)
            slope = first.gradient(loss, rows)
        return second.gradient(slope, rows, along).numpy()

    found, exact = found_in(tf.float32), found_in(tf.float64)
    # The term that divides by the square of a sum of e^40 is most of it.
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)
