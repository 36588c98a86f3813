"""The N x N pairs visited tile by tile, each pair once for both its rows (NUM-10, NUM-13).

Rows are sorted by class and cut into n blocks of B, the last one filled up with zeros. The tile
(i, j), i <= j, serves rows i and, transposed, rows j. Only a tile that may hold a positive or an
appended row needs a mask. Nothing here is differentiated: `blockwise` states the derivatives.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from tensorflow import Tensor

Parts = tuple[Tensor, ...]
Tile = Callable[[Tensor, Tensor, bool, bool], tuple[Parts, Parts]]


class Order(NamedTuple):
    """Where each row stands when the rows are sorted by class."""

    rows: Tensor  # (N,), the row at each place
    places: Tensor  # (N,), the place of each row
    ranks: Tensor  # (N,), the number of the class at each place
    ends: Tensor  # (N,), one past the last place of that class
    sizes: Tensor  # (N,), |P(i)| at each place


class Terms(NamedTuple):
    """Which sums are kept, and how."""

    split: bool  # positives apart from negatives
    low: bool  # sum_P exp(-s) too
    plain: bool  # every exponential fits the dtype without a maximum


class Blocks(NamedTuple):
    """Sorted rows in n blocks of B."""

    z: Tensor  # (n, B, D)
    t: Tensor  # z/T
    ranks: Tensor  # (n, B), -1 for appended rows
    shares: Tensor  # (n, B), 1/|P(i)|
    clear: Tensor  # (n,), the first later block that shares no class with this one
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


def cut(z: Tensor, T: Tensor, order: Order, block: int, even: bool) -> Blocks:
    """Cut rows into blocks; `even` makes them smaller where that leaves fewer rows to append."""
    N = tf.size(order.rows) if z.shape[0] is None else z.shape[0]
    most = tf.maximum(N, 1) if isinstance(N, Tensor) else N  # a graph may get no rows
    B = tf.minimum(block, most) if isinstance(N, Tensor) else min(block, most)
    n = -(-most // B)
    B = -(-most // n) if even else B

    def blocks(values: Tensor, appended: int) -> Tensor:
        after = [[0, n * B - N]] + [[0, 0]] * (values.shape.rank - 1)
        values = tf.pad(values, after, constant_values=tf.constant(appended, values.dtype))
        shape = [n, B] if values.shape.rank == 1 else [n, B, tf.shape(z)[1]]
        return tf.reshape(values, shape)

    sorted_z = tf.gather(z, order.rows)
    shares = 1 / tf.cast(tf.maximum(order.sizes, 1), z.dtype)
    clear = -(-tf.reduce_max(blocks(order.ends, 0), 1) // B)
    return Blocks(
        *(blocks(sorted_z, 0), blocks(sorted_z / T, 0)),
        *(blocks(order.ranks, -1), blocks(shares, 0), clear, N // B),
    )


def cut_like(b: Blocks, values: Tensor, appended: float) -> Tensor:
    """Cut one number for each place into the same blocks, (n, B)."""
    after = [[0, tf.size(b.ranks) - tf.size(values)]]
    values = tf.pad(values, after, constant_values=tf.constant(appended, values.dtype))
    return tf.ensure_shape(tf.reshape(values, tf.shape(b.ranks)), b.ranks.shape)


def log_sums(b: Blocks, T: Tensor, terms: Terms) -> tuple[list[Tensor], Tensor]:
    """Return the logarithms of the sums, (n B,) each, -inf where empty, and mean_P s/T.

    The sums are over all others, or (split) over P(i) and N(i), and (low) of exp(-s) over P(i).
    """
    nothing, zero = (tf.constant(value, b.z.dtype) for value in (-math.inf, 0))
    kinds = 1 + terms.split + terms.low
    empty = tf.zeros_like(b.shares[0])  # (B,)
    start = empty if terms.plain else tf.stack([empty + b.z.dtype.min, empty])

    def tile(i: Tensor, j: Tensor, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        if not masked:
            t = tf.matmul(tf.gather(b.t, i), tf.gather(b.z, j), transpose_b=True)
            pairs = [(start, start)] * kinds + [(empty, empty)]
            pairs[terms.split] = _sums(t, terms.plain)
            return tuple(across for across, _ in pairs), tuple(down for _, down in pairs)
        s = tf.matmul(tf.gather(b.z, i), tf.gather(b.z, j), transpose_b=True)
        t = s / T
        same, positives, absent = _masks(b.ranks, i, j, diagonal)
        exponents = [tf.where(absent, nothing, t)]
        if terms.split:
            exponents = [tf.where(positives, t, nothing), tf.where(same | absent, nothing, t)]
        if terms.low:
            exponents.append(tf.where(positives, -s, nothing))
        pairs = [_sums(x, terms.plain) for x in exponents]
        # Divided before the sum, which would overflow where the mean does not.
        means = tf.where(positives, t * tf.gather(b.shares, i)[:, None], zero)
        pairs.append((tf.reduce_sum(means, 1), tf.reduce_sum(means, 0)))
        return tuple(across for across, _ in pairs), tuple(down for _, down in pairs)

    def merge(x: Parts, y: Parts) -> Parts:
        sums = [_merged(p, q, terms.plain) for p, q in zip(x[:-1], y[:-1], strict=True)]
        return (*sums, x[-1] + y[-1])

    *sums, mean = _sweep(b, (*[start] * kinds, empty), tile, merge)
    if not terms.plain:
        sums = [pair[:, 0] + tf.math.log(pair[:, 1]) for pair in sums]
    else:
        sums = [tf.math.log(total) for total in sums]
    return [tf.reshape(total, [-1]) for total in sums], tf.reshape(mean, [-1])


class Weights(NamedTuple):
    """What the rows weigh, (n, B) each: w_i = 0 where P(i) is empty."""

    w: Tensor  # the derivative in l_i
    positives: Tensor  # log D_i
    negatives: Tensor  # log D_i - log k2
    low: Tensor  # log D_i - log k1


def pair_sums(b: Blocks, T: Tensor, terms: Terms, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return T dL/dz_i, (n, B, D), and twice the part of k1 in sum_j s_ij dL/ds_ij, (n, B)."""
    zero = tf.constant(0, b.z.dtype)
    h = weights.w * b.shares

    def both(x: Tensor, c: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return w_i exp(x - c_i) + w_j exp(x - c_j), (B, B)."""
        (w_i, c_i), (w_j, c_j) = ((tf.gather(weights.w, k), tf.gather(c, k)) for k in (i, j))
        if terms.plain:
            limit = math.log(x.dtype.max) - 1  # met only where no such pair is
            a_i, a_j = (w * tf.exp(tf.minimum(-c, limit)) for w, c in ((w_i, c_i), (w_j, c_j)))
            return tf.exp(x) * (a_i[:, None] + a_j)
        return w_i[:, None] * tf.exp(x - c_i[:, None]) + w_j * tf.exp(x - c_j)

    def tile(i: Tensor, j: Tensor, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        z_i, z_j = tf.gather(b.z, i), tf.gather(b.z, j)
        lows = tf.zeros_like(h[0])
        if not masked:
            t = tf.matmul(tf.gather(b.t, i), z_j, transpose_b=True)
            G = both(t, weights.negatives, i, j)
        else:
            s = tf.matmul(z_i, z_j, transpose_b=True)
            t = s / T
            _, positives, absent = _masks(b.ranks, i, j, diagonal)
            attract = tf.gather(h, i)[:, None] + tf.gather(h, j)
            if terms.split:
                P, G = (both(t, c, i, j) for c in (weights.positives, weights.negatives))
                P -= attract
                if terms.low:
                    low = tf.where(positives, both(-s, weights.low, i, j), zero)
                    lows = tf.reduce_sum(low * tf.where(positives, s, zero), 1)
                    P -= T * low
                G = tf.where(positives, P, G)
            else:
                G = both(t, weights.positives, i, j) - tf.where(positives, attract, zero)
            G = tf.where(absent, zero, G)
        across = tf.matmul(G, z_j)
        if diagonal:
            return (across, lows), ()
        return (across, 2 * lows), (tf.matmul(G, z_i, transpose_a=True), tf.zeros_like(lows))

    def merge(x: Parts, y: Parts) -> Parts:
        return tuple(p + q for p, q in zip(x, y, strict=True))

    g, lows = _sweep(b, (tf.zeros_like(b.z[0]), tf.zeros_like(h[0])), tile, merge)
    return g, lows


def _sweep(
    b: Blocks, start: Parts, tile: Tile, merge: Callable[[Parts, Parts], Parts]
) -> list[Tensor]:
    """Return for each block the merged parts of its tiles, (n, ...); every tile is made once.

    What columns are owed is kept by block: a loop copies a whole (N, D) sum each time it is added
    to, but not the list of its blocks. One iteration at a time, so that one tile is alive.
    """
    n = tf.shape(b.z)[0]
    arrays = []
    for part in start:
        every = tf.broadcast_to(part, tf.concat([[n], tf.shape(part)], 0))
        array = tf.TensorArray(part.dtype, n, clear_after_read=False, element_shape=part.shape)
        arrays.append(array.unstack(every))

    def add(arrays: list[tf.TensorArray], k: Tensor, parts: Parts) -> list[tf.TensorArray]:
        merged = merge(tuple(array.read(k) for array in arrays), parts)
        return [array.write(k, part) for array, part in zip(arrays, merged, strict=True)]

    def row(i: Tensor, arrays: list[tf.TensorArray]) -> tuple[Tensor, list[tf.TensorArray]]:
        clear = tf.gather(b.clear, i)

        def column(
            j: Tensor, here: Parts, arrays: list[tf.TensorArray]
        ) -> tuple[Tensor, Parts, list[tf.TensorArray]]:
            masked = (j < clear) | (j >= b.full)
            across, down = tf.cond(
                masked, lambda: tile(i, j, True, False), lambda: tile(i, j, False, False)
            )
            return j + 1, _shaped(merge(here, across), here), add(arrays, j, down)

        here, _ = tile(i, i, True, True)
        here = _shaped(here, start)
        _, here, arrays = tf.while_loop(
            lambda j, *_: j < n, column, (i + 1, here, arrays), parallel_iterations=1
        )
        return i + 1, add(arrays, i, here)

    _, arrays = tf.while_loop(lambda i, _: i < n, row, (0, arrays), parallel_iterations=1)
    return [array.stack() for array in arrays]


def _shaped(parts: Parts, like: Parts) -> Parts:
    """Tell a loop that the shapes stay: it compares what is known of them."""
    return tuple(tf.ensure_shape(p, q.shape) for p, q in zip(parts, like, strict=True))


def _masks(ranks: Tensor, i: Tensor, j: Tensor, diagonal: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return which pairs of a tile are of one class, are positives, and are none at all."""
    rows, columns = tf.gather(ranks, i)[:, None], tf.gather(ranks, j)
    same = tf.equal(rows, columns)  # (B, B)
    absent = (columns < 0) | tf.zeros_like(same)
    if diagonal:
        # The anchor leaves before any maximum (NUM-10): its own product may overflow.
        absent |= tf.eye(tf.size(columns), dtype=tf.bool)
    return same, same & ~absent, absent


def _sums(x: Tensor, plain: bool) -> tuple[Tensor, Tensor]:
    """Return sum exp(x) over the columns and over the rows, each with its maximum unless plain."""
    if plain:
        e = tf.exp(x)
        return tf.reduce_sum(e, 1), tf.reduce_sum(e, 0)
    found = []
    for axis in (1, 0):
        # Finite, so that no infinity is subtracted from itself.
        maximum = tf.maximum(tf.reduce_max(x, axis, keepdims=True), x.dtype.min)
        total = tf.reduce_sum(tf.exp(x - maximum), axis)
        found.append(tf.stack([tf.reshape(maximum, [-1]), total]))
    return found[0], found[1]


def _merged(x: Tensor, y: Tensor, plain: bool) -> Tensor:
    if plain:
        return x + y
    maximum = tf.maximum(x[0], y[0])
    total = x[1] * tf.exp(x[0] - maximum) + y[1] * tf.exp(y[0] - maximum)
    return tf.stack([maximum, total])
