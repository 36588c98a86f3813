"""The formula by tiles of rows, in memory that grows with N: `dense`'s results and derivatives.

Three primitives: the losses, their derivative along tangents, and its transpose, the gradient.
Losses and gradient are those of `tiles`; what differentiates the gradient again, or is forward
mode, is that of `dense`. A custom_vjp would have no forward mode.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from tuned_contrastive.backends.jax import dense, tiles
from tuned_contrastive.backends.jax.rows import LARGEST_EXPONENT, Order, sort_rows, zero
from tuned_contrastive.backends.jax.tiles import Inputs, Plan

THRESHOLD = (128, 1024)
"""From this number of rows on, tiles are no slower than all pairs at once (PRF-2; D = 128, 2-core
CPU): at 128 rows 0.31 : 0.36 ms for SupCon and 0.40 : 0.44 for TCL. The second where only a run can
tell whether a maximum has to be taken off, as with parameters that are arrays or rows that are not
normalised: there, with learnable parameters, SupCon takes 3.3 : 3.2 ms at 896 rows and 3.2 : 4.0 at
1024, TCL 3.0 : 2.9 and 3.7 : 4.6."""

BLOCK_SIZE = {"cpu": (1280, 512)}
"""Rows of the largest tile: where one or two blocks of the first hold all rows, that; else the
second. Elsewhere not measured, 4096. Half of the first at most where only a run can tell, for which
XLA keeps twice the memory: past 32 MiB the C library of Linux gives it out anew, and clears it, in
each call. 2048 rows took 23, 20 ms in tiles of 512, 1024 (SupCon), 29, 23 (TCL); 4096 rows took 75,
83 and 84, 103."""

LEARNABLE = 4
"""The first of `tiles.Inputs`: z, T and the factors of k1 and k2."""


def chosen(
    z: Array,
    T: Array | float,
    k1: Array | float,
    k2: Array | float,
    normalize: bool,
    block_size: int | None,
) -> bool:
    """Return whether the losses of these rows are computed by tiles."""
    if block_size is not None:
        return block_size > 0
    return len(z) >= THRESHOLD[len(_shifts(z, T, k1, k2, normalize)) > 1]


def anchor_losses(
    z: Array,
    labels: Array,
    T: Array | float,
    k1: Array | float,
    k2: Array | float,
    normalize: bool,
    block_size: int | None,
    precision: Any,
) -> tuple[Array, Array]:
    """Return what `dense.anchor_losses` does, by tiles of `block_size` rows (None: automatic).

    `normalize` tells that every row has norm 1 or 0.
    """
    shifts = _shifts(z, T, k1, k2, normalize)
    size = min(block_size, len(z)) if block_size else _block_size(len(z), len(shifts))
    apart = isinstance(k2, Array) or k2 != 1
    low = isinstance(k1, Array) or k1 != 0
    plan = Plan(size, normalize, shifts, low, apart, precision)
    (factor1, offset1), (factor2, offset2) = (_weight(k, z.dtype) for k in (k1, k2))
    inputs = Inputs(z, dense.temperature(T, z.dtype), factor1, factor2, offset1, offset2)
    # XLA takes seconds to sort constants while it compiles.
    is_traced = isinstance(labels, jax.core.Tracer)
    with nullcontext() if is_traced else jax.ensure_compile_time_eval():
        order = sort_rows(labels)
    losses, _ = _bind(_losses, *_varying_alike(inputs, order), *order, plan=plan)
    return losses, (order.ends - order.starts > 1)[order.places]


def _shifts(
    z: Array, T: Array | float, k1: Array | float, k2: Array | float, normalize: bool
) -> tuple[bool, ...]:
    """Return whether a maximum is taken off before exponentials are; both: a run has to tell."""
    if not normalize or any(isinstance(value, Array) for value in (T, k1, k2)):
        return False, True
    return (not dense.fits(LARGEST_EXPONENT[z.dtype.name], T, k1, k2),)


def _block_size(rows: int, ways: int) -> int:
    """Return how many rows blocks have, all alike: what fills the last one up is computed, too."""
    few, many = BLOCK_SIZE.get(_platform(), (4096, 4096))
    few //= ways
    largest = few if rows <= 2 * few else min(few, many)
    return -(-rows // -(-rows // largest))


def _platform() -> str:
    """Return what a call runs on that names no device."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return getattr(device, "platform", device) or jax.default_backend()


