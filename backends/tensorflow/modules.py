"""The losses as `keras.losses.Loss`: integer labels, sample weights, saved and loaded (INP-27)."""

import operator
from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from tuned_contrastive.backends.tensorflow.losses import describe, weighted_loss
from tuned_contrastive.spec import contract

_OF_KERAS = {None: "none", "sum_over_batch_size": "mean"}
"""Keras' own words for reductions, and ours; "mean_with_sample_weight" has none."""


class _Loss(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """Holds a loss's parameters, checked once at construction (INP-15 to INP-20)."""

    _scalars: tuple[str, ...]

    def __init__(
        self,
        *,
        normalize: bool,
        reduction: str | None,
        name: str,
        dtype: Any,
        block_size: int | None,
        **scalars: Any,
    ) -> None:
        _refuse_other_backends(keras.backend.backend())
        if reduction is None or isinstance(reduction, str):
            reduction = _OF_KERAS.get(reduction, reduction)
        contract.check_parameters(describe, normalize=normalize, reduction=reduction, **scalars)
        contract.check_block_size(block_size)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        for parameter, value in scalars.items():
            setattr(self, parameter, value)
        self._scalars = tuple(scalars)
        self.normalize = normalize
        self.block_size = None if block_size is None else operator.index(block_size)
        self._given_dtype = None if dtype is None else keras.dtype_policies.get(dtype).name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Return the loss of embeddings `y_pred` with labels `y_true`, (N,), (N, 1) or (B,).

        Keras' own `__call__` casts labels to float32, which merges those above 2**24.
        """
        if getattr(y_pred, "_keras_mask", None) is not None:
            raise ValueError("y_pred must carry no mask: leave rows out, or weigh them with 0")
        return self._loss(y_true, y_pred, sample_weight, self.reduction)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Return the loss of each row, as for reduction "none"."""
        return self._loss(y_true, y_pred, None, "none")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a tensor or variable as the number that it is now."""
        numbers = {name: _number(getattr(self, name)) for name in self._scalars}
        own = {
            "normalize": bool(self.normalize),
            "dtype": self._given_dtype,
            "block_size": self.block_size,
        }
        return {**super().get_config(), **numbers, **own}

    def _loss(self, y_true: Any, y_pred: Any, sample_weight: Any, reduction: str) -> Tensor:
        labels = _one_per_row(y_true)
        contract.check_labels(describe, labels, contract.check_embeddings(describe, y_pred))
        y_pred = tf.convert_to_tensor(y_pred)
        if self._given_dtype is not None:
            y_pred = tf.cast(y_pred, self.dtype)
        weights = None if sample_weight is None else _weights(sample_weight, y_pred)
        scalars = {name: getattr(self, name) for name in self._scalars}
        options = (self.normalize, reduction, self.block_size)
        return weighted_loss(y_pred, labels, weights, *options, **scalars)


def _refuse_other_backends(name: str) -> None:
    if name == "tensorflow":
        return
    own = {"jax": "tuned_contrastive.backends.jax", "torch": "tuned_contrastive.backends.torch"}
    instead = (
        f"import the losses from {own[name]}" if name in own else "set KERAS_BACKEND=tensorflow"
    )
    raise RuntimeError(f"these classes need Keras on tensorflow, got Keras on {name}: {instead}")


def _one_per_row(values: Any) -> Any:
    """Return labels (N, 1) as (N,): a column is what Keras' users often have."""
    if tf.is_tensor(values) and tf.TensorShape(values.shape).rank is None:
        shape = tf.shape(values)
        column = tf.equal(tf.reduce_prod(shape), shape[0])
        return tf.reshape(values, shape[: tf.where(column, 1, tf.size(shape))])
    array = describe(values)
    column = array is not None and len(array.shape) == 2 and array.shape[1] == 1
    return values[:, 0] if column else values


def _weights(sample_weight: Any, y_pred: Tensor) -> Tensor:
    """Return one weight for each row or sample, (N,), (N, 1) or (B,); one number is for all."""
    weights = tf.convert_to_tensor(sample_weight)
    dtype, allowed = weights.dtype, y_pred.shape[:1]
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise TypeError(f"sample_weight must be an array of real numbers, got {dtype.name}")
    if weights.shape.rank == 0:
        return tf.fill(tf.shape(y_pred)[:1], weights)
    column = allowed.concatenate(1)
    if not any(weights.shape.is_compatible_with(shape) for shape in (allowed, column)):
        raise ValueError(
            f"sample_weight must have shape (), {_text(allowed)} or {_text(column)}, "
            f"got {_text(weights.shape)}"
        )
    return weights


def _text(shape: tf.TensorShape) -> str:
    """Spell a shape as `spec.contract` does, an unknown size as a question mark."""
    return str(tuple(shape)).replace("None", "?")


def _number(value: Any) -> float:
    return float(tf.convert_to_tensor(value) if tf.is_tensor(value) else value)


@keras.saving.register_keras_serializable(package="tuned_contrastive")
class SupConLoss(_Loss):
    """SupCon as a Keras loss, clause SUP-5.

    Parameters
    ----------
    temperature, normalize, reduction
        As in `supcon_loss`. Keras' "sum_over_batch_size" is read as "mean" (over the anchors with
        a positive, SUP-8), and None as "none"; "mean_with_sample_weight" is refused. `fit` trains
        a model's own variables alone: a variable given here is learnt in one's own training step.
    block_size : int, optional
        As in `supcon_loss`.
    name : str
    dtype : str or DTypePolicy, optional
        What `y_pred` is cast to first; by default nothing, half precision included (NUM-2).

    Notes
    -----
    Called as ``loss(y_true, y_pred, sample_weight=None)`` with labels (N,), (N, 1) or (B,). Weights
    of these shapes, or one number, multiply the losses, and the mean is still divided by the number
    of anchors. Labels of None do not pass through `fit`: number the samples instead (INP-8).

    Before `keras.models.load_model` reads a saved `.keras` file in a fresh process, import
    `tuned_contrastive.backends.tensorflow`, which tells Keras of these classes.

    Raises
    ------
    TypeError, ValueError
        At construction, as `supcon_loss`; when called, also for a mask on `y_pred`.
    RuntimeError
        Where Keras runs on another backend than TensorFlow.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2.

    Examples
    --------
    >>> import tensorflow as tf
    >>> round(float(SupConLoss(temperature=0.5)([0, 0, 1], tf.ones((3, 2)))), 4)
    0.6931
    """

    def __init__(
        self,
        *,
        temperature: Any = contract.TEMPERATURE,
        normalize: bool = True,
        reduction: str | None = "mean",
        block_size: int | None = None,
        name: str = "supcon_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            temperature=temperature,
            normalize=normalize,
            reduction=reduction,
            block_size=block_size,
            name=name,
            dtype=dtype,
        )


@keras.saving.register_keras_serializable(package="tuned_contrastive")
class TCLLoss(_Loss):
    """TCL as a Keras loss, clause TCL-1.

    Parameters
    ----------
    temperature, k1, k2, normalize, reduction
        As in `tcl_loss`, with Keras' words as in `SupConLoss`.
    block_size, name, dtype
        As in `SupConLoss`, and so are the call, its weights and what is refused.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `SupConLoss`.

    References
    ----------
    C. Animesh, M. Chandraker, "Tuned Contrastive Learning", arXiv 2305.10675, WACV 2025.

    Examples
    --------
    >>> import tensorflow as tf
    >>> round(float(TCLLoss(k1=1, k2=2)([0, 0, 1, 1], tf.eye(4))), 4)
    1.7918
    """

    def __init__(
        self,
        *,
        temperature: Any = contract.TEMPERATURE,
        k1: Any = contract.K1,
        k2: Any = contract.K2,
        normalize: bool = True,
        reduction: str | None = "mean",
        block_size: int | None = None,
        name: str = "tcl_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            temperature=temperature,
            k1=k1,
            k2=k2,
            normalize=normalize,
            reduction=reduction,
            block_size=block_size,
            name=name,
            dtype=dtype,
        )
