"""The tiled form of the TensorFlow backend: values, gradients, traces, memory."""

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tuned_contrastive import reference
from tuned_contrastive.backends.tensorflow import (
    SupConLoss,
    TCLLoss,
    blockwise,
    dense,
    supcon_loss,
    tcl_loss,
)
from tuned_contrastive.backends.tensorflow.rows import cut_rows, sort_rows
from tuned_contrastive.backends.tensorflow.tiles import Plan
from tuned_contrastive.conformance.selftest.extremes import EXTREMES, exact
from tuned_contrastive.conformance.selftest.tensorflow_samples import (
    CLOSE,
    LABELS,
    ROWS,
    compilers,
    forms_taken,
    needs_xla,
)
from tuned_contrastive.conformance.selftest.xla_kernels import tile_kernels
from tuned_contrastive.reference.bounds import bounds
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF


def found_of(x: Any, labels: Any, upstream: Any, loss: Any = tcl_loss, **given: Any) -> Any:
    """Return the loss and its gradient in `x` and in every parameter that is a tensor."""
    x = tf.convert_to_tensor(x)
    variables = [x, *(value for value in given.values() if tf.is_tensor(value))]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = loss(x, labels, **given)
    return value, tape.gradient(value, variables, tf.cast(upstream, value.dtype))


def same(found: Any, loss: Any, embeddings: Any) -> None:
    np.testing.assert_allclose(found[0], loss, rtol=CLOSE)
    np.testing.assert_allclose(found[1][0], embeddings, rtol=1e-9, atol=1e-9)


@pytest.mark.clause("TCL-1", "GRD-4", "GRD-6", "GRD-7", "GRD-8")
@pytest.mark.parametrize("temperature", [0.3, 0.001], ids=["plain", "shifted"])
def test_learnable_scalars(temperature: float) -> None:
    given: dict[str, Any] = {"temperature": temperature, "k1": 3.0, "k2": 0.5}
    tensors = {name: tf.constant(value, tf.float64) for name, value in given.items()}
    found = found_of(ROWS, LABELS, 2, **tensors, block_size=3)
    exact: Any = reference.tcl_gradients(ROWS, LABELS, **given, upstream=2)
    same(found, exact.loss, exact.embeddings)
    np.testing.assert_allclose(found[1][1:], [exact.temperature, exact.k1, exact.k2], rtol=1e-9)


@pytest.mark.clause("SUP-5", "SUP-11", "GRD-11")
def test_arbitrary_upstream_of_every_loss() -> None:
    upstream = np.cos(np.arange(11.0)) * 1e3
    options: dict[str, Any] = {"temperature": 0.2, "reduction": "none"}
    found = found_of(ROWS, LABELS, upstream, supcon_loss, **options, block_size=3)
    exact = reference.supcon_gradients(ROWS, LABELS, **options, upstream=upstream)
    same(found, exact.per_anchor, exact.embeddings)