@jax.jit
def _varying_alike(inputs: Inputs, order: Order) -> Inputs:
    """Let all inputs vary along the same axes of `jax.shard_map`, as JAX lets its own operands.

    So the transpose sums the gradient in a T that all shards share.
    """
    nothing = jnp.stack([zero(value) for value in (*inputs, order.starts)]).sum()
    return Inputs(*(value + nothing.astype(value.dtype) for value in inputs))


def _weight(k: Array | float, dtype: Any) -> tuple[Array, Array]:
    """Return k as a factor, which may be learnable, and the logarithm of the rest."""
    factor, offset = dense.weight(k, dtype)
    one = jnp.ones((), dtype)
    return one if factor is None else factor, jnp.asarray(offset, dtype)


def _dense(given: Sequence[Array], fixed: Sequence[Array], order: Order, plan: Plan) -> Array:
    """Return the losses as `dense` has them."""
    inputs = Inputs(*given, *fixed)
    first = (inputs.factor1, inputs.offset1) if plan.low else None
    second = (inputs.factor2, inputs.offset2) if plan.apart else None
    s = dense.similarities(inputs.z, plan.precision)
    classes = order.starts[order.places]
    # Whatever the rows are: the form for all of them holds for those of norm 1, too.
    losses: Array = dense.losses(s, classes, inputs.T, first, second, False, False)[0]
    return losses


@partial(jax.jit, static_argnames=("plan", "active"))
def _dense_tangent(*operands: Array, plan: Plan, active: tuple[int, ...]) -> list[Array]:
    """Return the derivative of the losses along tangents of the inputs named by `active`."""
    residuals, tangents = operands[:RESIDUALS], operands[RESIDUALS:]
    given, fixed, order = _split(residuals)
    along = [jnp.zeros_like(value) for value in given]
    for index, tangent in zip(active, tangents, strict=True):
        along[index] = tangent
    function = partial(_dense, fixed=fixed, order=order, plan=plan)
    return [jax.jvp(lambda *given: function(given), given, tuple(along))[1]]


@partial(jax.jit, static_argnames=("plan", "active"))
def _dense_gradient(*operands: Array, plan: Plan, active: tuple[int, ...]) -> list[Array]:
    """Return the transpose of `_dense_tangent`."""
    given, fixed, order = _split(operands[:RESIDUALS])
    _, pull = jax.vjp(lambda *given: _dense(given, fixed, order, plan), *given)
    found = pull(operands[-1])
    return [found[index] for index in active]


# The operands of the derivatives begin with those of the losses, and what these saved.
RESIDUALS = len(Inputs._fields) + len(Order._fields) + 1


def _split(residuals: Sequence[Array]) -> tuple[tuple[Array, ...], tuple[Array, ...], Order]:
    """Return what may be learnable, what is fixed, and the order."""
    inputs, order = residuals[: len(Inputs._fields)], residuals[len(Inputs._fields) : -1]
    return tuple(inputs[:LEARNABLE]), tuple(inputs[LEARNABLE:]), Order(*order)


def _tiled_losses(*operands: Array, plan: Plan) -> tuple[Array, Array]:
    count = len(Inputs._fields)
    inputs, order = Inputs(*operands[:count]), Order(*operands[count:])
    found: tuple[Array, Array] = tiles.losses(inputs, order, plan)
    return found


def _tiled_gradient(*operands: Array, plan: Plan, active: tuple[int, ...]) -> list[Array]:
    given, fixed, order = _split(operands[:RESIDUALS])
    saved, upstream = operands[-2:]
    inputs = Inputs(*given, *fixed)
    found = tiles.gradients(inputs, order, saved, upstream, plan, learnable=1 in active)
    return [found[index] for index in active]


def _bind(primitive: Primitive, *operands: Array, **static: Any) -> list[Array]:
    found: list[Array] = primitive.bind(*operands, **static)  # type: ignore[no-untyped-call]
    return found


def _primitive(
    name: str, function: Callable[..., Sequence[Array]], shapes: Callable[..., list[Any]]
) -> Primitive:
    """Return a primitive that computes what `function` does, one sample of a map at a time."""
    primitive = Primitive(f"tuned_contrastive_{name}")
    primitive.multiple_results = True
    primitive.def_impl(function)  # type: ignore[no-untyped-call]
    primitive.def_abstract_eval(shapes)  # type: ignore[no-untyped-call]
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True))

    @partial(jax.jit, static_argnames=("mapped", "static"))
    def over_samples(operands: Any, mapped: tuple[int, ...], static: tuple[Any, ...]) -> Any:
        def one(sample: dict[int, Array]) -> Any:
            given = [sample.get(index, value) for index, value in enumerate(operands)]
            return _bind(primitive, *given, **dict(static))

        return lax.map(one, {index: operands[index] for index in mapped})

    def batch(operands: Any, axes: Any, **static: Any) -> Any:
        given, mapped = list(operands), []
        for index, axis in enumerate(axes):
            if axis is not None:
                given[index] = jnp.moveaxis(operands[index], axis, 0)
                mapped.append(index)
        found = over_samples(given, tuple(mapped), tuple(static.items()))
        return found, [0] * len(found)

    batching.primitive_batchers[primitive] = batch
    return primitive


