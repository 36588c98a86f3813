"""The rows, sorted by class and cut into blocks, and the tiles that are the pairs of two blocks.

There are n blocks of B rows, the last one filled up with zeros. The tile (i, j), i <= j, serves
rows i and, transposed, rows j. Only a tile that may hold a positive or an appended row needs a
mask.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow import Tensor

LARGEST_EXPONENT = {tf.float32: 40.0, tf.float64: 320.0}
"""Up to this size, sums of exp(s/T) and what they are divided by stay in range as they are."""

Parts = tuple[Tensor, ...]
Lists = list[tf.TensorArray]
Tile = Callable[[Any, Any, bool, bool], tuple[Parts, Parts]]


class Order(NamedTuple):
    """Where each row stands when the rows are sorted by class."""

    order: Tensor  # (N,), the row at each place
    places: Tensor  # (N,), the place of each row
    ranks: Tensor  # (N,), the number of the class at each place
    ends: Tensor  # (N,), one past the last place of that class
    sizes: Tensor  # (N,), |P(i)| at each place


class Blocks(NamedTuple):
    """Sorted rows in n blocks of B."""

    z: Tensor  # (n, B, D)
    turned: Tensor  # (n, D, B), z: XLA multiplies slowly by a transposed tile
    ranks: Tensor  # (n, B), -1 for appended rows
    shares: Tensor  # (n, B), 1/|P(i)|
    reach: Tensor  # (n,), the first later block that shares no class with this one
    full: int | Tensor  # how many blocks have no appended rows


def sort_rows(labels: Tensor) -> Order:
    """Sort by class, once; equal labels keep their order."""
    order = tf.argsort(labels, stable=True)
    labels = tf.gather(labels, order)
    new = tf.cast(tf.not_equal(labels[1:], labels[:-1]), tf.int32)
    ranks = tf.concat([tf.zeros_like(order[:1]), tf.cumsum(new)], 0)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(ranks), ranks, tf.size(ranks))
    places = tf.tensor_scatter_nd_update(order, order[:, None], tf.range(tf.size(order)))
    ends, sizes = tf.gather(tf.cumsum(counts), ranks), tf.gather(counts, ranks) - 1
    return Order(order, places, ranks, ends, sizes)


def cut_rows(z: Tensor, order: Order, largest: tuple[int, int], even: bool) -> Blocks:
    """Cut rows into blocks of `largest[0]` where two hold all of them, or else of `largest[1]`.

    `even` makes them smaller where that leaves fewer rows to append.
    """
    N = tf.size(order.order) if z.shape[0] is None else z.shape[0]
    (few, many), half = largest, (N + 1) // 2  # as 2 * few might overflow
    if isinstance(N, Tensor):
        most = tf.maximum(N, 1)  # a graph may get no rows
        B = tf.minimum(tf.where(half <= few, few, many), most)
    else:
        most, B = N, min(few if half <= few else many, N)
    n = -(-most // B)
    B = -(-most // n) if even else B

    def blocks(values: Tensor, appended: int) -> Tensor:
        after = [[0, n * B - N]] + [[0, 0]] * (values.shape.rank - 1)
        values = tf.pad(values, after, constant_values=tf.constant(appended, values.dtype))
        shape = [n, B] if values.shape.rank == 1 else [n, B, tf.shape(z)[1]]
        return tf.reshape(values, shape)

    cut_z = blocks(tf.gather(z, order.order), 0)
    shares = 1 / tf.cast(tf.maximum(order.sizes, 1), z.dtype)
    reach = -(-tf.reduce_max(blocks(order.ends, 0), 1) // B)
    return Blocks(
        *(cut_z, tf.transpose(cut_z, [0, 2, 1])),
        *(blocks(order.ranks, -1), blocks(shares, 0), reach, N // B),
    )


def cut_like(b: Blocks, values: Tensor, appended: float) -> Tensor:
    """Cut one number for each place into the same blocks, (n, B)."""
    after = [[0, tf.size(b.ranks) - tf.size(values)]]
    values = tf.pad(values, after, constant_values=tf.constant(appended, values.dtype))
    return tf.ensure_shape(tf.reshape(values, tf.shape(b.ranks)), b.ranks.shape)


def sweep(
    b: Blocks,
    values: tuple[Any, Any],
    across: Parts,
    down: Parts,
    tile: Tile,
    merge: Callable[[Parts, Parts], Parts],
) -> tuple[Parts, Parts]:
    """Return for each block the merged parts of its rows and of its columns, (n, ...) each.

    Both begin with what is given; every tile is made once, of the blocks of `values` that its rows
    and its columns have. What columns are owed is kept by block: a loop copies a whole (N, D) sum
    each time it is added to, but not the list of its blocks. One iteration at a time, so that one
    tile is alive. Blocks are taken before the branch that a tile is: if it took them itself, XLA
    (TensorFlow 2.21, CPU) would put that into the kernel that makes its mask, which is not
    vectorized then.
    """
    n = tf.shape(b.z)[0]
    lists = _repeated((*across, *down), n)

    def row(i: Tensor, rows: Lists, columns: Lists) -> tuple[Tensor, Lists, Lists]:
        reach, ours = tf.gather(b.reach, i), _block(values[0], i)

        def column(j: Tensor, here: Parts, columns: Lists) -> tuple[Tensor, Parts, Lists]:
            theirs = _block(values[1], j)
            masked = (j < reach) | (j >= b.full)
            right, below = tf.cond(
                masked,
                lambda: tile(ours, theirs, True, False),
                lambda: tile(ours, theirs, False, False),
            )
            below = merge(tuple(each.read(j) for each in columns), below)
            return j + 1, _shaped(merge(here, right), here), _written(columns, j, below)

        itself = _block(values[1], i)
        # Always true: a tile has to be a branch.
        here = tf.cond(i < n, lambda: tile(ours, itself, True, True)[0], lambda: across)
        here = _shaped(here, across)
        _, here, columns = tf.while_loop(
            lambda j, *_: j < n, column, (i + 1, here, columns), parallel_iterations=1
        )
        return i + 1, _written(rows, i, here), columns

    start = 0, lists[: len(across)], lists[len(across) :]
    _, *lists = tf.while_loop(lambda i, *_: i < n, row, start, parallel_iterations=1)
    rows, columns = (tuple(each.stack() for each in some) for some in lists)
    return rows, columns


def _block(values: Any, k: Tensor) -> Any:
    return tf.nest.map_structure(lambda value: tf.gather(value, k), values)


def _written(lists: Lists, k: Tensor, parts: Parts) -> Lists:
    return [each.write(k, part) for each, part in zip(lists, parts, strict=True)]


def _repeated(parts: Parts, n: Tensor) -> Lists:
    """Return lists of n times the same: to unstack n copies would keep all of them to the end."""
    empty = [
        tf.TensorArray(part.dtype, n, clear_after_read=False, element_shape=part.shape)
        for part in parts
    ]
    _, filled = tf.while_loop(
        lambda k, _: k < n,
        lambda k, lists: (k + 1, _written(lists, k, parts)),
        (0, empty),
        parallel_iterations=1,
    )
    return filled  # type: ignore[no-any-return]


def _shaped(parts: Parts, like: Parts) -> Parts:
    """Tell a loop that the shapes stay: it compares what is known of them."""
    return tuple(tf.ensure_shape(p, q.shape) for p, q in zip(parts, like, strict=True))


def masks(rows: Tensor, columns: Tensor, diagonal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return which pairs are of one class, positives, none at all, from ranks of a tile."""
    rows = rows[:, None]
    same = tf.equal(rows, columns)  # (B, B)
    absent = (columns < 0) | tf.zeros_like(same)
    if diagonal:
        # The anchor leaves before any maximum (NUM-10): its own product may overflow. Appended rows
        # are in the last block, and so on the diagonal only.
        absent |= (rows < 0) | tf.eye(tf.size(columns), dtype=tf.bool)
    return same, same & ~absent, absent
