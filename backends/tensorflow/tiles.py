"""Losses and gradient over the N x N pairs, tile by tile, each once for both its rows (NUM-13).

Nothing here is differentiated: `blockwise` states the derivatives.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow import Tensor

from tuned_contrastive.backends.tensorflow import dense
from tuned_contrastive.backends.tensorflow.rows import (
    LARGEST_EXPONENT,
    Blocks,
    Order,
    Parts,
    cut_like,
    cut_rows,
    masks,
    sweep,
)


class Plan(NamedTuple):
    """What the tiles are made of, none of it a value: one trace serves all calls alike."""

    split: bool  # as in `Terms`
    low: bool
    slope: bool
    plain: bool | None  # None: only a run knows
    unit: bool  # every row has norm 1 or 0
    largest: tuple[int, int]  # rows of a block, as in `cut_rows`
    even: bool


class Terms(NamedTuple):
    """Which sums are kept, and how."""

    split: bool  # positives apart from negatives
    low: bool  # sum_P exp(-s) too
    slope: bool  # the derivative in T is asked for
    plain: bool  # every exponential fits the dtype without a maximum


class Weights(NamedTuple):
    """What the rows weigh, (n, B) each: w_i = 0 where P(i) is empty."""

    w: Tensor  # the derivative in l_i
    pull: Tensor  # its share for each positive
    positives: Tensor  # log D_i
    negatives: Tensor  # log D_i - log k2
    low: Tensor  # log D_i - log k1


def losses(
    plan: Plan, sort: tuple[Tensor, ...], z: Tensor, T: Tensor, log_k1: Tensor, log_k2: Tensor
) -> tuple[Tensor, ...]:
    """Return l_i, and at the sorted places log D_i, L_neg and L_low, (N,) each."""
    order = Order(*sort)
    blocks = cut_rows(z, order, plan.largest, plan.even)
    N = tf.size(order.order)

    def sums(terms: Terms) -> list[Tensor]:
        logs, mean = _log_sums(blocks, T, terms)
        return [values[:N] for values in (*logs, mean)]

    *logs, mean = _plain_or_not(plan, z, (T, log_k1, log_k2), sums)
    zero, nothing = tf.constant(0, z.dtype), tf.fill([N], tf.constant(-math.inf, z.dtype))
    log_d, negatives = logs[0], logs[1] if plan.split else nothing
    low = logs[-1] if plan.low else nothing
    if plan.split or plan.low:
        terms = tf.stack([log_d, negatives + log_k2, low + log_k1])
        maximum = tf.maximum(tf.reduce_max(terms, 0), z.dtype.min)
        log_d = maximum + tf.math.log(tf.reduce_sum(tf.exp(terms - maximum), 0))
    losses = tf.gather(tf.where(order.sizes > 0, log_d - mean, zero), order.places)
    return losses, log_d, negatives, low


def gradients(
    plan: Plan,
    sort: tuple[Tensor, ...],
    sums: Sequence[Tensor],
    w: Tensor,
    z: Tensor,
    *given: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradient of sum_i w_i l_i in z, k1 and k2, and sqrt(T) times that in T, second."""
    order, (T, log_k1, log_k2) = Order(*sort), given
    blocks = cut_rows(z, order, plan.largest, plan.even)
    anchors, (log_d, negatives, low) = order.sizes > 0, sums
    w = tf.where(anchors, tf.gather(w, order.order), tf.zeros_like(log_d))
    # Taken out: a small weight times a small exponential would vanish.
    unit = tf.reduce_max(tf.abs(w))
    unit = tf.where((unit > 0) & (unit < math.inf), unit, tf.ones_like(unit))
    w /= unit
    scale = _scale(T)

    def cut(values: Tensor, appended: float) -> Tensor:
        values = tf.where(anchors, values, tf.constant(appended, z.dtype))
        return cut_like(blocks, values, appended)

    constants = (log_d, log_d - log_k2, log_d - log_k1)
    w_cut = cut(w * (1 / scale), 0)
    pull = w_cut * blocks.shares
    weights = Weights(w_cut, pull, *(cut(values, math.inf) for values in constants))
    g, slopes = _plain_or_not(plan, z, given, lambda terms: _pair_sums(blocks, T, terms, weights))
    g = tf.reshape(g, [-1, tf.shape(z)[1]])[: tf.size(w)]
    dz = tf.gather(g, order.places) * (scale / T) * unit
    root = tf.sqrt(unit)
    slope = tf.reduce_sum(slopes) * (root / tf.sqrt(T)) * root / -2
    dks = (_weighted_sum(w, sums - log_d, unit) for sums in (low, negatives))
    return dz, slope, *dks


