"""The lean dense SupCon and TCL in TensorFlow: one product, one mask, a stopped maximum."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from tuned_contrastive.spec import contract


def supcon(embeddings: Tensor, labels: Tensor, temperature: Tensor | float) -> Tensor:
    """Return the lean dense SupCon."""
    return tcl(embeddings, labels, temperature, 0.0, contract.K2)


def tcl(
    embeddings: Tensor,
    labels: Tensor,
    temperature: Tensor | float,
    k1: Tensor | float,
    k2: Tensor | float,
) -> Tensor:
    """Return the lean dense TCL."""
    z = tf.math.l2_normalize(tf.cast(embeddings, tf.float32), 1)
    s = tf.matmul(z, z, transpose_b=True)
    itself = tf.eye(tf.shape(z)[0], dtype=tf.bool)
    positives = tf.equal(labels[:, None], labels) & ~itself
    sizes = tf.math.count_nonzero(positives, 1, dtype=tf.float32)
    t = tf.where(itself, -float("inf"), s / temperature)
    M = tf.stop_gradient(tf.reduce_max(t, 1, keepdims=True))
    e = tf.exp(t - M)
    if isinstance(k2, Tensor) or k2 != 1:
        e = tf.where(positives, e, k2 * e)
    D = tf.reduce_sum(e, 1)
    if isinstance(k1, Tensor) or k1 != 0:
        D += k1 * tf.reduce_sum(tf.where(positives, tf.exp(-s - M), 0.0), 1)
    mean = tf.reduce_sum(tf.where(positives, s, 0.0), 1) / tf.maximum(sizes, 1.0) / temperature
    anchors = sizes > 0
    losses = tf.where(anchors, M[:, 0] + tf.math.log(D) - mean, 0.0)
    count = tf.math.count_nonzero(anchors, dtype=tf.float32)
    return tf.reduce_sum(losses) / tf.maximum(count, 1.0)


LEAN: dict[str, Callable[..., Any]] = {"supcon": supcon, "tcl": tcl}
