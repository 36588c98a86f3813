"""The rows, sorted by label and cut into blocks, and the tiles that are the pairs of two blocks.

Positives are near the diagonal, and a tile far from it needs no mask. Only tiles (i, j) with
i <= j are visited: each serves its rows and its columns.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

LARGEST_EXPONENT = {"float32": 40.0, "float64": 320.0}
"""Up to this size, sums of exp(s/T) and what they are divided by stay in range as they are."""


class Order(NamedTuple):
    """The rows sorted by label; each field has the shape (N,)."""

    order: Array
    """The row at each place."""
    places: Array
    """The place of each row."""
    starts: Array
    """The first place that the class at a place has; it also names the class."""
    ends: Array
    """One past its last."""


class Blocks(NamedTuple):
    """Sorted rows in whole blocks; a pad is a zero row in a class of its own.

    Those of a tile are one block, without the first axis.
    """

    z: Array  # (blocks, size, D)
    starts: Array  # (blocks, size), as in `Order`
    places: Array  # (blocks, size)
    gone: Array  # (blocks, size), -inf for a pad, else 0
    shares: Array  # (blocks, size), 1/|P(i)|, 0 without positives
    reach: Array  # (blocks,), where blocks begin that share no class with this one


class Tile(NamedTuple):
    """Which tile, its values, and how much of its structure is known while tracing."""

    i: Array
    j: Array
    rows: Any
    """Block i of what `over_tiles` is given."""
    columns: Any
    """Block j of it."""
    diagonal: bool
    masked: bool
    shift: bool


State = Any
Visit = Callable[[Tile, State], State]


@jax.jit
def sort_rows(labels: Array) -> Order:
    """Return the rows' order by label; rows of one class keep theirs."""
    order = jnp.argsort(labels, stable=True)
    ordered = labels[order]
    starts, ends = (jnp.searchsorted(ordered, ordered, side=side) for side in ("left", "right"))
    found = (order, jnp.argsort(order), starts, ends)
    return Order(*(indices.astype("int32") for indices in found))


def cut_rows(z: Array, order: Order, size: int) -> Blocks:
    """Cut rows into blocks of `size`, the last one filled up with zeros."""
    n, last = len(z), len(z) - 1
    number = -(-n // size)
    pads = number * size - n
    starts = jnp.pad(order.starts, (0, pads), constant_values=n).reshape(number, size)
    gone = np.where(np.arange(number * size) < n, 0, -np.inf).reshape(number, size)
    positives = order.ends - order.starts - 1
    shares = jnp.where(positives > 0, 1 / jnp.maximum(positives, 1).astype(z.dtype), 0)
    ends = order.ends[np.minimum(np.arange(1, number + 1) * size - 1, last)]
    return Blocks(
        padded(z[order.order], size),
        starts,
        jnp.arange(number * size, dtype="int32").reshape(number, size),
        jnp.asarray(gone, z.dtype),
        padded(shares, size),
        (ends + (size - 1)) // size,
    )


def padded(rows: Array, size: int) -> Array:
    """Return rows, and zeros, as whole blocks."""
    pads = -len(rows) % size
    padded = jnp.pad(rows, [(0, pads)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(-1, size, *rows.shape[1:])


def over_tiles(
    visit: Visit, values: Any, reach: Array, shift: bool, count: Any, state: State
) -> State:
    """Visit the tiles of the first `count` block rows, by how they are masked.

    Blocks of `values` are taken one turn ahead and carried. If a tile took them itself, XLA (jaxlib
    0.10.2, CPU) would put that into the kernel that makes its mask, which is not vectorized then;
    lax.optimization_barrier does not prevent it.
    """
    number, varying = len(reach), zero(reach).astype("int32")  # as the blocks that loops carry

    def block(k: Array) -> Any:
        return jax.tree.map(lambda value: value[k], values)  # past the last: that, for nobody

    def column(
        tile: Callable[..., Tile], j: Array, carried: tuple[Any, State]
    ) -> tuple[Any, State]:
        columns, state = carried
        return block(j + 1), visit(tile(j, columns=columns), state)

    def along(i: Array, carried: tuple[Any, State]) -> tuple[Any, State]:
        rows, state = carried
        state = visit(Tile(i, i, rows, rows, True, True, shift), state)
        if number == 1:  # XLA would lift the products out of loops of no turns
            return rows, state
        first = i + 1 + varying
        far = jnp.minimum(jnp.maximum(reach[i], first), number)
        following = columns = block(first)  # the next rows are the first columns of these
        for start, stop, masked in ((first, far, True), (far, number, False)):
            tile = partial(Tile, i, rows=rows, diagonal=False, masked=masked, shift=shift)
            columns, state = lax.fori_loop(start, stop, partial(column, tile), (columns, state))
        return following, state

    return lax.fori_loop(0, count, along, (block(varying), state))[1]


def products(
    tile: Tile, rows: Blocks, columns: Blocks, T: Array, precision: Any
) -> tuple[Array, Array]:
    """Return s_ij and s_ij/T, of which XLA drops what is not used."""
    # Or XLA lifts the only tile's product out of a loop, to make it where the loop has no turn.
    given = (rows.z, columns.z, tile.i)
    ours, theirs, _ = lax.optimization_barrier(given)  # type: ignore[no-untyped-call]
    # In range, the rows are scaled, not the products, which are more. Not divided: XLA turns that
    # into a factor in the losses alone, and no longer sees that the gradient's product is the same.
    dot = partial(lax.dot_general, dimension_numbers=(((1,), (1,)), ((), ())), precision=precision)
    found = dot(ours, theirs) if tile.shift else dot(ours * (1 / T), theirs)
    if tile.diagonal:  # NUM-10: the product of a row with itself may overflow
        found = jnp.where(equal(rows.places, columns.places), 0, found)
    return (found, found / T) if tile.shift else (found * T, found)


def equal(rows: Array, columns: Array) -> Array:
    """Return where a row of a tile and a column have the same value."""
    # Not jnp.eye for the diagonal: XLA keeps it as a mask, which it reads more slowly.
    return rows[:, None] == columns[None, :]


def sides(tile: Tile) -> Iterator[tuple[Array, int]]:
    """Give the rows and, off the diagonal, the columns of a tile, with the axis to sum over."""
    yield tile.i, 1
    if not tile.diagonal:
        yield tile.j, 0


def put(array: Array, index: Array, value: Array) -> Array:
    """Return an array with another value at a place of its first axis."""
    found: Array = lax.dynamic_update_index_in_dim(array, value, index, 0)
    return found


def zero(value: Array) -> Array:
    """Return 0, varying along the axes of `jax.shard_map` along which `value` does."""
    return jnp.where(value.reshape(-1)[0] == 0, jnp.zeros((), "int8"), 0)
