"""SupCon and TCL for TensorFlow: check, normalise, compute, reduce (INP-1 to INP-25, SUP-1 to -11).

The arguments are described to `spec.contract`, which decides what is refused; the formula itself
is in `dense` for few rows and in `blockwise` for many.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from tuned_contrastive.backends.tensorflow import blockwise, dense
from tuned_contrastive.spec import contract

# The smallest number of each dtype that is not below MIN_NORM, to which float32 would round down.
_MIN_NORM = {
    tf.float32: float(np.nextafter(np.float32(contract.MIN_NORM), np.float32(1))),
    tf.float64: contract.MIN_NORM,
}


def supcon_loss(
    embeddings: Any,
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
) -> Tensor:
    """Return the SupCon loss, clause SUP-5; differentiable any number of times.

    Parameters
    ----------
    embeddings : Tensor, Variable or NumPy array, (N, D) or (B, V, D)
        float16, bfloat16, float32 or float64. Half precision is computed in float32 (NUM-2). Sizes
        may be unknown in a graph, which checks them as it runs (InvalidArgumentError); XLA drops
        such checks, and without labels an unknown V of 1 then gives the loss 0.
    labels : Tensor, Variable, NumPy array or sequence of int, (N,) or (B,)
        Integer or boolean, on the device of `embeddings` or in host memory; None only for
        (B, V, D): every sample is its own class (INP-8).
    temperature : float, or Tensor or Variable of shape (), no unit
        A tensor may be learnable; its range is not checked, which would wait for the device.
    normalize : bool
        Whether rows are divided by their Euclidean norm.
    reduction : {"mean", "sum", "none"}
        "mean" and "sum" run over the anchors with a positive.
    block_size : int or None
        Rows of one tile of the pairs, of which a few at a time are in memory; None chooses by the
        number of rows, 0 holds all N x N pairs. Second derivatives, forward mode and
        tf.vectorized_map hold them whatever it is.

    Returns
    -------
    Tensor, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape, range or device.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2.

    Examples
    --------
    Equal rows: the loss is the logarithm of the number of others.

    >>> import tensorflow as tf
    >>> round(float(supcon_loss(tf.ones((3, 2)), [0, 0, 1])), 4)
    0.6931
    """
    options = (normalize, reduction, block_size)
    return weighted_loss(embeddings, labels, None, *options, temperature=temperature)


def tcl_loss(
    embeddings: Any,
    labels: Any = None,
    *,
    temperature: Any = contract.TEMPERATURE,
    k1: Any = contract.K1,
    k2: Any = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
) -> Tensor:
    """Return the TCL loss, clause TCL-1; differentiable any number of times.

    Parameters
    ----------
    embeddings, labels, temperature, normalize, reduction, block_size
        As in `supcon_loss`.
    k1, k2 : float, or Tensor or Variable of shape (), no unit
        Weights of the positives' second term and of the negatives; a tensor may be learnable.

    Returns
    -------
    Tensor, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape, range or device.

    References
    ----------
    C. Animesh, M. Chandraker, "Tuned Contrastive Learning", arXiv 2305.10675, WACV 2025.

    Examples
    --------
    Orthonormal rows: the loss of each anchor is log(|P| (1 + k1) + k2 |N|), here log 6.

    >>> import tensorflow as tf
    >>> round(float(tcl_loss(tf.eye(4), [0, 0, 1, 1], k1=1, k2=2)), 4)
    1.7918
    """
    scalars = {"temperature": temperature, "k1": k1, "k2": k2}
    return weighted_loss(embeddings, labels, None, normalize, reduction, block_size, **scalars)


def describe(value: Any) -> contract.Array | None:
    """Describe a tensor, a variable or a NumPy array to `spec.contract`; None for anything else."""
    if isinstance(value, np.ndarray):
        known = value.shape == () and value.dtype.name in contract.COMPUTE_DTYPES
        number = float(value) if known else None
        return contract.Array(value.dtype.name, value.shape, value=number)
    # Keras' variables are no tf.Variable, but tensors to tf.is_tensor.
    if not tf.is_tensor(value) or isinstance(value, _NOT_DENSE):
        return None
    dtype, shape = tf.as_dtype(value.dtype), tf.TensorShape(value.shape)
    device = getattr(value, "device", None) or None  # that of a graph's tensor is not known yet
    # TensorFlow reads data into host memory, keeps integers there, and copies them itself to where
    # they are needed. There labels say as little of a device as NumPy's do.
    if (dtype.is_integer or dtype.is_bool) and device and device.endswith("device:CPU:0"):
        device = None
    # tf.numpy_function gives tensors without a rank. Labels may be: `_row_labels` checks them.
    if shape.rank is None and dtype.is_floating:
        raise ValueError(
            f"a tensor of {dtype.name} must have a known rank, got one of unknown rank: "
            "give it with tf.ensure_shape"
        )
    return contract.Array(dtype.name, (None,) if shape.rank is None else tuple(shape), device)


_NOT_DENSE = (tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices)


def weighted_loss(
    embeddings: Any,
    labels: Any,
    weights: Tensor | None,
    normalize: bool,
    reduction: str,
    block_size: int | None,
    **scalars: Any,
) -> Tensor:
    """Check, cast, normalise, compute and reduce; SupCon is TCL with k1 = 0 and k2 = 1 (LAW-1).

    `weights` (N,) or (B,) multiply the losses of the rows or samples; A stays what it is (SUP-8).
    """
    contract.check_arguments(
        describe, embeddings, labels, **scalars, normalize=normalize, reduction=reduction
    )
    block_size = contract.check_block_size(block_size)
    embeddings = tf.convert_to_tensor(embeddings)
    classes = _row_labels(labels, embeddings)
    dtype = tf.float64 if embeddings.dtype == tf.float64 else tf.float32
    rows = tf.cast(tf.reshape(embeddings, (-1, tf.shape(embeddings)[-1])), dtype)  # (N, D)
    T = _scalar(scalars["temperature"], rows)
    k1, k2 = _scalar(scalars.get("k1", 0.0), rows), _scalar(scalars.get("k2", 1.0), rows)
    if isinstance(T, float):
        T = min(T, float(dtype.max))  # beyond it, every quotient by T is 0 all the same
    z = _unit_rows(rows) if normalize else rows
    by_tiles = partial(blockwise.anchor_losses, z, classes, T, k1, k2, normalize, block_size)
    by_pairs = partial(dense.anchor_losses, z, classes, T, k1, k2, normalize)
    chosen = blockwise.chosen(z, T, k1, k2, block_size)
    if isinstance(chosen, Tensor):
        losses, anchors = tf.cond(chosen, by_tiles, by_pairs)
    else:
        losses, anchors = by_tiles() if chosen else by_pairs()
    # NUM-12: neither k2 = 0 nor exp(-inf) may hide what is not a number. To ask one column of
    # normalised rows saves nothing here.
    finite = tf.cast(tf.math.is_finite(tf.stop_gradient(rows)), dtype)
    all_finite = tf.reduce_min(finite) > 0  # reduce_all is far slower
    poison = tf.where(all_finite, tf.constant(1, dtype), tf.constant(math.nan, dtype))
    losses = tf.where(anchors, losses * poison, tf.constant(0, dtype))
    if weights is not None:
        losses *= _for_each_row(tf.cast(weights, dtype), embeddings)
    if reduction == "none":
        return tf.reshape(losses, tf.shape(embeddings)[:-1])
    if reduction == "mean":
        losses /= tf.maximum(tf.reduce_sum(tf.cast(anchors, dtype)), 1)
    return tf.reduce_sum(losses)


def _row_labels(labels: Any, embeddings: Tensor) -> Tensor:
    """Return one int64 label for each row, (N,)."""
    if labels is None:
        with tf.control_dependencies(_unknown_views_checked(embeddings)):
            classes = tf.range(tf.shape(embeddings, tf.int64)[0])
    elif tf.is_tensor(labels):
        classes = tf.cast(labels, tf.int64)  # keeps the bits of uint64
        if classes.shape.rank is None:
            classes = tf.ensure_shape(classes, [None])  # as it runs; XLA as it compiles (INP-13)
    elif isinstance(labels, np.ndarray):
        classes = tf.constant(labels.astype(np.int64))  # NumPy keeps the bits of uint64
    else:
        classes = tf.constant(contract.signed_labels(labels), tf.int64)
    return _for_each_row(classes, embeddings)


def _unknown_views_checked(embeddings: Tensor) -> list[tf.Operation]:
    """Return INP-9 as an assertion where only a run knows V; XLA drops it."""
    if embeddings.shape[1] is not None:
        return []
    told = "labels must be given unless embeddings have shape (B, V, D) with V >= 2"
    return [tf.debugging.assert_greater(tf.shape(embeddings)[1], 1, told)]


def _for_each_row(values: Tensor, embeddings: Tensor) -> Tensor:
    """Return one value for each row, (N,), of values for the rows, or for the samples of views."""
    shape = tf.shape(embeddings)[:-1]
    if values.shape.num_elements() is None or embeddings.shape[0] is None:
        # Nothing may be broadcast. XLA drops assertions, a graph's optimiser drops reshapes.
        told = "labels and weights must have one entry for each row or sample of embeddings"
        tf.debugging.assert_equal(tf.size(values), shape[0], told)
    values = tf.reshape(values, shape[:1])
    if embeddings.shape.rank == 3:
        values = tf.reshape(tf.broadcast_to(values[:, None], shape), (-1,))
    return values


def _scalar(value: Any, rows: Tensor) -> Tensor | float:
    """Return a tensor no narrower than `rows`; a number as a float."""
    if tf.is_tensor(value) or isinstance(value, np.ndarray):
        value = tf.convert_to_tensor(value)
        return tf.cast(value, tf.float64 if value.dtype == tf.float64 else rows.dtype)
    return float(value)


def _unit_rows(x: Tensor) -> Tensor:
    """Return x_i / ||x_i||, 0 with gradient 0 for a zero row (SUP-1, SUP-2).

    Each row is first divided by its largest entry, so that no square overflows or vanishes
    (NUM-7). z does not depend on that number, nor do its derivatives.
    """
    # A power of two near it would not round; its bits are what tf.vectorized_map cannot read.
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(x)), 1, keepdims=True)
    scale = tf.maximum(largest, 2.0**-64)  # (N, 1)
    y = x / scale
    squares = tf.reduce_sum(tf.square(y), 1, keepdims=True)
    zero = scale * tf.sqrt(tf.stop_gradient(squares)) < _MIN_NORM[x.dtype]
    # Both are replaced before the root and the product, whose derivatives are NaN at 0. Nor would
    # XLA leave one quotient after another: it divides by the product, which may be infinite.
    y = tf.where(zero, tf.zeros_like(y), y)
    return y * tf.math.reciprocal(tf.sqrt(tf.where(zero, tf.ones_like(squares), squares)))