@pytest.mark.clause("PRF-1")
@pytest.mark.parametrize(
    ("count", "xla", "learnt", "form"),
    [(3, True, False, dense), (4, True, False, blockwise), (3, True, True, dense),
     (4, True, True, blockwise), (7, False, False, dense), (8, False, False, blockwise),
     (7, False, True, dense), (8, False, True, blockwise), (None, True, False, blockwise)],
)  # fmt: skip
def test_the_form_is_chosen_by_the_number_of_rows(
    count: int | None, xla: bool, learnt: bool, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = forms_taken(monkeypatch)
    monkeypatch.setattr(blockwise, "THRESHOLD", (4, 8))
    signature = [tf.TensorSpec([count, 5], tf.float64), tf.TensorSpec([count], tf.int64)]
    T = tf.constant(0.1) if learnt else 0.1
    compiled = tf.function(
        lambda x, y: supcon_loss(x, y, temperature=T), input_signature=signature, jit_compile=xla
    )
    compiled.get_concrete_function()
    assert taken[0] is form


@pytest.mark.clause("PRF-1", "PRF-2")
@pytest.mark.parametrize("learnt", [False, True])
def test_a_run_chooses_the_form_where_the_number_of_rows_is_not_known(
    learnt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = dense.anchor_losses

    def marked(*given: Any) -> Any:
        losses, anchors = chosen(*given)
        return losses + 100, anchors

    monkeypatch.setattr(dense, "anchor_losses", marked)
    monkeypatch.setattr(blockwise, "THRESHOLD", (4, 8))
    signature = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([None], tf.int64)]
    T = tf.constant(0.1) if learnt else 0.1
    loss = tf.function(lambda x, y: supcon_loss(x, y, temperature=T), input_signature=signature)
    labels = tf.zeros(8, tf.int64)
    for count in (7, 8):
        found = float(loss(tf.constant(ROWS[:count]), labels[:count]))
        assert (found > 100) == (count < 8)


@pytest.mark.clause("PRF-1")
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("rows", "size"), [(10, 10), (20, 20), (21, 11), (39, 20), (40, 20), (41, 7), (43, 8)]
)
def test_blocks_are_alike_and_small_where_rows_are_many(rows: int, size: int, known: bool) -> None:
    """What fills up a block costs as much as rows do."""

    def cut(z: tf.Tensor) -> tf.Tensor:
        order = sort_rows(tf.zeros(rows, tf.int64))
        return cut_rows(z, order, (20, 8), even=True).z

    inputs = [tf.TensorSpec([rows if known else None, 2], tf.float64)]
    found = tf.function(cut, input_signature=inputs)(np.ones((rows, 2)))
    assert found.shape == (-(-rows // size), size, 2)


@pytest.mark.parametrize(
    ("block_size", "xla", "largest"),
    [
        (None, False, (3, 3)),
        (None, True, (5, 4)),
        (7, True, (7, 7)),
        (2**40, False, (2**31 - 1,) * 2),
    ],
)  # fmt: skip
def test_a_compiler_gets_blocks_of_its_own(
    block_size: int | None, xla: bool, largest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def made(*given: Any) -> Plan:
        plans.append(Plan(*given))
        return plans[-1]

    monkeypatch.setattr(blockwise, "Plan", made)
    monkeypatch.setattr(blockwise, "THRESHOLD", (1, 1))
    monkeypatch.setattr(blockwise, "BLOCK_SIZE", ((3, 3), (5, 4)))
    inputs = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([None], tf.int64)]
    loss = partial(supcon_loss, block_size=block_size)
    tf.function(loss, input_signature=inputs, jit_compile=xla).get_concrete_function()
    assert [plan.largest for plan in plans] == [largest]


@pytest.mark.clause("SUP-7", "SUP-9", "NUM-10")
@pytest.mark.parametrize("labels", [np.zeros(11, int), np.arange(11), LABELS - 2**62])
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["plain", "shifted"])
def test_any_number_of_classes_unnormalised(labels: Any, scale: float) -> None:
    options: dict[str, Any] = {"normalize": False, "temperature": 0.7, "k1": 2, "k2": 3}
    exact = reference.tcl_gradients(scale * ROWS, labels, **options, upstream=2)
    same(found_of(scale * ROWS, labels, 2, **options, block_size=4), exact.loss, exact.embeddings)


@pytest.mark.clause("INP-8", "SUP-11")
def test_views_without_labels() -> None:
    views = ROWS[:10].reshape(5, 2, 5)
    exact = reference.supcon_gradients(views, upstream=2)
    same(found_of(views, None, 2, supcon_loss, block_size=3), exact.loss, exact.embeddings)


@pytest.mark.clause("NUM-2")
def test_half_rows_are_summed_in_single() -> None:
    half = tf.cast(ROWS, tf.bfloat16)
    value, (gradient,) = found_of(half, LABELS, 2, block_size=4)
    exact = reference.tcl_gradients(np.asarray(tf.cast(half, tf.float64)), LABELS, upstream=2)
    assert (value.dtype, gradient.dtype) == (tf.float32, tf.bfloat16)
    np.testing.assert_allclose(value, exact.loss, rtol=1e-5)
    np.testing.assert_allclose(
        tf.cast(gradient, tf.float64), exact.embeddings, rtol=0.01, atol=0.01
    )


@pytest.mark.clause("LAW-1")
def test_supcon_is_tcl_bit_for_bit() -> None:
    supcon = found_of(ROWS, LABELS, 2, supcon_loss, block_size=4)
    tcl = found_of(ROWS, LABELS, 2, k1=0, k2=1, block_size=4)
    np.testing.assert_array_equal(supcon[0], tcl[0])
    np.testing.assert_array_equal(supcon[1][0], tcl[1][0])


@pytest.mark.clause("GRD-6")
def test_gradient_in_a_large_temperature_is_as_sharp() -> None:
    rows = np.random.default_rng(3).normal(size=(60, 5)).astype(np.float32)
    T = tf.constant(1e4)
    found = found_of(rows, np.arange(60) % 4, 2, temperature=T, block_size=16)[1]
    exact = reference.tcl_gradients(rows, np.arange(60) % 4, temperature=1e4, upstream=2)
    np.testing.assert_allclose(found[1], exact.temperature, rtol=3e-5)


@compilers
@pytest.mark.clause("GRD-6", "GRD-9", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
def test_gradient_in_the_temperature_at_the_edge_of_the_range(block_size: int, xla: bool) -> None:
    def value_and_slope(x: Any, y: Any, upstream: Any, scalars: Any, normalize: bool) -> Any:
        given: dict[str, Any] = {"normalize": normalize, "reduction": "sum"}
        with tf.GradientTape() as tape:
            tape.watch(scalars)
            loss = tcl_loss(x, y, block_size=block_size, **given, **scalars)
        return loss, tape.gradient(loss, scalars["temperature"], upstream)

    compiled = tf.function(value_and_slope, jit_compile=xla)
    for name, (x, labels, *values, normalize, upstream) in EXTREMES.items():
        numbers = [tf.constant(value, tf.float32) for value in (*values, upstream)]
        scalars = dict(zip(("temperature", "k1", "k2"), numbers, strict=False))
        given = tf.constant(x, tf.float32), tf.constant(labels), numbers[3], scalars
        found = compiled(*given, normalize)
        np.testing.assert_allclose(found, exact(name), rtol=1e-4, err_msg=name)


@compilers
@pytest.mark.clause("GRD-6", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
def test_gradient_in_a_temperature_very_far_from_1(block_size: int, xla: bool) -> None:
    x, labels = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), [0, 0, 0, 1, 1, 2]

    def gradient(T: Any, upstream: Any) -> Any:
        given = {"temperature": T, "block_size": block_size}
        return found_of(x, labels, upstream, supcon_loss, **given)[1][1]

    compiled = tf.function(gradient, jit_compile=xla)
    for T, upstream in [(1e18, 1.0), (1e20, 1e3), (1e30, 1e24), (1e-19, 1.0), (1e-30, 1e-22)]:
        found = compiled(tf.constant(T), tf.constant(upstream))
        exact = reference.supcon_gradients(x, labels, temperature=T, upstream=upstream)
        np.testing.assert_allclose(found, exact.temperature, rtol=1e-4, err_msg=f"T = {T}")


@pytest.mark.clause("GRD-6", "NUM-11")
def test_gradient_in_a_temperature_where_that_times_the_temperature_leaves_the_range() -> None:
    x = (np.random.default_rng(0).normal(size=(6, 3)) * 3e8).astype("float32")
    given: dict[str, Any] = {"normalize": False, "temperature": tf.constant(1e10)}
    labels = [0, 0, 0, 1, 1, 2]
    found = found_of(x, labels, 1e33, supcon_loss, **given, block_size=4)[1][1]
    exact = reference.supcon_gradients(
        x, labels, temperature=1e10, upstream=1e33, normalize=False
    ).temperature
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.clause("NUM-13")
def test_the_same_bits_twice() -> None:
    rows = np.random.default_rng(1).normal(size=(700, 16)).astype(np.float32)
    first, second = (found_of(rows, np.arange(700) % 9, 2, block_size=256) for _ in range(2))
    np.testing.assert_array_equal(first[1][0], second[1][0])


@pytest.mark.clause("NUM-16")
@pytest.mark.parametrize(
    ("xla", "temperature"),
    [(False, 0.2), (False, 0.001), pytest.param(True, 0.2, marks=needs_xla)],
    ids=["plain", "shifted", "plain by XLA"],
)
def test_one_trace_serves_every_size(
    xla: bool, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "THRESHOLD", (4, 12))
    monkeypatch.setattr(blockwise, "BLOCK_SIZE", ((8, 8), (20, 8)))
    given: dict[str, Any] = {"temperature": temperature, "k1": 1.0}  # 5000 hides the negatives
    inputs = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([None], tf.int64)]

    def gradient(x: Any, y: Any) -> Any:
        return found_of(x, y, 2, **given)[1][0]

    compiled = tf.function(gradient, input_signature=inputs, jit_compile=xla, autograph=False)
    rows = np.random.default_rng(2).normal(size=(53, 5))
    for n in (7, 39) if xla else (1, 7, 39, 53):  # by XLA 39 are two large blocks, one row appended
        labels = np.arange(n) % 4
        exact = reference.tcl_gradients(rows[:n], labels, upstream=2, **given).embeddings
        np.testing.assert_allclose(compiled(rows[:n], labels), exact, rtol=1e-7, atol=1e-11)
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.clause("INP-23")
def test_no_tensor_holds_all_pairs() -> None:
    inputs = [tf.TensorSpec([2048, 8]), tf.TensorSpec([2048], tf.int64)]
    traced = tf.function(lambda x, y: found_of(x, y, 2)[1], input_signature=inputs)
    graph = traced.get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    largest = max(np.prod([float(size.size) for size in shape.dim]) for shape in shapes)
    assert 512 * 512 <= largest < 2048 * 1024


@pytest.mark.clause("INP-22")
@pytest.mark.parametrize(("wrong", "told"), [(True, "bool"), (1.5, "float"), (-1, "-1")])
@pytest.mark.parametrize("made", [partial(tcl_loss, ROWS, LABELS), SupConLoss])
def test_other_block_sizes_are_refused(wrong: Any, told: str, made: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^block_size must be .*, got {told}$"):
        made(block_size=wrong)


@pytest.mark.clause("INP-27")
def test_a_config_keeps_the_block_size() -> None:
    loss = TCLLoss.from_config(TCLLoss(block_size=3).get_config())
    assert loss.block_size == 3
    np.testing.assert_allclose(loss(LABELS, ROWS), reference.tcl_loss(ROWS, LABELS), rtol=CLOSE)


@pytest.mark.clause("INP-13")
def test_a_table_of_labels_without_a_known_rank_is_refused() -> None:
    inputs = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec(None, tf.int64)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
        tf.function(tcl_loss, input_signature=inputs)(ROWS[:10], np.ones((5, 2), int))


@pytest.mark.parametrize("block_size", [0, 2])
def test_gradients_in_weights_neither_overflow_nor_vanish(block_size: int) -> None:
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 1e-3], [0.6, 0.8], [0.8, 0.6]], "float32")
    y, upstream = np.array([0, 0, 1, 2, 2]), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    k2 = tf.constant(0.0)
    with tf.GradientTape() as tape:
        tape.watch(k2)
        loss = tcl_loss(tf.constant(x), y, k2=k2, block_size=block_size, **given)
    found = tape.gradient(loss, k2, tf.constant(upstream, tf.float32))
    exact = reference.tcl_gradients(x.astype("float64"), y, k2=0.0, upstream=upstream, **given).k2
    assert exact is not None
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("upstream", [[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 3.0, 3.0, 3.0]])
def test_many_near_negatives_whose_weight_is_0(upstream: list[float], block_size: int) -> None:
    """Of anchor 0 the sum over N(i) is 3 e^200, which no root of it leaves in range."""
    x, k2 = tf.constant([[1.0, 0.0], [0.0, 1.0], *[[1.0, 0.0]] * 3]), tf.constant(0.0)
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    with tf.GradientTape() as tape:
        tape.watch((x, k2))
        loss = tcl_loss(x, [0, 0, 1, 2, 3], k2=k2, block_size=block_size, **given)
    assert loss.numpy().tolist() == [0.0] * 5
    dz, dk2 = tape.gradient(loss, (x, k2), tf.constant(upstream))
    assert np.isfinite(dz).all()
    assert dk2 == upstream[0] * np.inf


