"""The losses in Keras: labels that arrive unharmed, weights, saving, half precision (INP-27)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuned_contrastive import reference
from tuned_contrastive.backends.tensorflow import SupConLoss, TCLLoss

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
LABELS = np.array([0, 0, 1, 1, 2, 0, 1])
ANCHORS = 6
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.5])
CLOSE = 1e-5
# Keras 3.15 reads its variables by an interface that NumPy 2 has deprecated.
saves = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


def compiled_model(loss: Any, optimizer: Any = None, policy: str = "float32") -> Any:
    """Return a linear encoder with fixed weights that by default does not learn."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, dtype=policy)])
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.0), loss=loss)
    return model


def shown(model: Any, labels: Any, **options: Any) -> float:
    """Return the loss that one epoch of `fit` shows."""
    given = {"batch_size": 7, "shuffle": False, "verbose": 0, **options}
    return float(model.fit(ROWS, labels, **given).history["loss"][0])


@pytest.mark.clause("INP-7", "INP-27")
@pytest.mark.parametrize("first", [0, 2**24, 2**53, 2**62])
@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_fit_compares_large_labels_exactly(first: int, shape: tuple[int, ...]) -> None:
    model = compiled_model(TCLLoss(temperature=0.5))
    expected = reference.tcl_loss(np.asarray(model(ROWS)), LABELS, temperature=0.5)
    found = shown(model, (LABELS + first).reshape(shape))
    np.testing.assert_allclose(found, expected, rtol=CLOSE)


@pytest.mark.clause("INP-5", "INP-7", "INP-27")
def test_fit_compares_unsigned_labels_exactly() -> None:
    model = compiled_model(SupConLoss(temperature=0.5))
    expected = reference.supcon_loss(np.asarray(model(ROWS)), LABELS, temperature=0.5)
    found = shown(model, 2**63 + 2**62 + LABELS.astype(np.uint64))
    np.testing.assert_allclose(found, expected, rtol=CLOSE)


@pytest.mark.clause("INP-27")
def test_evaluate_compares_large_labels_exactly() -> None:
    model = compiled_model(TCLLoss(temperature=0.5))
    expected = reference.tcl_loss(np.asarray(model(ROWS)), LABELS, temperature=0.5)
    found = model.evaluate(ROWS, LABELS + 2**53, batch_size=7, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=CLOSE)


@pytest.mark.clause("INP-27")
def test_a_direct_call_compares_large_labels_exactly() -> None:
    found = TCLLoss(temperature=0.5)(LABELS + 2**53, ROWS)
    expected = reference.tcl_loss(ROWS, LABELS, temperature=0.5)
    np.testing.assert_allclose(found, expected, rtol=CLOSE)


@pytest.mark.clause("INP-12", "INP-27")
def test_labels_that_are_floats_already_are_refused() -> None:
    model = compiled_model(TCLLoss())
    with pytest.raises(TypeError, match=r"labels must be an array of integer .* got float32"):
        shown(model, LABELS.astype(np.float32))


@pytest.mark.clause("SUP-8", "INP-26")
def test_fit_shows_the_mean_of_its_batches_by_their_size() -> None:
    model = compiled_model(TCLLoss(temperature=0.5))
    z, labels = np.asarray(model(ROWS)), np.array([0, 1, 0, 2, 1, 1, 0])
    first = reference.tcl_loss(z[:4], labels[:4], temperature=0.5)
    last = reference.tcl_loss(z[4:], labels[4:], temperature=0.5)
    found = shown(model, labels, batch_size=4)
    np.testing.assert_allclose(found, (4 * first + 3 * last) / 7, rtol=CLOSE)


@pytest.mark.clause("INP-26")
def test_training_lowers_the_loss() -> None:
    model = compiled_model(TCLLoss(), keras.optimizers.SGD(0.1))
    losses = model.fit(ROWS, LABELS, batch_size=7, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.clause("INP-26")
def test_each_output_has_its_own_loss() -> None:
    inputs = keras.Input((5,))
    outputs = [keras.layers.Dense(size)(inputs) for size in (4, 3)]
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=[TCLLoss(), SupConLoss()])
    first, second = (np.asarray(z) for z in model(ROWS))
    expected = reference.tcl_loss(first, LABELS) + reference.supcon_loss(second, LABELS)
    found = shown(model, [LABELS + 2**53, LABELS + 2**53])
    np.testing.assert_allclose(found, expected, rtol=CLOSE)


