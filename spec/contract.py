"""What may be handed to the losses: names, defaults, ranges, error texts (INP-1 to INP-29).

Framework-free: a backend describes its own arrays as `Array`, everything else is decided here, so a
wrong argument raises the same type with the same text everywhere.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

SPEC_VERSION = "1.0"
TEMPERATURE = 0.1
K1 = 5000.0
K2 = 1.0
REDUCTIONS = ("mean", "sum", "none")
RESERVED = ("weights", "ignore_label", "keys", "key_labels", "positive_mask")
MIN_NORM = 1e-12
"""A row whose Euclidean norm is below this is a zero row (clause SUP-2)."""

COMPUTE_DTYPES = {
    "float16": "float32",
    "bfloat16": "float32",
    "float32": "float32",
    "float64": "float64",
}
"""The dtype that each dtype of `embeddings` computes in (clauses NUM-1, NUM-2)."""

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Array:
    """What an argument is, told without its framework; an unknown size is None."""

    dtype: str
    shape: Shape
    device: str | None = None
    """None on the host, and where it is not known, as while tracing."""
    value: float | None = None
    """The number itself where reading it costs nothing; a device is never read back (INP-23)."""


Describe = Callable[[Any], Array | None]
"""Gives the `Array` of a framework's own array, and None for everything else."""


def check_arguments(
    describe: Describe,
    embeddings: Any,
    labels: Any,
    *,
    normalize: Any,
    reduction: Any,
    **scalars: Any,
) -> None:
    """Refuse wrong arguments, the first in signature order (INP-22), before any work."""
    rows = check_embeddings(describe, embeddings)
    check_labels(describe, labels, rows)
    check_parameters(describe, normalize=normalize, reduction=reduction, **scalars)


def check_embeddings(describe: Describe, embeddings: Any) -> Array:
    """Return the description of `embeddings`; TypeError for its dtype, ValueError for its shape."""
    array = describe(embeddings)
    if array is None or array.dtype not in COMPUTE_DTYPES:
        got = _kind(embeddings) if array is None else array.dtype
        raise TypeError(
            f"embeddings must be an array of float16, bfloat16, float32 or float64, got {got}"
        )
    if len(array.shape) not in (2, 3) or 0 in array.shape:
        raise ValueError(
            "embeddings must have shape (N, D) or (B, V, D) without an empty axis, "
            f"got {_text(array.shape)}"
        )
    return array


def check_labels(describe: Describe, labels: Any, embeddings: Array) -> None:
    """Refuse labels of another kind, shape or device than `embeddings` asks for."""
    size = embeddings.shape[0]
    if labels is None:
        views = embeddings.shape[1] if len(embeddings.shape) == 3 else 1
        if views is not None and views < 2:
            raise ValueError(
                "labels must be given unless embeddings have shape (B, V, D) with V >= 2, "
                f"got None with embeddings of shape {_text(embeddings.shape)}"
            )
        return
    array = describe(labels) or numpy_array(labels) or _sequence(labels)
    if array is None or array.dtype not in (*INTEGERS, "bool"):
        got = _kind(labels) if array is None else array.dtype
        raise TypeError(
            f"labels must be an array of integer or boolean dtype or a sequence of int, got {got}"
        )
    known = len(array.shape) == 1 and (None in (array.shape[0], size) or array.shape[0] == size)
    if not known:
        raise ValueError(f"labels must have shape {_text((size,))}, got {_text(array.shape)}")
    if None not in (array.device, embeddings.device) and array.device != embeddings.device:
        raise ValueError(
            f"labels must be on the device of embeddings, {embeddings.device}, got {array.device}"
        )


def check_parameters(describe: Describe, *, normalize: Any, reduction: Any, **scalars: Any) -> None:
    """Refuse wrong temperature, k1, k2 (those given), normalize and reduction."""
    for name, value in scalars.items():
        _check_scalar(describe, name, value)
    kind = type(normalize)
    if not (kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))):
        raise TypeError(f"normalize must be a bool, got {_kind(normalize)}")
    if not isinstance(reduction, str):
        raise TypeError(f"reduction must be a string, got {_kind(reduction)}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def check_block_size(block_size: Any) -> int | None:
    """Return the rows of one tile, where an implementation offers the choice, or refuse them."""
    if block_size is None:
        return None
    if isinstance(block_size, bool) or not hasattr(block_size, "__index__"):
        raise TypeError(f"block_size must be an int or None, got {_kind(block_size)}")
    if operator.index(block_size) < 0:
        raise ValueError(f"block_size must be >= 0, got {block_size}")
    return operator.index(block_size)


def numpy_array(value: Any) -> Array | None:
    """Describe a NumPy array or scalar, which every backend takes as labels."""
    if not hasattr(value, "__array_interface__"):
        return None
    return Array(value.dtype.name, tuple(value.shape))


def signed_labels(labels: Sequence[Any]) -> list[int]:
    """Return a sequence of int as 64-bit two's complement, which keeps equality (INP-7).

    One NumPy call on the same list would promote mixed widths to float64 and merge labels.
    """
    return [value - 2**64 if value >= 2**63 else value for value in map(operator.index, labels)]


def _check_scalar(describe: Describe, name: str, value: Any) -> None:
    array = describe(value)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if array is not None and not is_number:
        if array.dtype not in COMPUTE_DTYPES:
            raise TypeError(
                f"{name} must be a real number or a floating scalar array, got {array.dtype}"
            )
        if array.shape != ():
            raise ValueError(f"{name} must have shape (), got {_text(array.shape)}")
        if array.value is None:
            return
        value = array.value
    elif not is_number:
        raise TypeError(
            f"{name} must be a real number or a floating scalar array, got {_kind(value)}"
        )
    bound, allowed = ("> 0", value > 0) if name == "temperature" else (">= 0", value >= 0)
    if not (allowed and _is_finite(value)):
        raise ValueError(f"{name} must be finite and {bound}, got {value}")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond float64
        return False


def _sequence(labels: Any) -> Array | None:
    """Describe a sequence of int; None for any other object."""
    if not isinstance(labels, (list, tuple, range)):
        return None
    try:
        values = [operator.index(value) for value in labels]
    except TypeError:
        return None
    low, high = min(values, default=0), max(values, default=0)
    if low < -(2**63) or high >= 2**64 or (low < 0 and high >= 2**63):
        raise ValueError(f"labels must fit one 64-bit integer type, got {low} to {high}")
    return Array("int64", (len(values),))


def _kind(value: Any) -> str:
    """Name a value's type; a sequence also names the first element that is no integer."""
    if isinstance(value, (list, tuple)):
        for element in value:
            if not hasattr(element, "__index__"):
                return f"{type(value).__name__} of {type(element).__name__}"
    return type(value).__name__


def _text(shape: Shape) -> str:
    sizes = ["?" if size is None else str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
