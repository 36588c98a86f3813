"""A bare TensorFlow function or Keras loss class, differentiated by a tape."""

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.adapters.callable import Bare
from tuned_contrastive.conformance.protocol import Case, Float64, Outcome
from tuned_contrastive.spec import contract

KERAS_LABELS = "y_true"
"""The first argument of a Keras loss; its second one is the embeddings."""


class BareTensorflow:
    """A TensorFlow function or class with the gradient in its embeddings."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.device = device_name(bare.device)  # raises where there is none
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.name = bare.name
        self.capabilities = bare.capabilities
        self.notes = (*bare.notes, f"on {self.device}, TensorFloat-32 switched off")

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        with tf.device(self.device):
            rows, labels = self._given(case)
            return self._outcome(case, rows, labels, self._loss(case, rows, labels))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        with tf.device(self.device):
            rows, labels = self._given(case)
            with tf.GradientTape() as tape:
                tape.watch(rows)
                loss = self._loss(case, rows, labels)
            arriving = self.bare.arriving(upstream, loss.shape)
            found = tape.gradient(loss, rows, tf.constant(arriving, loss.dtype))
            return self._outcome(case, rows, labels, loss, tf.reshape(found, case.embeddings.shape))

    def _given(self, case: Case) -> tuple[Tensor, Tensor | None]:
        labels = None if case.labels is None else tf.constant(case.labels)
        return tf.constant(self.bare.rows(case), case.dtype), labels

    def _loss(self, case: Case, rows: Tensor, labels: Tensor | None) -> Tensor:
        unit = self.bare.unit_input and case.parameters.get("normalize", True)
        embeddings = _unit_rows(rows) if unit else rows
        if next(iter(self.bare.call)) == KERAS_LABELS:
            value = self.bare(case, labels, embeddings)
        else:
            value = self.bare(case, embeddings, labels)
        return self.bare.returned(value, "a tf.Tensor", Tensor)

    def _outcome(
        self,
        case: Case,
        rows: Tensor,
        labels: Tensor | None,
        loss: Tensor,
        gradient: Tensor | None = None,
    ) -> Outcome:
        left = None if labels is None else labels.numpy()
        return Outcome(
            self.bare.losses(_array(loss), case),
            None if gradient is None else _array(gradient),
            loss_dtype=loss.dtype.name,
            gradient_dtype=None if gradient is None else gradient.dtype.name,
            intact=intact(case, _array(rows), left),
        )


implementation = BareTensorflow


def device_name(device: str) -> str:
    """Return TensorFlow's name of a device like "cpu" or "gpu:0"; RuntimeError without it."""
    name = f"/device:{device.upper()}" + ("" if ":" in device else ":0")
    present = [logical.name for logical in tf.config.list_logical_devices()]
    if name not in present:
        raise RuntimeError(f"there are {', '.join(present)}")
    return name


def _unit_rows(rows: Tensor) -> Tensor:
    """Return SUP-1 and SUP-2, differentiably, in the compute dtype; squares do not overflow."""
    full = tf.cast(rows, contract.COMPUTE_DTYPES[rows.dtype.name])
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(full)), -1, keepdims=True)
    scaled = full / tf.where(largest > 0, largest, tf.ones_like(largest))
    is_zero = (
        tf.norm(tf.stop_gradient(scaled), axis=-1, keepdims=True) * largest < contract.MIN_NORM
    )
    safe = tf.where(is_zero, tf.ones_like(scaled), scaled)
    unit = safe / tf.norm(safe, axis=-1, keepdims=True)
    return tf.where(is_zero, tf.zeros_like(unit), unit)


def _array(value: Tensor) -> Float64:
    return np.asarray(tf.cast(value, tf.float64).numpy())