def _scale(T: Tensor) -> Tensor:
    """Return sqrt(T), 1 below T = 1. The weights are over it, what they are multiplied by is not.

    So nothing is divided by all of T at once, which might vanish, or multiplied, which might
    overflow; nor by one divisor after the other, which XLA would multiply first.
    """
    return tf.sqrt(tf.maximum(T, 1))


def _log_sums(b: Blocks, T: Tensor, terms: Terms) -> tuple[list[Tensor], Tensor]:
    """Return the logarithms of the sums, (n B,) each, -inf where empty, and mean_P s/T.

    The sums are over all others, or (split) over P(i) and N(i), and (low) of exp(-s) over P(i).
    """
    nothing, zero = (tf.constant(value, b.z.dtype) for value in (-math.inf, 0))
    kinds = 1 + terms.split + terms.low
    empty = tf.zeros_like(b.shares[0])  # (B,)
    start = empty if terms.plain else tf.stack([empty + b.z.dtype.min, empty])
    starts = (*[start] * kinds, empty)

    def tile(rows: Any, columns: Any, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        (z_i, ranks_i, shares), (z_j, ranks_j) = rows, columns
        s, t = _products(z_i, z_j, T, terms)
        if not masked:
            pairs = [(start, start)] * kinds + [(empty, empty)]
            pairs[terms.split] = _sums(t, terms.plain)
        else:
            same, positives, absent = masks(ranks_i, ranks_j, diagonal)
            exponents = [tf.where(absent, nothing, t)]
            if terms.split:
                exponents = [tf.where(positives, t, nothing), tf.where(same | absent, nothing, t)]
            if terms.low:
                exponents.append(tf.where(positives, -s, nothing))
            # Divided before the sum, which would overflow where the mean does not.
            means = tf.where(positives, t * shares[:, None], zero)
            pairs = [_sums(x, terms.plain) for x in exponents]
            pairs.append((tf.reduce_sum(means, 1), tf.reduce_sum(means, 0)))
        across, down = zip(*pairs, strict=True)
        return across, down

    def merge(x: Parts, y: Parts) -> Parts:
        sums = [_merged(p, q, terms.plain) for p, q in zip(x[:-1], y[:-1], strict=True)]
        return (*sums, x[-1] + y[-1])

    values = (_factors(b, T, terms), b.ranks, b.shares), (b.z, b.ranks)
    *sums, mean = merge(*sweep(b, values, starts, starts, tile, merge))
    if not terms.plain:
        sums = [pair[:, 0] + tf.math.log(pair[:, 1]) for pair in sums]
    else:
        sums = [tf.math.log(total) for total in sums]
    return [tf.reshape(total, [-1]) for total in sums], tf.reshape(mean, [-1])


def _pair_sums(b: Blocks, T: Tensor, terms: Terms, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return T dL/dz_i over `_scale`, (n, B, D), and parts of -2 T dL/dT, (n, B).

    Both over the unit of upstream gradients; the second 0 unless `terms.slope`.
    """
    zero = tf.constant(0, b.z.dtype)
    scale = None if terms.plain else _scale(T)  # None where it is 1
    flat = tf.zeros_like(b.shares[0])
    across, down = (tf.zeros_like(b.z[0]), flat), (tf.zeros_like(b.turned[0]),)

    def both(x: Tensor, w: Sequence[Tensor], c: Sequence[Tensor]) -> Tensor:
        """Return w_i exp(x - c_i) + w_j exp(x - c_j), (B, B)."""
        (w_i, w_j), (c_i, c_j) = w, c
        if terms.plain:
            a_i, a_j = w_i * tf.exp(-c_i), w_j * tf.exp(-c_j)
            return tf.exp(x) * (a_i[:, None] + a_j)
        return w_i[:, None] * tf.exp(x - c_i[:, None]) + w_j * tf.exp(x - c_j)

    def tile(rows: Any, columns: Any, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        (z_i, ranks_i, ours, turned), (z_j, ranks_j, theirs) = rows, columns
        w, pulls, of_positives, of_negatives, of_low = zip(ours, theirs, strict=True)
        s, t = _products(z_i, z_j, T, terms)
        G, low = both(t, w, of_negatives), zero
        if masked:
            _, positives, absent = masks(ranks_i, ranks_j, diagonal)
            attract = pulls[0][:, None] + pulls[1]
            if terms.split:
                G = tf.where(positives, both(t, w, of_positives) - attract, G)
            else:
                G -= tf.where(positives, attract, zero)
            if terms.low:
                low = tf.where(positives, T * both(-s, w, of_low), zero)
            G, t = tf.where(absent, zero, G), tf.where(absent, zero, t)
        # Without what k1 gives, a multiple of dL/dT that grows with T.
        scaled = t if scale is None else t * scale
        slopes = tf.reduce_sum(scaled * G, 1) if terms.slope else flat
        G -= low
        by_rows = tf.matmul(G, z_j)
        if diagonal:
            return (by_rows, slopes), ()
        return (by_rows, 2 * slopes), (tf.matmul(turned, G),)

    def merge(x: Parts, y: Parts) -> Parts:
        return tuple(p + q for p, q in zip(x, y, strict=True))

    values = (_factors(b, T, terms), b.ranks, weights, b.turned), (b.z, b.ranks, weights)
    (by_rows, slopes), (by_columns,) = sweep(b, values, across, down, tile, merge)
    return by_rows + tf.transpose(by_columns, [0, 2, 1]), slopes


def _factors(b: Blocks, T: Tensor, terms: Terms) -> Tensor:
    """Return z/T where in range, as rows are fewer than products, else z."""
    return b.z / T if terms.plain else b.z


def _products(rows: Tensor, columns: Tensor, T: Tensor, terms: Terms) -> tuple[Tensor, Tensor]:
    """Return s, where that is used, and s/T of a tile, from `_factors` and columns."""
    found = tf.matmul(rows, columns, transpose_b=True)
    return (found * T, found) if terms.plain else (found, found / T)


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
    (top, total), (other, more) = (tf.unstack(pair, axis=-2) for pair in (x, y))
    maximum = tf.maximum(top, other)
    total = total * tf.exp(top - maximum) + more * tf.exp(other - maximum)
    return tf.stack([maximum, total], axis=-2)


def _weighted_sum(w: Tensor, x: Tensor, unit: Tensor) -> Tensor:
    """Return unit sum_i w_i e^x_i: infinite, with its sign, only where it has to be (NUM-11)."""
    x = tf.where(tf.equal(w, 0), tf.constant(-math.inf, x.dtype), x)
    maximum = tf.maximum(tf.reduce_max(x), x.dtype.min)
    root = tf.exp(maximum / 2)
    total = tf.reduce_sum(w * tf.exp(x - maximum)) * unit
    return tf.where(tf.equal(total, 0), tf.zeros_like(total), total * root * root)


def _plain_or_not(
    plan: Plan, z: Tensor, given: Sequence[Tensor], made: Callable[[Terms], Any]
) -> Any:
    """Make it with plain exponentials where they all fit, otherwise with maxima."""
    kept = (plan.split, plan.low, plan.slope)
    plain, shifted = (partial(made, Terms(*kept, way)) for way in (True, False))
    if plan.plain is not None:
        return plain() if plan.plain else shifted()
    (T, *log_weights), one = given, tf.constant(1, z.dtype)
    longest = one if plan.unit else tf.reduce_max(tf.reduce_sum(z * z, 1))
    fits = longest * tf.maximum(1 / T, one) <= LARGEST_EXPONENT[z.dtype]
    fits &= T <= dense.LARGEST_TEMPERATURE
    for weight in log_weights:
        fits &= (tf.abs(weight) <= dense.LARGEST_LOG_WEIGHT) | tf.equal(weight, -math.inf)
    return tf.cond(fits, plain, shifted)
