"""The arithmetic of tiles: sums and gradient by pairs of row blocks (SUP-4 to SUP-7, TCL-1, GRD-1).

Nothing here is differentiated: `blockwise` says what the derivatives are.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tuned_contrastive.backends.jax import dense
from tuned_contrastive.backends.jax.rows import (
    LARGEST_EXPONENT,
    Order,
    State,
    Tile,
    cut_rows,
    equal,
    over_tiles,
    padded,
    products,
    put,
    sides,
    zero,
)


class Plan(NamedTuple):
    """What is static in a compiled program, beside shapes and dtypes."""

    size: int
    """Rows of a block."""
    unit: bool
    """Whether norms are known to be 0 or 1."""
    shifts: tuple[bool, ...]
    """Whether exponents need a running maximum; both where only the values can tell."""
    low: bool
    """Whether there is a k1 term."""
    apart: bool
    """Whether positives and negatives are summed apart: where k2 is not the number 1."""
    precision: Any


class Inputs(NamedTuple):
    """What the losses are a function of; k is factor * exp(offset), so that any k is in range."""

    z: Array  # (N, D)
    T: Array
    factor1: Array
    factor2: Array
    offset1: Array
    offset2: Array


class Weights(NamedTuple):
    """What the gradient needs of each sorted row, in blocks as `Blocks` are."""

    w: Array  # (blocks, size), upstream of l_i, 0 without positives and for a pad
    log_d: Array  # (blocks, size)
    turned: Array  # (blocks, D, size): XLA multiplies slowly by a transposed tile


@partial(jax.jit, static_argnames="plan")
def losses(inputs: Inputs, order: Order, plan: Plan) -> tuple[Array, Array]:
    """Return l_i (N,), and of the sorted rows log D and logarithms of two of its sums, (3, N)."""
    blocks, n = cut_rows(inputs.z, order, plan.size), len(inputs.z)
    shape, dtype = blocks.gone.shape, inputs.z.dtype
    counts = _counts(inputs, plan, shape[0])
    lowest = jnp.where(counts[-1] > 0, np.finfo(dtype).min, 0) if plan.shifts[-1] else 0
    zeros = jnp.zeros(shape, dtype) + zero(inputs.z).astype(dtype)
    state: State = ([(zeros + lowest, zeros)] * (1 + plan.apart + plan.low), zeros)
    for shift, count in zip(plan.shifts, counts, strict=True):
        visit = partial(_add_sums, _in_range(inputs.T, dtype), plan)
        state = over_tiles(visit, blocks, blocks.reach, shift, count, state)
    sums, mean = state
    logs = [(top + jnp.log(total)).reshape(-1)[:n] for top, total in sums]
    far, low = logs[0], logs[-1]
    first, second = _log_weights(inputs)
    terms = [far + second, logs[1]] if plan.apart else [far]
    log_d = _log_sum([*terms, low + first] if plan.low else terms)
    found = jnp.where(order.ends - order.starts > 1, log_d - mean.reshape(-1)[:n], 0)
    return found[order.places], jnp.stack([log_d, far, low])


@partial(jax.jit, static_argnames=("plan", "learnable"))
def gradients(
    inputs: Inputs, order: Order, saved: Array, upstream: Array, plan: Plan, learnable: bool
) -> tuple[Array, ...]:
    """Return the gradients in z, T (0 unless it is `learnable`) and the factors of k1 and k2."""
    z, dtype = inputs.z, inputs.z.dtype
    blocks, (n, d) = cut_rows(z, order, plan.size), z.shape
    log_d, far, low = saved
    anchors = order.ends - order.starts > 1
    w = jnp.where(anchors, upstream[order.order], 0)
    unit = jnp.abs(w).max()  # taken out: a small weight times a small exponential would vanish
    unit = jnp.where((unit > 0) & (unit < jnp.inf), unit, 1)
    # Infinite where there is nothing to weigh, since exp of what is no term may be infinite.
    log_d = jnp.where(anchors, log_d, jnp.inf)
    shape = blocks.gone.shape
    T = _in_range(inputs.T, dtype)
    scale = _scale(T)
    w /= unit
    w_cut, log_d_cut = (padded(values, plan.size) for values in (w * (1 / scale), log_d))
    weights = Weights(w_cut, log_d_cut, jnp.swapaxes(blocks.z, 1, 2))
    scalars = (T, *_log_weights(inputs))
    visit = partial(_add_gradient, scalars, plan, learnable)
    state = tuple(
        jnp.zeros(size, dtype) + zero(z).astype(dtype)
        for size in ((*shape, d), (shape[0], d, shape[1]), shape[1:])
    )
    for shift, count in zip(plan.shifts, _counts(inputs, plan, shape[0]), strict=True):
        state = over_tiles(visit, (blocks, weights), blocks.reach, shift, count, state)
    by_rows, by_columns, in_T = state
    dz = (by_rows + jnp.swapaxes(by_columns, 1, 2)).reshape(-1, d)[:n] * (scale / T) * unit
    root = jnp.sqrt(unit) / jnp.sqrt(inputs.T)  # in range wherever what it leads to is
    dT = -(in_T.sum() * root * root).astype(inputs.T.dtype)
    factors = [
        _weighted_sum(w, log_sum + offset - log_d, unit)
        for log_sum, offset in ((low, inputs.offset1), (far, inputs.offset2))
    ]
    return dz[order.places], dT, *factors


def _in_range(T: Array, dtype: Any) -> Array:
    """Return T in a dtype whose range it may leave, where T over its root would not be a number."""
    kept = np.finfo(dtype)
    return jnp.clip(T.astype(dtype), kept.tiny, kept.max)


def _scale(T: Array) -> Array:
    """Return sqrt(T), 1 below T = 1. The weights are over it, what they are multiplied by is not.

    So nothing is divided by all of T at once, which might vanish, or multiplied, which might
    overflow; nor by one divisor after the other, which XLA would multiply first.
    """
    return jnp.sqrt(jnp.maximum(T, 1))


def _counts(inputs: Inputs, plan: Plan, number: int) -> list[Any]:
    """Return how many block rows are visited with each of `plan.shifts`: all, or none."""
    if len(plan.shifts) == 1:
        return [number]
    bound = jnp.ones((), inputs.z.dtype) if plan.unit else jnp.square(inputs.z).sum(1).max()
    limit = LARGEST_EXPONENT[inputs.z.dtype.name]
    # Written so that NaN is shifted. A loop of no turns: XLA runs a branch of lax.cond on one core.
    fits = bound * jnp.maximum(1, 1 / inputs.T.astype(bound.dtype)) <= limit
    fits &= inputs.T <= dense.LARGEST_TEMPERATURE
    for weight in _log_weights(inputs):
        fits &= (jnp.abs(weight) <= dense.LARGEST_LOG_WEIGHT) | (weight == -jnp.inf)
    return [
        jnp.where(fits, 0, number) if shift else jnp.where(fits, number, 0) for shift in plan.shifts
    ]


def _log_weights(inputs: Inputs) -> tuple[Array, Array]:
    return (
        jnp.log(inputs.factor1) + inputs.offset1,
        jnp.log(inputs.factor2) + inputs.offset2,
    )


def _log_sum(terms: list[Array]) -> Array:
    """Return the logarithm of the sum of exp(terms), -inf without terms."""
    stacked = jnp.stack(terms)
    top = stacked.max(0)
    top = jnp.where(top == -jnp.inf, 0, top)
    return top + jnp.log(jnp.exp(stacked - top[None]).sum(0))


def _weighted_sum(w: Array, x: Array, unit: Array) -> Array:
    """Return unit sum_i w_i e^x_i: infinite, with its sign, only where it has to be (NUM-11)."""
    top = jnp.where(w == 0, -jnp.inf, x).max()
    top = jnp.where(top == -jnp.inf, 0, top)
    root = jnp.exp(top / 2)
    total = jnp.where(w == 0, 0, w * jnp.exp(x - top)).sum() * unit
    return jnp.where(total == 0, 0, total * root * root)


def _add_sums(T: Array, plan: Plan, tile: Tile, state: State) -> State:
    """Add a tile's terms to the sums of its rows and, off the diagonal, of its columns."""
    rows, columns = tile.rows, tile.columns
    s, t = products(tile, rows, columns, T, plan.precision)
    kept = t + columns.gone[None, :]
    positives = same = equal(rows.starts, columns.starts)
    others = jnp.where(same, -jnp.inf, kept) if plan.apart else kept
    if tile.diagonal:
        itself = equal(rows.places, columns.places)
        positives = same & ~itself
        others = others if plan.apart else jnp.where(itself, -jnp.inf, kept)
    groups = [others if tile.masked else kept]
    if tile.masked:
        groups += [jnp.where(positives, kept, -jnp.inf)] if plan.apart else []
        groups += [jnp.where(positives, -s, -jnp.inf)] if plan.low else []
    sums, mean = state
    added = [_added(sum_, group, tile) for sum_, group in zip(sums, groups, strict=False)]
    sums = [*added, *sums[len(added) :]]
    if tile.masked:
        # Divided before the sum, which would overflow where the mean does not.
        shares = jnp.where(positives, t * rows.shares[:, None], 0)
        for index, axis in sides(tile):
            mean = put(mean, index, mean[index] + shares.sum(axis))
    return sums, mean


