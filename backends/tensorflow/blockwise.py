"""Value and exact gradient by tiles, in memory O(N D) (SUP-4 to SUP-7, TCL-1 to -5, GRD-1 to -9).

The gradient is written out, and its own derivative is that of `dense`: so every transform of
TensorFlow is right at any size, and costs O(N^2) only where it asks for more than a gradient.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow import Tensor
from tensorflow.python.eager.forwardprop_util import pack_tangents  # has no public name
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext  # nor has this

from tuned_contrastive.backends.tensorflow import dense, tiles
from tuned_contrastive.backends.tensorflow.rows import LARGEST_EXPONENT, Order, sort_rows
from tuned_contrastive.backends.tensorflow.tiles import Plan

THRESHOLD = (128, 1536)
"""From this number of rows on, tiles are no slower than all pairs at once (PRF-2; D = 128, 2-core
CPU; a GPU was not measured). The first compiled by XLA: at 128 rows 1.30 : 1.38 ms for SupCon and
1.25 : 1.41 for TCL; its first call takes a second longer. The other in a graph: at 1536 rows
34 : 38 and 40 : 44. Where parameters are tensors, on another CPU: 10.7 : 11.1 and 14.7 : 18.8, but
11.4 : 7.7 and 20.1 : 14.0 at 1280."""

BLOCK_SIZE = ((512, 512), (1280, 512))
"""Rows of the largest tile, in a graph and by XLA: where one or two blocks of the first hold all
rows, that; else the second (2-core CPU). By XLA SupCon and TCL of 1024 rows took 10.4, 13.3 ms in
one tile, of which XLA makes one product, and 12.3, 14.2 in tiles of 512; of 2560 rows 74, 70 in
tiles of 1280 and 68, 68 of 512; of 4096 rows 178, 210 of 1024 and 165, 180 of 512. In a graph 2048
rows took 90, 82 in tiles of 1024 and 80, 72 of 512."""

MOST_ROWS = 2**31 - 1
"""Of a block: a graph counts its rows in int32."""

Scalar: TypeAlias = Tensor | float
Scalars = tuple[float | None, float | None, float | None]


def chosen(z: Tensor, T: Scalar, k1: Scalar, k2: Scalar, block_size: int | None) -> bool | Tensor:
    """Return whether the losses of these rows are computed by tiles; a tensor where a run tells."""
    tensors = [value for value in (T, k1, k2) if isinstance(value, Tensor)]
    if _vectorized() or _forward_mode([z, *tensors]):
        return False
    if block_size is not None:
        return block_size > 0
    compiled = _by_xla()
    least, count = THRESHOLD[not compiled], z.shape[0]
    if count is None:  # XLA would need room for both forms
        return compiled or tf.shape(z)[0] >= least
    return count >= least


def anchor_losses(
    z: Tensor,
    labels: Tensor,
    T: Scalar,
    k1: Scalar,
    k2: Scalar,
    normalize: bool,
    block_size: int | None,
) -> tuple[Tensor, Tensor]:
    """Return what `dense.anchor_losses` does, by tiles of `block_size` rows (None: automatic).

    `normalize` tells that every row has norm 1 or 0.
    """
    if not tf.executing_eagerly():  # in a branch its gradient takes them for the branch's own
        z, labels, T, k1, k2 = (
            tf.identity(value) if isinstance(value, Tensor) else value
            for value in (z, labels, T, k1, k2)
        )
    scalars = (T, k1, k2)
    tensors = [value for value in scalars if isinstance(value, Tensor)]
    low = isinstance(k1, Tensor) or k1 != 0
    split = isinstance(k2, Tensor) or k2 != 1
    limit = LARGEST_EXPONENT[z.dtype]
    plain = dense.fits(limit, T, k1, k2) if normalize and not tensors else None
    kept = (split, low, isinstance(T, Tensor))
    largest = (min(block_size, MOST_ROWS),) * 2 if block_size else BLOCK_SIZE[_by_xla()]
    plan = Plan(*kept, plain, normalize, largest, not block_size)
    order = Order(*_run(_sorted, None, labels))
    losses: Tensor = _differentiable(plan, labels, order, scalars)(z, *tensors)
    return losses, tf.gather(order.sizes, order.places) > 0


def _differentiable(
    plan: Plan, labels: Tensor, order: Order, scalars: Sequence[Scalar]
) -> Callable[..., Tensor]:
    """Return the losses as a function of z and of what of `scalars` is a tensor."""
    numbers = tuple(None if isinstance(value, Tensor) else value for value in scalars)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def losses(z: Tensor, *tensors: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        # Or a tape would follow the loops, which it could only differentiate at O(N^2).
        fixed = tf.stop_gradient(z)
        T, *log_ks = _constants(scalars, z.dtype)
        found = _run(tiles.losses, plan, tuple(order), fixed, T, *log_ks)
        # Or the second derivative of a function would follow them, which XLA cannot compile.
        value, *sums = (tf.stop_gradient(values) for values in found)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def gradients(w: Tensor, z: Tensor, *tensors: Tensor) -> tuple[Any, Callable[..., Any]]:
            # Into this graph: its own gradient does not reach into that of a function's losses.
            classes, *inputs = (tf.identity(value) for value in (labels, w, z, *tensors))
            w_fixed = tf.stop_gradient(w)
            if _vectorized():
                found = _dense_gradients(numbers, labels, (w_fixed, fixed, *tensors))
            else:
                given = (tuple(order), tuple(sums), w_fixed, fixed, T, *log_ks)
                dz, slope, *dks = _run(tiles.gradients, plan, *given)
                found = [dz, *_of_tensors(scalars, slope, *dks)]

            def second(*arriving: Tensor) -> Any:
                return _run(_dense_second, numbers, classes, inputs, arriving)

            return tuple(found), second

        return value, lambda w: gradients(w, z, *tensors)

    return losses  # type: ignore[no-any-return]


def _constants(scalars: Sequence[Scalar], dtype: tf.DType) -> list[Tensor]:
    """Return T, log k1 and log k2 without a gradient, each read where it has its own range."""
    T, *ks = (tf.stop_gradient(v) if isinstance(v, Tensor) else v for v in scalars)
    logs: list[Any] = [
        tf.math.log(k) if isinstance(k, Tensor) else math.log(k) if k else -math.inf for k in ks
    ]
    T, *logs = (
        tf.cast(v, dtype) if isinstance(v, Tensor) else tf.constant(v, dtype) for v in (T, *logs)
    )
    # Beyond the range of the dtype T over its root would not be a number.
    return [tf.clip_by_value(T, np.finfo(dtype.as_numpy_dtype).tiny, dtype.max), *logs]


def _of_tensors(scalars: Sequence[Scalar], slope: Tensor, *dks: Tensor) -> list[Tensor]:
    """Return the derivatives in what of T, k1 and k2 is a tensor, in its dtype."""
    T = tf.stop_gradient(scalars[0]) if isinstance(scalars[0], Tensor) else None
    found = [None if T is None else tf.cast(slope, T.dtype) / tf.sqrt(T), *dks]
    pairs = zip(found, scalars, strict=True)
    return [tf.cast(d, value.dtype) for d, value in pairs if isinstance(value, Tensor)]


def _run(function: Callable[..., Any], static: Any, *arguments: Any) -> Any:
    """Call a function of tensors, which when eager is traced once: loops of Python are slow."""
    if tf.executing_eagerly():
        return _traced(function, static)(*arguments)
    return function(static, *arguments)


@lru_cache(64)
def _traced(function: Callable[..., Any], static: Any) -> Callable[..., Any]:
    traced: Callable[..., Any] = tf.function(
        partial(function, static), autograph=False, reduce_retracing=True
    )
    return traced


def _by_xla() -> bool:
    """Return whether XLA compiles this."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def _vectorized() -> bool:
    """Return whether tf.vectorized_map traces this, which is right by tiles, but takes a minute.

    It is known by its scope, and by the number of the sample in that.
    """
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        parts = graph.get_name_scope().split("/")
        for end, part in enumerate(parts, 1):
            name = "/".join((*parts[:end], "PlaceholderWithDefault"))
            if part.startswith("loop_body") and _has(graph, name):
                return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _has(graph: tf.Graph, name: str) -> bool:
    try:
        return bool(graph.get_operation_by_name(name))
    except KeyError:
        return False


