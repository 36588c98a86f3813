"""What only the TensorFlow backend has: graphs of unknown size, XLA, variables, placement."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuned_contrastive import reference
from tuned_contrastive.backends.tensorflow import losses, supcon_loss, tcl_loss
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.adapters.tensorflow import TensorFlow
from tuned_contrastive.conformance.protocol import AnswerError, Case
from tuned_contrastive.conformance.targets import load_target
from tuned_contrastive.reference.oracle import hessian_vector_product

LABELS = np.array([0, 0, 1, 1, 2, 0, 1])
CLOSE = 1e-12
OTHER = "/device:CPU:1"
# Makes the second device; before any test, since TensorFlow refuses it once it is in use.
NOT_RUN = TensorFlow().capabilities.not_run
needs_xla = pytest.mark.skipif("xla" in NOT_RUN, reason=NOT_RUN.get("xla", ""))
needs_devices = pytest.mark.skipif("devices" in NOT_RUN, reason=NOT_RUN.get("devices", ""))
compilers = pytest.mark.parametrize(
    "xla", [False, pytest.param(True, marks=needs_xla)], ids=["graph", "xla"]
)


def rows_of(n: int) -> Any:
    """Return n asymmetric rows."""
    return np.random.default_rng(n).normal(size=(n, 5))


ROWS = rows_of(7)


@pytest.fixture
def rows() -> Any:
    return tf.constant(ROWS)


@pytest.mark.clause("SUP-2")
def test_the_smallest_norm_is_not_rounded_to_float32() -> None:
    below = np.float32(1e-12)  # is 9.99999996e-13
    for length, is_zero in ((below, True), (np.nextafter(below, np.float32(1)), False)):
        x = tf.Variable(np.diag([length, 1, 1, 1]).astype(np.float32))
        with tf.GradientTape() as tape:
            loss = supcon_loss(x, [0, 0, 1, 1], temperature=0.7)
        gradient = tape.gradient(loss, x)
        assert bool(tf.reduce_all(gradient[0] == 0)) == is_zero


@pytest.mark.clause("SUP-2")
@compilers
def test_no_infinity_that_arrives_gets_past_a_zero_row(xla: bool) -> None:
    """Where rows are close and the temperature low, the gradient of a row may leave the range."""

    def pulled(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = losses._unit_rows(x)
        return tape.gradient(z, x, tf.fill(tf.shape(z), tf.constant(np.inf, z.dtype)))

    found = tf.function(pulled, jit_compile=xla)(tf.constant([[0.0, 0.0], [1.0, 0.0]]))
    assert (found.numpy()[0] == 0).all()


@pytest.mark.clause("NUM-7")
@compilers
def test_row_whose_norm_is_beyond_the_range_has_its_direction(xla: bool) -> None:
    unit = np.array([[1, 1], [1, 0], [1, -1], [0, 1]], "float32")
    compiled = tf.function(lambda x: supcon_loss(x, [0, 0, 1, 1], temperature=0.5), jit_compile=xla)
    longest = tf.constant(unit * np.float32(1.5 * 2.0**127))
    np.testing.assert_allclose(compiled(longest), compiled(tf.constant(unit)), rtol=1e-6)


@pytest.mark.clause("NUM-16")
@compilers
@pytest.mark.parametrize("block_size", [0, 4])
def test_the_largest_exponent_is_0_for_every_temperature(block_size: int, xla: bool) -> None:
    """A product that is rounded once beside one that is rounded twice leaves 1e-7/T of it."""
    x, labels = np.random.default_rng(0).normal(size=(24, 8)).astype("float32"), np.arange(24) % 4
    loss = partial(tcl_loss, x, labels, block_size=block_size)
    compiled = tf.function(lambda **given: loss(**given), jit_compile=xla)
    for T in (1e-4, 1e-20, 1e-30, 1e-37):
        given: dict[str, Any] = {"temperature": T, "k1": 1000.0, "k2": 1.0}
        found = compiled(**{name: tf.constant(value) for name, value in given.items()})
        np.testing.assert_allclose(found, reference.tcl_loss(x, labels, **given), rtol=1e-5)


@pytest.mark.clause("NUM-16")
@compilers
def test_one_trace_serves_every_size(xla: bool) -> None:
    inputs = [tf.TensorSpec([None, None], tf.float64), tf.TensorSpec([None], tf.int32)]
    compiled = tf.function(
        lambda x, y: tcl_loss(x, y, temperature=0.2, k1=3), input_signature=inputs, jit_compile=xla
    )
    given = [(rows_of(n), np.arange(n, dtype=np.int32) % 3) for n in (5, 7, 12)]
    found = [compiled(x, y) for x, y in given]
    expected = [reference.tcl_loss(x, y, temperature=0.2, k1=3) for x, y in given]
    np.testing.assert_allclose(found, expected, rtol=CLOSE)
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.clause("NUM-16", "INP-4", "SUP-11")
@compilers
def test_an_unknown_number_of_samples_has_views(xla: bool) -> None:
    views = rows_of(12).reshape(4, 3, 5)
    inputs = [tf.TensorSpec([None, 3, 5], tf.float64), tf.TensorSpec([None], tf.int64)]
    compiled = tf.function(
        lambda x, y: tcl_loss(x, y, reduction="none"), input_signature=inputs, jit_compile=xla
    )
    expected = reference.tcl_loss(views, LABELS[:4], reduction="none")
    np.testing.assert_allclose(compiled(views, LABELS[:4]), expected, rtol=CLOSE)


@pytest.mark.clause("NUM-16", "INP-8")
@compilers
def test_an_unknown_number_of_samples_needs_no_labels(xla: bool) -> None:
    views = rows_of(12).reshape(4, 3, 5)
    compiled = tf.function(
        supcon_loss, input_signature=[tf.TensorSpec([None, None, 5], tf.float64)], jit_compile=xla
    )
    np.testing.assert_allclose(compiled(views), reference.supcon_loss(views), rtol=CLOSE)


@pytest.mark.clause("INP-9", "INP-21")
@pytest.mark.parametrize("loss", [supcon_loss, tcl_loss])
def test_a_graph_that_meets_one_view_wants_labels(loss: Any) -> None:
    compiled = tf.function(loss, input_signature=[tf.TensorSpec([None, None, 5], tf.float64)])
    told = r"labels must be given unless embeddings have shape \(B, V, D\) with V >= 2"
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        compiled(ROWS[:, None])


@pytest.mark.clause("INP-13")
@compilers
def test_labels_of_an_unknown_number_are_not_broadcast(xla: bool, rows: Any) -> None:
    inputs = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([None], tf.int64)]
    compiled = tf.function(tcl_loss, input_signature=inputs, jit_compile=xla)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"one entry for each row|reshape"):
        compiled(rows, LABELS[:1])


@pytest.mark.clause("INP-13", "INP-21")
def test_an_unknown_size_is_told_as_a_question_mark() -> None:
    inputs = [tf.TensorSpec([None, 5], tf.float64), tf.TensorSpec([8, 1], tf.int64)]
    compiled = tf.function(tcl_loss, input_signature=inputs, autograph=False)
    with pytest.raises(ValueError, match=r"labels must have shape \(\?,\), got \(8, 1\)"):
        compiled.get_concrete_function()


@pytest.mark.clause("INP-6")
def test_labels_without_a_known_rank_are_taken(rows: Any) -> None:
    compiled = tf.function(
        tcl_loss,
        input_signature=[tf.TensorSpec([None, 5], tf.float64)] * 1
        + [tf.TensorSpec(None, tf.int64)],
    )
    expected = reference.tcl_loss(ROWS, LABELS)
    np.testing.assert_allclose(compiled(rows, LABELS), expected, rtol=CLOSE)


@pytest.mark.clause("INP-5", "INP-7")
@pytest.mark.parametrize("kind", [tf.constant, tf.Variable, np.array, np.ndarray.tolist])
def test_64_bit_unsigned_labels_are_not_merged(rows: Any, kind: Any) -> None:
    large = 2**63 + 2**62 + LABELS.astype(np.uint64)
    expected = reference.tcl_loss(ROWS, LABELS)
    np.testing.assert_allclose(tcl_loss(rows, kind(large)), expected, rtol=CLOSE)


@pytest.mark.clause("INP-6")
def test_numpy_labels_may_be_a_reversed_read_only_view(rows: Any) -> None:
    labels = np.array(LABELS[::-1], dtype=np.int16)[::-1]
    labels.flags.writeable = False
    np.testing.assert_array_equal(tcl_loss(rows, labels), tcl_loss(rows, LABELS))


@pytest.mark.clause("INP-3")
@pytest.mark.parametrize("kind", [np.asarray, tf.Variable, keras.Variable])
def test_rows_may_be_an_array_or_a_variable(rows: Any, kind: Any) -> None:
    given = kind(ROWS.astype(np.float32))
    expected = tcl_loss(tf.cast(rows, tf.float32), LABELS)
    np.testing.assert_array_equal(tcl_loss(given, LABELS), expected)


@pytest.mark.clause("INP-10")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.ones((7, 5), np.int32), "int32"),
        (tf.ragged.constant([[1.0], [1.0, 2.0]]), "RaggedTensor"),
        (tf.sparse.eye(7), "SparseTensor"),
        (tf.constant([["a"]]), "string"),
    ],
)
def test_other_rows_are_refused(given: Any, told: str) -> None:
    allowed = "embeddings must be an array of float16, bfloat16, float32 or float64"
    with pytest.raises(TypeError, match=f"^{allowed}, got {told}$"):
        tcl_loss(given, LABELS)


@pytest.mark.clause("INP-16")
def test_the_range_of_a_numpy_scalar_is_checked(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"temperature must be finite and > 0, got -0\.5"):
        tcl_loss(rows, LABELS, temperature=np.array(-0.5))


@needs_devices
@pytest.mark.clause("INP-14")
@pytest.mark.parametrize("kind", [tf.constant, np.array, np.ndarray.tolist])
def test_labels_in_host_memory_go_with_rows_anywhere(kind: Any) -> None:
    with tf.device(OTHER):
        rows = tf.constant(rows_of(7))
    expected = reference.tcl_loss(ROWS, LABELS)
    np.testing.assert_allclose(tcl_loss(rows, kind(LABELS)), expected, rtol=CLOSE)


@needs_devices
@pytest.mark.clause("INP-14")
def test_labels_on_another_device_are_refused(rows: Any) -> None:
    with tf.device(OTHER):
        labels = tf.constant(LABELS)
    told = "^labels must be on the device of embeddings, .*CPU:0, got .*CPU:1$"
    with pytest.raises(ValueError, match=told):
        tcl_loss(rows, labels)


@pytest.mark.clause("GRD-12")
@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_a_single_variable_serves_double_rows(rows: Any, kind: Any) -> None:
    k1 = kind(np.float32(3))
    with tf.GradientTape() as tape:
        loss = 2 * tcl_loss(rows, LABELS, k1=k1)
    (gradient,) = tape.gradient(loss, [k1])
    exact = reference.tcl_gradients(ROWS, LABELS, k1=3, upstream=2)
    np.testing.assert_allclose(loss, 2 * exact.loss, rtol=CLOSE)
    np.testing.assert_allclose(gradient, np.asarray(exact.k1), rtol=1e-6)
    assert gradient.dtype == tf.float32


@pytest.mark.clause("GRD-12", "NUM-1")
def test_a_double_variable_leaves_single_rows_single(rows: Any) -> None:
    temperature = tf.Variable(0.2, dtype=tf.float64)
    loss = tcl_loss(tf.cast(rows, tf.float32), LABELS, temperature=temperature)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, reference.tcl_loss(ROWS, LABELS, temperature=0.2), rtol=1e-5)


@pytest.mark.clause("INP-23")
@pytest.mark.parametrize("loss", [supcon_loss, tcl_loss])
def test_nothing_is_read_back(loss: Any) -> None:
    specs = [tf.TensorSpec([3, 2, 5]), tf.TensorSpec([3], tf.int64), tf.TensorSpec([])]

    def gradients(x: Any, y: Any, temperature: Any) -> Any:
        return tf.gradients(2 * loss(x, y, temperature=temperature), [x, temperature])

    # Traced with symbols alone and without AutoGraph: asking for a value raises.
    traced = tf.function(gradients, input_signature=specs, autograph=False)
    found = traced.get_concrete_function().structured_outputs
    assert [tuple(gradient.shape) for gradient in found] == [(3, 2, 5), ()]


@pytest.mark.clause("GRD-13", "NUM-16")
@compilers
def test_a_compiled_second_derivative_is_right(xla: bool, rows: Any) -> None:
    given: dict[str, Any] = {"temperature": 0.5, "k1": 3.0, "k2": 0.25}
    along = {"embeddings": np.cos(ROWS[:5]), "temperature": 0.75, "k1": -0.5, "k2": 1.25}

    def product(*values: Any) -> Any:
        with tf.GradientTape() as second:
            second.watch(values)
            with tf.GradientTape() as first:
                first.watch(values)
                x, temperature, k1, k2 = values
                loss = tcl_loss(x, LABELS[:5], temperature=temperature, k1=k1, k2=k2)
            gradients = first.gradient(loss, values)
        return second.gradient(gradients, values, [tf.constant(v) for v in vectors])

    vectors = [np.asarray(along[name]) for name in ("embeddings", *given)]
    values = [rows[:5], *(tf.constant(value, tf.float64) for value in given.values())]
    found = tf.function(product, jit_compile=xla)(*values)
    exact = hessian_vector_product("tcl", ROWS[:5], LABELS[:5].tolist(), direction=along, **given)
    np.testing.assert_allclose(found[0], exact["embeddings"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1:], [exact[name] for name in given], rtol=1e-9)


@pytest.mark.clause("NUM-12", "NUM-16")
@compilers
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_compiler_hides_no_nan(xla: bool, value: float) -> None:
    wrong = ROWS.copy()
    wrong[4, 1] = value  # a row without a positive: with k2 = 0 in no term of the others
    compiled = tf.function(
        lambda x: tcl_loss(x, LABELS, k2=0, normalize=False, reduction="none"), jit_compile=xla
    )
    found = np.isnan(compiled(tf.constant(wrong)))
    assert found.tolist() == [True, True, True, True, False, True, True]


WITH_KERAS_ELSEWHERE = """
import tensorflow as tf
from tuned_contrastive.backends.tensorflow import TCLLoss, supcon_loss
assert abs(float(supcon_loss(tf.ones((3, 2)), [0, 0, 1])) - 0.6931472) < 1e-6
try:
    TCLLoss()