def _added(sums: tuple[Array, Array], exponents: Array, tile: Tile) -> tuple[Array, Array]:
    """Add exp(exponents) to sums that are kept as exp(top) total."""
    tops, totals = sums
    for index, axis in sides(tile):
        if not tile.shift:
            totals = put(totals, index, totals[index] + jnp.exp(exponents).sum(axis))
            continue
        top = jnp.maximum(tops[index], exponents.max(axis))
        terms = jnp.exp(exponents - jnp.expand_dims(top, axis))
        total = totals[index] * jnp.exp(tops[index] - top) + terms.sum(axis)
        tops, totals = put(tops, index, top), put(totals, index, total)
    return tops, totals


def _add_gradient(
    scalars: tuple[Array, Array, Array],
    plan: Plan,
    learnable: bool,
    tile: Tile,
    state: State,
) -> State:
    """Add what a tile's pairs give to the gradients of its rows and of its columns, and in T."""
    by_rows, by_columns, in_T = state
    i, j = tile.i, tile.j
    (rows, ours), (columns, _) = tile.rows, tile.columns
    s, t = products(tile, rows, columns, scalars[0], plan.precision)
    weights, low = _pair_weights(scalars, plan, tile, s, t)
    if learnable:
        once = 0.5 if tile.diagonal else 1  # where each pair is met twice
        in_T = in_T + once * (t * _scale(scalars[0]) * weights).sum(0)
    weights = weights if low is None else weights - low
    dot = partial(jnp.matmul, precision=plan.precision)
    by_rows = put(by_rows, i, by_rows[i] + dot(weights, columns.z))
    if not tile.diagonal:
        by_columns = put(by_columns, j, by_columns[j] + dot(ours.turned, weights))
    return by_rows, by_columns, in_T