def _forward_mode(inputs: Sequence[Tensor]) -> bool:
    """Return whether an accumulator follows this in a graph.

    There it takes tf.custom_gradient for the identity (TensorFlow 2.21), and its derivative is 0.
    """
    return not tf.executing_eagerly() and bool(pack_tangents(list(inputs)).tangents)


def _dense_gradients(
    numbers: Sequence[float | None], labels: Tensor, inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Return the gradient of sum_i w_i l_i by the dense form, in a graph.

    Without tapes: forward mode comes here too, and lets none record meanwhile.
    """
    w, z, *tensors = inputs
    rest = iter(tensors)
    T, k1, k2 = (next(rest) if value is None else value for value in numbers)
    # Whatever the rows are: the form for all of them holds for those of norm 1, too.
    losses, _ = dense.anchor_losses(z, labels, T, k1, k2, normalize=False)
    zero = tf.UnconnectedGradients.ZERO
    found: list[Tensor] = tf.gradients(losses, (z, *tensors), w, unconnected_gradients=zero)
    return found


def _dense_second(
    numbers: Sequence[float | None],
    labels: Tensor,
    inputs: Sequence[Tensor],
    arriving: Sequence[Tensor],
) -> list[Tensor]:
    """Return the derivative of that gradient in all `inputs`."""
    inputs = [tf.identity(value) for value in inputs]
    found = _dense_gradients(numbers, labels, inputs)
    zero = tf.UnconnectedGradients.ZERO
    second: list[Tensor] = tf.gradients(found, inputs, arriving, unconnected_gradients=zero)
    return second


def _sorted(_: None, labels: Tensor) -> Any:
    return tuple(sort_rows(labels))
