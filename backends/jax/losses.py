"""SupCon and TCL for JAX: check, normalise, compute, reduce (INP-1 to INP-25, SUP-1 to SUP-11).

The arguments are described to `spec.contract`, which decides what is refused; the formula itself
is in `dense` for few rows, in `blockwise` for many.
"""

import operator
from collections.abc import Hashable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.dtypes import canonicalize_dtype
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from tuned_contrastive.backends.jax import blockwise, dense
from tuned_contrastive.spec import contract

# The smallest number of each dtype that is not below MIN_NORM, to which float32 would round down.
_MIN_NORM = {
    "float32": float(np.nextafter(np.float32(contract.MIN_NORM), np.float32(1))),
    "float64": contract.MIN_NORM,
}


def supcon_loss(
    embeddings: ArrayLike,
    labels: Any = None,
    *,
    temperature: ArrayLike = contract.TEMPERATURE,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
    precision: Any = jax.lax.Precision.HIGHEST,
) -> Array:
    """Return the SupCon loss, clause SUP-5; differentiable any number of times.

    Under `jax.jit`, `normalize`, `reduction`, `block_size` and `precision` are static.

    Parameters
    ----------
    embeddings : jax or NumPy array, (N, D) or (B, V, D), float16, bfloat16, float32 or float64
        Half precision is computed in float32 (NUM-2), and so is NumPy's float64 without
        `jax_enable_x64`, as everywhere in JAX.
    labels : jax array on the device of `embeddings`, NumPy array or sequence of int, (N,) or (B,)
        Integer or boolean; None only for (B, V, D): every sample is its own class (INP-8). Without
        `jax_enable_x64` they must fit 32 bits (INP-28); only NumPy arrays and sequences can be
        checked: a jax array was cut when it was made, inside of `jax.jit` and `jax.vmap` too.
    temperature : float or jax array of shape (), no unit
        An array may be learnable; its range is not checked, which would wait for the device.
    normalize : bool
        Whether rows are divided by their Euclidean norm.
    reduction : {"mean", "sum", "none"}
        "mean" and "sum" run over the anchors with a positive.
    block_size : int or None
        Rows of one tile of the pairs, of which a few at a time are in memory; None chooses by the
        number of rows, 0 holds all N x N pairs. Second derivatives and forward mode hold them
        whatever it is.
    precision : as `jax.numpy.matmul` takes it
        That of the products of the rows, by default the highest (NUM-18).

    Returns
    -------
    Array, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

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

    >>> import jax.numpy as jnp
    >>> round(float(supcon_loss(jnp.ones((3, 2)), [0, 0, 1])), 4)
    0.6931
    """
    return _loss(
        embeddings, labels, normalize, reduction, block_size, precision, temperature=temperature
    )


def tcl_loss(
    embeddings: ArrayLike,
    labels: Any = None,
    *,
    temperature: ArrayLike = contract.TEMPERATURE,
    k1: ArrayLike = contract.K1,
    k2: ArrayLike = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
    precision: Any = jax.lax.Precision.HIGHEST,
) -> Array:
    """Return the TCL loss, clause TCL-1; differentiable any number of times.

    Under `jax.jit`, `normalize`, `reduction`, `block_size` and `precision` are static.

    Parameters
    ----------
    embeddings, labels, temperature, normalize, reduction, block_size, precision
        As in `supcon_loss`.
    k1, k2 : float or jax array of shape (), no unit
        Weights of the positives' second term and of the negatives; an array may be learnable.

    Returns
    -------
    Array, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

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

    >>> import jax.numpy as jnp
    >>> round(float(tcl_loss(jnp.eye(4), [0, 0, 1, 1], k1=1, k2=2)), 4)
    1.7918
    """
    scalars = {"temperature": temperature, "k1": k1, "k2": k2}
    return _loss(embeddings, labels, normalize, reduction, block_size, precision, **scalars)


def describe(value: Any) -> contract.Array | None:
    """Describe a jax or NumPy array to `spec.contract`; None for anything else."""
    if isinstance(value, np.ndarray):
        is_number = value.shape == () and value.dtype.name in contract.COMPUTE_DTYPES
        number = float(value) if is_number else None
        return contract.Array(value.dtype.name, value.shape, value=number)
    if not isinstance(value, Array):
        return None
    # An array that is not committed to a device follows the others, and a tracer has none.
    is_placed = not isinstance(value, jax.core.Tracer) and value.committed
    places = value.devices() if is_placed else ()
    device = str(*places) if len(places) == 1 else None
    return contract.Array(value.dtype.name, tuple(value.shape), device)


def _describe_scalar(value: Any) -> contract.Array | None:
    """Describe as `describe` does, a Python int that `jax.jit` has traced as the number it is."""
    array = describe(value)
    return replace(array, dtype="float32") if array and _is_traced_int(value) else array


def _is_traced_int(value: Any) -> bool:
    is_weak = isinstance(value, jax.core.Tracer) and value.weak_type
    return is_weak and value.shape == () and value.dtype.name in contract.INTEGERS