@pytest.mark.clause("INP-26")
@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_fit_weighs_losses_and_divides_by_the_anchors(shape: tuple[int, ...]) -> None:
    model = compiled_model(TCLLoss(temperature=0.5))
    losses = reference.tcl_loss(np.asarray(model(ROWS)), LABELS, temperature=0.5, reduction="none")
    found = shown(model, LABELS, sample_weight=WEIGHTS.reshape(shape))
    np.testing.assert_allclose(found, (WEIGHTS * losses).sum() / ANCHORS, rtol=CLOSE)


@pytest.mark.clause("INP-26", "GRD-11")
@pytest.mark.parametrize(("reduction", "divisor"), [("mean", ANCHORS), ("sum", 1)])
def test_weights_reach_the_gradient(reduction: str, divisor: int) -> None:
    rows = tf.constant(ROWS)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = 2 * TCLLoss(reduction=reduction)(LABELS, rows, WEIGHTS.tolist())
    upstream = 2 * WEIGHTS / divisor
    exact = reference.tcl_gradients(ROWS, LABELS, reduction="none", upstream=upstream)
    found = tape.gradient(loss, rows)
    np.testing.assert_allclose(loss, upstream @ exact.per_anchor, rtol=CLOSE)
    np.testing.assert_allclose(found, exact.embeddings, rtol=1e-4, atol=1e-5)


@pytest.mark.clause("INP-4", "INP-26")
def test_weights_of_samples_are_repeated_over_views() -> None:
    views = ROWS[:6].astype(np.float64).reshape(3, 2, 5)
    weights = np.array([2.0, 0.5, 1.0])
    losses = reference.supcon_loss(views, reduction="none")
    found = SupConLoss(reduction="none")(None, views, weights)
    np.testing.assert_allclose(found, weights[:, None] * losses, rtol=CLOSE)


@pytest.mark.clause("INP-26")
def test_call_gives_the_loss_of_each_row() -> None:
    found = TCLLoss(k1=3).call(LABELS, ROWS)
    np.testing.assert_allclose(
        found, reference.tcl_loss(ROWS, LABELS, k1=3, reduction="none"), rtol=CLOSE
    )


@pytest.mark.clause("INP-26")
def test_weights_of_another_shape_are_refused() -> None:
    told = r"^sample_weight must have shape \(\), \(7,\) or \(7, 1\), got \(7, 2\)$"
    with pytest.raises(ValueError, match=told):
        TCLLoss()(LABELS, ROWS, np.ones((7, 2)))


@pytest.mark.clause("INP-21", "INP-26")
def test_weights_for_an_unknown_number_of_rows_are_told_question_marks() -> None:
    inputs = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 5]), tf.TensorSpec([None, 2])]
    compiled = tf.function(TCLLoss(), input_signature=inputs, autograph=False)
    told = r"^sample_weight must have shape \(\), \(\?,\) or \(\?, 1\), got \(\?, 2\)$"
    with pytest.raises(ValueError, match=told):
        compiled.get_concrete_function()


@pytest.mark.clause("INP-22", "INP-26")
def test_labels_are_refused_before_weights() -> None:
    with pytest.raises(ValueError, match=r"^labels must have shape \(7,\), got \(6,\)$"):
        TCLLoss()(LABELS[:6], ROWS, np.ones((7, 2)))


@pytest.mark.clause("INP-26")
def test_one_weight_is_for_every_row() -> None:
    losses = reference.tcl_loss(ROWS, LABELS, reduction="none")
    found = TCLLoss(reduction="none")(LABELS, ROWS, 3)
    np.testing.assert_allclose(found, 3 * losses, rtol=CLOSE)


@pytest.mark.clause("INP-26")
def test_weights_of_another_kind_are_refused() -> None:
    told = "^sample_weight must be an array of real numbers, got string$"
    with pytest.raises(TypeError, match=told):
        TCLLoss()(LABELS, ROWS, ["a"] * 7)


@pytest.mark.clause("INP-26")
def test_a_mask_is_refused() -> None:
    model = keras.Sequential([keras.Input((3, 5)), keras.layers.Masking(), keras.layers.Dense(4)])
    model.compile(optimizer="sgd", loss=TCLLoss())
    with pytest.raises(ValueError, match=r"^y_pred must carry no mask"):
        model.train_on_batch(np.ones((7, 3, 5)), LABELS)


@pytest.mark.clause("INP-26")
@pytest.mark.parametrize(
    ("given", "ours"),
    [("sum_over_batch_size", "mean"), ("mean", "mean"), ("sum", "sum"), (None, "none")],
)
def test_reductions_of_keras_are_read_as_ours(given: str | None, ours: str) -> None:
    found = TCLLoss(reduction=given)(LABELS, ROWS)
    np.testing.assert_allclose(found, reference.tcl_loss(ROWS, LABELS, reduction=ours), rtol=CLOSE)