def _shapes_of_losses(z: Any, *others: Any, plan: Plan) -> list[Any]:
    return [z.update(shape=z.shape[:1]), z.update(shape=(3, z.shape[0]))]


def _shape_of_tangent(z: Any, *others: Any, plan: Plan, active: tuple[int, ...]) -> list[Any]:
    return [z.update(shape=z.shape[:1])]


def _shapes_of_gradient(*operands: Any, plan: Plan, active: tuple[int, ...]) -> list[Any]:
    return [operands[index] for index in active]


_losses = _primitive("losses", _tiled_losses, _shapes_of_losses)
_tangent = _primitive("tangent", _dense_tangent, _shape_of_tangent)
_gradient = _primitive("gradient", _tiled_gradient, _shapes_of_gradient)


def _losses_jvp(operands: Any, tangents: Any, *, plan: Plan) -> Any:
    losses, saved = _bind(_losses, *operands, plan=plan)
    active = _active(tangents[:LEARNABLE])
    residuals = (*operands, saved)
    along = [tangents[index] for index in active]
    (tangent,) = _bind(_tangent, *residuals, *along, plan=plan, active=active)
    # What is saved is only read by the derivatives, whose own derivatives do not go through it.
    return [losses, saved], [tangent, jnp.zeros_like(saved)]


def _active(tangents: Sequence[Any]) -> tuple[int, ...]:
    return tuple(index for index, value in enumerate(tangents) if type(value) is not ad.Zero)


def _instantiated(tangents: Sequence[Any]) -> list[Array]:
    return [ad.instantiate_zeros(tangent) for tangent in tangents]  # type: ignore[no-untyped-call]


def _linear_jvp(primitive: Primitive, function: Callable[..., list[Array]]) -> Any:
    """Return the rule of what is linear in its last operands: the rest of it goes by `function`."""

    def rule(operands: Any, tangents: Any, *, plan: Plan, active: tuple[int, ...]) -> Any:
        bind = partial(_bind, primitive, plan=plan, active=active)
        found = bind(*operands)
        residuals, linear = operands[:RESIDUALS], operands[RESIDUALS:]
        parts = []
        changing = _active(tangents[:LEARNABLE])
        if changing:

            def of_changing(*values: Array) -> list[Array]:
                given = list(residuals)
                for index, value in zip(changing, values, strict=True):
                    given[index] = value
                return function(*given, *linear, plan=plan, active=active)

            values = tuple(operands[index] for index in changing)
            along = tuple(tangents[index] for index in changing)
            parts.append(jax.jvp(of_changing, values, along)[1])
        if _active(tangents[RESIDUALS:]):
            parts.append(bind(*residuals, *_instantiated(tangents[RESIDUALS:])))
        if not parts:
            return found, [jnp.zeros_like(value) for value in found]
        return found, [sum(values[1:], values[0]) for values in zip(*parts, strict=True)]

    return rule


def _transpose_of_tangent(cotangents: Any, *operands: Any, plan: Plan, active: Any) -> Any:
    residuals, linear = operands[:RESIDUALS], operands[RESIDUALS:]
    wanted = tuple(
        index
        for index, value in zip(active, linear, strict=True)
        if isinstance(value, ad.UndefinedPrimal)
    )
    found = _bind(_gradient, *residuals, *cotangents, plan=plan, active=wanted)
    given = dict(zip(wanted, found, strict=True))
    return [None] * RESIDUALS + [given.get(index) for index in active]


def _transpose_of_gradient(cotangents: Any, *operands: Any, plan: Plan, active: Any) -> Any:
    along = _instantiated(cotangents)
    found = _bind(_tangent, *operands[:RESIDUALS], *along, plan=plan, active=active)
    return [None] * RESIDUALS + found


ad.primitive_jvps[_losses] = _losses_jvp
ad.primitive_jvps[_tangent] = _linear_jvp(_tangent, _dense_tangent)
ad.primitive_jvps[_gradient] = _linear_jvp(_gradient, _dense_gradient)
ad.primitive_transposes[_tangent] = _transpose_of_tangent
ad.primitive_transposes[_gradient] = _transpose_of_gradient