def _loss(
    embeddings: ArrayLike,
    labels: Any,
    normalize: bool,
    reduction: str,
    block_size: int | None,
    precision: Any,
    **scalars: ArrayLike,
) -> Array:
    """Check, cast, normalise, compute and reduce; SupCon is TCL with k1 = 0 and k2 = 1 (LAW-1)."""
    array = contract.check_embeddings(describe, embeddings)
    contract.check_labels(describe, labels, array)
    _check_width(labels)
    contract.check_parameters(_describe_scalar, normalize=normalize, reduction=reduction, **scalars)
    if not isinstance(precision, Hashable):
        got = type(precision).__name__
        raise TypeError(f"precision must be what jax.numpy.matmul takes, got {got}")
    block_size = contract.check_block_size(block_size)
    dtype = canonicalize_dtype(contract.COMPUTE_DTYPES[array.dtype])
    # Constants stay such, since XLA takes seconds to sort them while it compiles.
    is_traced = isinstance(labels, jax.core.Tracer)
    with nullcontext() if is_traced else jax.ensure_compile_time_eval():
        classes = _row_labels(labels, array.shape)
    T = _scalar(scalars["temperature"], dtype)
    k1, k2 = _scalar(scalars.get("k1", 0.0), dtype), _scalar(scalars.get("k2", 1.0), dtype)
    rows = _rows(embeddings, dtype)
    z = _unit_rows(rows) if normalize else rows
    if blockwise.chosen(z, T, k1, k2, normalize, block_size):
        losses, anchors = blockwise.anchor_losses(
            z, classes, T, k1, k2, normalize, block_size, precision
        )
    else:
        losses, anchors = dense.anchor_losses(z, classes, T, k1, k2, normalize, precision)
    # NaN where a row is not finite: neither k2 = 0 nor exp(-inf) may hide it (NUM-12).
    # Normalised, such a row is NaN in every column.
    numbers = stop_gradient(z[:, :1] if normalize else z)
    loss: Array = _reduced(losses, anchors, _poison(numbers), reduction)
    return loss.reshape(array.shape[:-1]) if reduction == "none" else loss


def _check_width(labels: Any) -> None:
    """Refuse labels on the host that JAX would cut to 32 bits (INP-28)."""
    if labels is None or isinstance(labels, Array) or canonicalize_dtype("int64") == "int64":
        return
    if isinstance(labels, np.ndarray):
        low, high = int(labels.min()), int(labels.max())
    else:
        values = [operator.index(value) for value in labels]
        low, high = min(values), max(values)
    if low < -(2**31) or high >= 2**32 or (low < 0 and high >= 2**31):
        raise ValueError(
            f"labels must fit 32 bits unless jax_enable_x64 is set, got {low} to {high}"
        )


def _rows(embeddings: Any, dtype: Any) -> Array:
    """Return the rows (N, D) in the compute dtype."""
    if isinstance(embeddings, np.ndarray):
        embeddings = jnp.asarray(embeddings.astype(dtype))  # in this machine's byte order, too
    rows: Array = embeddings.astype(dtype).reshape(-1, embeddings.shape[-1])
    return rows


def _row_labels(labels: Any, shape: contract.Shape) -> Array:
    """Return one label for each row, (N,), of integer or boolean dtype."""
    if labels is None:
        classes = jnp.arange(shape[0])
    elif isinstance(labels, Array):
        classes = labels
    else:
        # NumPy keeps the lower bits, all that INP-7 and INP-28 have left.
        host = labels if isinstance(labels, np.ndarray) else contract.signed_labels(labels)
        classes = jnp.asarray(np.asarray(host).astype(canonicalize_dtype("int64")))
    if len(shape) == 3:
        classes = jnp.broadcast_to(classes[:, None], shape[:2]).reshape(-1)
    return classes


def _scalar(value: Any, dtype: Any) -> Array | float:
    """Return an array no narrower than `dtype`; a number, NumPy's too, as a float."""
    if _is_traced_int(value):
        return jnp.asarray(value, dtype)
    if isinstance(value, Array):
        return value.astype(np.promote_types(value.dtype, dtype))
    return float(value)


@jax.jit
def _unit_rows(x: Array) -> Array:
    """Return x_i / ||x_i||, 0 with gradient 0 for a zero row (SUP-1, SUP-2).

    A row that is not finite is NaN in every column.

    Each row is first divided by a power of two near its largest entry, so that no square
    overflows or vanishes (NUM-7). z does not depend on that number, nor do its derivatives.
    """
    # Hidden: of constants XLA would take (1/scale)^2 out of the squares, which overflows.
    x = lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    largest = jnp.abs(stop_gradient(x)).max(1, keepdims=True)
    # The exponent's bits alone are that power: jnp.frexp is no shorter, jnp.exp2 not exact.
    infinity = np.asarray(np.inf, x.dtype).view(f"int{8 * x.dtype.itemsize}")
    bits = lax.bitcast_convert_type(largest, infinity.dtype) & infinity
    # Half of it, so that 1/scale, by which XLA multiplies, is no number that a CPU flushes to 0.
    scale = jnp.maximum(lax.bitcast_convert_type(bits, x.dtype) / 2, 2.0**-64)  # (N, 1)
    y = x / scale
    squares = jnp.square(y).sum(1, keepdims=True)
    zero = scale * jnp.sqrt(stop_gradient(squares)) < _MIN_NORM[x.dtype.name]
    # Both are replaced before the root and the quotient, whose derivatives are NaN at 0. Nor would
    # XLA leave one quotient after another: it divides by the product, which may be infinite.
    return jnp.where(zero, 0, y) / jnp.sqrt(jnp.where(zero, 1, squares))


@jax.jit
def _poison(numbers: Array) -> Array:
    """Return NaN where a number is not finite, or 0.

    Written without a NaN, at which `jax_debug_nans` would stop.
    """
    return (numbers - numbers).sum()


@partial(jax.jit, static_argnames="reduction")
def _reduced(losses: Array, anchors: Array, poison: Array, reduction: str) -> Array:
    """Reduce the losses of the anchors (SUP-8 to SUP-11, NUM-12)."""
    losses = jnp.where(anchors, losses + poison, 0)
    if reduction == "none":
        return losses
    if reduction == "mean":
        losses = losses / jnp.maximum(anchors.sum(), 1).astype(losses.dtype)
    return losses.sum()