def _pair_weights(
    scalars: tuple[Array, Array, Array], plan: Plan, tile: Tile, s: Array, t: Array
) -> tuple[Array, Array | None]:
    """Return T dL/ds_ij, both directions together: of s/T, and of -s or None.

    Over `_scale` and the unit of upstream gradients, as the weights are.
    """
    T, first, second = scalars
    (rows, ours), (columns, theirs) = tile.rows, tile.columns
    w: tuple[Array, Array] = ours.w, theirs.w
    log_d: tuple[Array, Array] = ours.log_d, theirs.log_d

    # A pad's exponent of 0 would be infinite beside a small log D.
    gone = columns.gone[None, :] + (rows.gone[:, None] if tile.diagonal else 0)

    def shares(exponents: Array, offset: Array | float) -> Array:
        if tile.shift:
            given = exponents + offset + gone
            by_row = w[0][:, None] * jnp.exp(given - log_d[0][:, None])
            return by_row + w[1][None, :] * jnp.exp(given - log_d[1][None, :])
        by_row, by_column = (a * jnp.exp(offset - b) for a, b in zip(w, log_d, strict=True))
        return jnp.exp(exponents) * _pairs(by_row, by_column)

    found = shares(t, second if plan.apart else 0)
    if not tile.masked:
        return found, None
    positives = equal(rows.starts, columns.starts)
    pull = _pairs(w[0] * rows.shares, w[1] * columns.shares)
    if plan.apart:
        found = jnp.where(positives, shares(t, 0), found)
    found = found - jnp.where(positives, pull, 0)
    low = T * jnp.where(positives, shares(-s, first), 0) if plan.low else None
    if tile.diagonal:
        itself = equal(rows.places, columns.places)
        return jnp.where(itself, 0, found), None if low is None else jnp.where(itself, 0, low)
    return found, low


def _pairs(rows: Array, columns: Array) -> Array:
    return rows[:, None] + columns[None, :]