@pytest.mark.clause("INP-20")
def test_a_reduction_without_a_counterpart_is_refused() -> None:
    told = "^reduction must be 'mean', 'sum' or 'none', got 'mean_with_sample_weight'$"
    with pytest.raises(ValueError, match=told):
        TCLLoss(reduction="mean_with_sample_weight")


@pytest.mark.clause("INP-16")
def test_a_range_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match=r"^temperature must be finite and > 0, got 0$"):
        SupConLoss(temperature=0)


CONFIG: dict[str, Any] = {
    "temperature": 0.25,
    "k1": 3.0,
    "k2": 0.5,
    "normalize": False,
    "reduction": "sum",
    "block_size": 64,
    "name": "mine",
    "dtype": "float64",
}


@pytest.mark.clause("INP-27")
def test_a_config_makes_the_same_loss_again() -> None:
    loss = TCLLoss.from_config(TCLLoss(**CONFIG).get_config())
    assert loss.get_config() == CONFIG
    given = {name: CONFIG[name] for name in ("temperature", "k1", "k2", "normalize", "reduction")}
    expected = reference.tcl_loss(ROWS, LABELS, **given)
    np.testing.assert_allclose(loss(LABELS, ROWS), expected, rtol=1e-12)


@pytest.mark.clause("INP-27")
def test_a_config_holds_a_variable_as_its_number() -> None:
    loss = SupConLoss(temperature=tf.Variable(0.25), dtype=keras.DTypePolicy("mixed_bfloat16"))
    plain = {"normalize": True, "reduction": "mean", "block_size": None, "name": "supcon_loss"}
    config = {"temperature": 0.25, **plain, "dtype": "mixed_bfloat16"}
    assert json.loads(json.dumps(loss.get_config())) == config


@saves
@pytest.mark.clause("INP-27")
def test_a_saved_model_keeps_its_loss(tmp_path: Path) -> None:
    model = compiled_model(TCLLoss(temperature=0.25, k1=3.0))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == TCLLoss(temperature=0.25, k1=3.0).get_config()
    expected = reference.tcl_loss(np.asarray(model(ROWS)), LABELS, temperature=0.25, k1=3)
    np.testing.assert_allclose(shown(loaded, LABELS + 2**53), expected, rtol=CLOSE)


IN_A_FRESH_PROCESS = """
import sys
import keras, numpy as np
import tuned_contrastive.backends.tensorflow
model = keras.models.load_model(sys.argv[1] + "/model.keras")
rows, labels = (np.load(f"{sys.argv[1]}/{name}.npy") for name in ("rows", "labels"))
print(model.evaluate(rows, labels, batch_size=7, verbose=0))
"""


@saves
@pytest.mark.clause("INP-27")
def test_a_fresh_process_loads_a_saved_model_after_the_import(tmp_path: Path) -> None:
    model = compiled_model(TCLLoss(temperature=0.25, k1=3.0))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "labels.npy", LABELS + 2**53)
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = reference.tcl_loss(np.asarray(model(ROWS)), LABELS, temperature=0.25, k1=3)
    np.testing.assert_allclose(float(done.stdout), expected, rtol=CLOSE)


@pytest.mark.clause("NUM-2", "NUM-3")
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_mixed_policy_computes_the_loss_in_full(half: str) -> None:
    model = compiled_model(TCLLoss(temperature=0.5), policy=f"mixed_{half}")
    z = model(ROWS)
    expected = reference.tcl_loss(np.asarray(tf.cast(z, tf.float64)), LABELS, temperature=0.5)
    assert z.dtype == half
    np.testing.assert_allclose(shown(model, LABELS), expected, rtol=CLOSE)


@pytest.mark.clause("NUM-2", "INP-26")
def test_a_scaled_loss_trains_in_half_precision() -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=256)
    model = compiled_model(TCLLoss(), optimizer, policy="mixed_float16")
    losses = model.fit(ROWS, LABELS, batch_size=7, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.clause("NUM-1")
def test_double_rows_stay_double() -> None:
    rows = ROWS.astype(np.float64)
    expected = reference.tcl_loss(rows, LABELS)
    np.testing.assert_allclose(TCLLoss()(LABELS, rows), expected, rtol=1e-12)


@pytest.mark.clause("GRD-6", "GRD-12")
def test_a_temperature_is_learnt_in_ones_own_step() -> None:
    temperature = keras.Variable(0.7)
    loss = SupConLoss(temperature=temperature)
    with tf.GradientTape() as tape:
        before = loss(LABELS, ROWS)
        twice = 2 * before
    keras.optimizers.SGD(1e-3).apply(tape.gradient(twice, [temperature]), [temperature])
    assert loss(LABELS, ROWS) < before