except RuntimeError as error:
    print(error)
"""


@pytest.mark.clause("INP-26")
@pytest.mark.parametrize("name", ["jax", "torch"])
def test_keras_on_another_backend_is_told_where_to_go(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("KERAS_BACKEND", name)
    done = subprocess.run(
        [sys.executable, "-c", WITH_KERAS_ELSEWHERE], capture_output=True, text=True, check=False
    )
    assert done.stdout == (
        f"these classes need Keras on tensorflow, got Keras on {name}: "
        f"import the losses from tuned_contrastive.backends.{name}\n"
    ), done.stderr


@pytest.mark.clause("CNF-7")
def test_the_adapter_switches_tensorfloat_32_off_and_says_so() -> None:
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        adapter: Any = load_target("tensorflow")
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(False)
    assert "TensorFloat-32 switched off" in adapter.notes[0]


SUPCON = """
import keras
import tensorflow as tf

def supcon(embeddings, labels, temperature=0.1):
    unit = embeddings / tf.norm(embeddings, axis=1, keepdims=True)
    s = tf.matmul(unit, unit, transpose_b=True) / temperature
    itself = tf.eye(tf.shape(s)[0], dtype=tf.bool)
    positives = tf.cast((labels[:, None] == labels) & ~itself, s.dtype)
    others = tf.where(itself, tf.cast(-1e30, s.dtype), s)
    terms = positives * (tf.reduce_logsumexp(others, 1, keepdims=True) - s)
    sizes = tf.reduce_sum(positives, 1)
    losses = tf.reduce_sum(terms, 1) / tf.maximum(sizes, 1)
    return tf.reduce_sum(losses) / tf.reduce_sum(tf.cast(sizes > 0, s.dtype))