@pytest.mark.clause("GRD-10", "NUM-11")
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("k1", [1.0, 5000.0])
@pytest.mark.parametrize(
    ("T", "upstream"), [(1e30, 1e-9), (1e30, 1e10), (3e38, 1e-9), (1e39, 1e-9)]
)
def test_gradient_at_a_huge_temperature(
    T: float, upstream: float, k1: float, block_size: int, learnable: bool
) -> None:
    x = tf.constant([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    dtype = tf.float64 if T == 1e39 else tf.float32  # which does not hold it
    given: dict[str, Any] = {"temperature": tf.constant(T, dtype) if learnable else T, "k1": k1}
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = upstream * tcl_loss(x, [0, 0, 1], block_size=block_size, **given)
    exact = reference.tcl_gradients(x.numpy(), [0, 0, 1], temperature=T, k1=k1).embeddings
    found = tape.gradient(loss, x)
    np.testing.assert_allclose(found, upstream * exact, rtol=1e-5, atol=1e-7 * upstream)


@pytest.mark.clause("NUM-5", "NUM-8", "NUM-17")
@pytest.mark.parametrize("block_size", [2, 4])
def test_appended_rows_weigh_nothing_beside_a_small_denominator(block_size: int) -> None:
    """At 120 degrees log D is -0.5/T + log 2, which exp(0/T) of an appended row is far above."""
    angles = np.arange(3) * 2 * np.pi / 3
    x, labels = np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32"), [0, 0, 0]
    T = tf.constant(1e-3, tf.float64)
    value, found = found_of(x, labels, 1, supcon_loss, temperature=T, block_size=block_size)
    exact = reference.supcon_gradients(x.astype("float64"), labels, temperature=1e-3)
    allowed = bounds("supcon", x, labels, temperature=1e-3)
    allowed = {name: UNIT_ROUNDOFF["float32"] * value for name, value in allowed.items()}
    assert abs(value - exact.loss) < allowed["loss"]
    assert (np.linalg.norm(found[0] - exact.embeddings, axis=1) < allowed["embeddings"]).all()
    assert abs(found[1] - exact.temperature) < allowed["temperature"]


@pytest.mark.clause("NUM-9", "NUM-17")
@pytest.mark.parametrize("block_size", [0, 1])
def test_a_row_over_a_temperature_may_overflow_where_no_product_does(block_size: int) -> None:
    x = tf.constant([[1e36, 0], [1e-36, 0], [0, 1e-36]])
    value, (gradient,) = found_of(
        x, [0, 1, 0], 1, temperature=1e-3, normalize=False, k1=0.0, block_size=block_size
    )
    exact = reference.tcl_gradients(
        x.numpy().astype("float64"), [0, 1, 0], temperature=1e-3, normalize=False, k1=0.0
    )
    with np.errstate(over="ignore"):
        expected = exact.embeddings.astype("float32")
    assert np.isinf(expected).any()
    np.testing.assert_allclose(value, exact.loss, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@cache
def extreme_gradient(block_size: int, xla: bool) -> Any:
    """Return the gradient of given scalars, by one trace for all."""

    def gradient(x: Any, labels: Any, upstream: Any, T: Any, k2: Any) -> Any:
        given = {"temperature": T, "k1": 3.0, "k2": k2, "block_size": block_size}
        return found_of(x, labels, upstream, **given)[1][0]

    return tf.function(gradient, jit_compile=xla)


@compilers
@pytest.mark.clause("NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.parametrize(
    ("T", "k2", "upstream"), [(0.002, 0.0, 1e6), (1e6, 2.0, 1e37), (1e39, 2.0, 1.0)]
)
def test_gradient_where_a_part_of_it_leaves_the_range(
    T: float, k2: float, upstream: float, block_size: int, xla: bool
) -> None:
    """What they are multiplied and divided by must not meet in the wrong order."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((23, 5)), rng.integers(0, 4, 23)
    exact = reference.tcl_gradients(x, labels, temperature=T, k1=3, k2=k2, upstream=upstream)
    inputs = tf.constant(x, tf.float32), tf.constant(labels), tf.constant(upstream, tf.float32)
    given = (tf.constant(value, tf.float64) for value in (T, k2))
    found = extreme_gradient(block_size, xla)(*inputs, *given)
    np.testing.assert_allclose(found / upstream, exact.embeddings / upstream, rtol=1e-2, atol=1e-5)


@needs_xla
def test_no_kernel_of_a_tile_takes_its_blocks_itself() -> None:
    """XLA does not vectorize such a one where it makes a mask: it was a quarter of TCL's time."""
    x, y = tf.ones((320, 8)), tf.range(320) % 7
    given: dict[str, Any] = {"temperature": 0.1, "k2": 0.5, "block_size": 32}
    step = tf.function(lambda x: found_of(x, y, 1, **given), jit_compile=True, autograph=False)
    kernels = tile_kernels(step.experimental_get_compiler_ir(x)(stage="optimized_hlo"), 32)
    assert [kernel for kernel in kernels if "compare(" in kernel and "exponential(" in kernel]
    assert not [kernel for kernel in kernels if "dynamic-slice(" in kernel]