class Stock(keras.losses.Loss):
    def __init__(self, temperature=0.1):
        super().__init__()
        self.temperature = temperature

    def call(self, y_true, y_pred):
        return supcon(y_pred, y_true, self.temperature)
"""


def judged(folder: Path, source: str, attribute: str, *clauses: str) -> int:
    """Return the suite's exit status for a bare SupCon."""
    (folder / "bare.py").write_text(source)
    target = [f"{folder / 'bare.py'}:{attribute}", "--framework", "tensorflow"]
    options = ["--losses", "supcon", "--assume", "normalizes", "--dtype", "float32"]
    return main([*target, *options, *(f"--clause={clause}" for clause in clauses)])


@pytest.mark.clause("INP-7")
@pytest.mark.parametrize(("clause", "status"), [("SUP-5", 0), ("INP-7", 1)])
def test_keras_own_call_is_caught_merging_labels(tmp_path: Path, clause: str, status: int) -> None:
    assert judged(tmp_path, SUPCON, "Stock", clause) == status


@pytest.mark.parametrize(("sign", "status"), [("- s)", 0), ("+ s)", 1)])
def test_a_bare_function_is_judged(tmp_path: Path, sign: str, status: int) -> None:
    source = SUPCON.replace("- s)", sign)
    assert judged(tmp_path, source, "supcon", "SUP-5", "INP-7") == status


def test_a_value_that_is_no_tensor_is_told_as_such() -> None:
    subject = bare_implementation(
        lambda embeddings, labels: None,
        name="mine",
        framework="tensorflow",
        loss="supcon",
        assume="normalizes",
    )
    case = Case("supcon", np.eye(2), np.array([0, 0]))
    for call in (subject.loss, lambda case: subject.gradients(case, np.array(1.0))):
        with pytest.raises(AnswerError, match=r"mine must return a tf\.Tensor, got NoneType: None"):
            call(case)
