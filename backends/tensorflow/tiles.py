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
    positives: Tensor  # log D_i
    negatives: Tensor  # log D_i - log k2
    low: Tensor  # log D_i - log k1


def losses(
    plan: Plan, sort: tuple[Tensor, ...], z: Tensor, T: Tensor, log_k1: Tensor, log_k2: Tensor
) -> tuple[Tensor, ...]:
    """Return l_i, and at the sorted places log D_i, L_neg and L_low, (N,) each."""
    order = Order(*sort)
    blocks = cut_rows(z, T, order, plan.largest, plan.even)
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
    blocks = cut_rows(z, T, order, plan.largest, plan.even)
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
    weights = Weights(cut(w * (1 / scale), 0), *(cut(values, math.inf) for values in constants))
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

    def tile(i: Tensor, j: Tensor, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        if not masked:
            t = _quotients(b, T, i, j, terms)
            pairs = [(start, start)] * kinds + [(empty, empty)]
            pairs[terms.split] = _sums(t, terms.plain)
            return tuple(across for across, _ in pairs), tuple(down for _, down in pairs)
        s = tf.matmul(tf.gather(b.z, i), tf.gather(b.z, j), transpose_b=True)
        t = s / T
        same, positives, absent = masks(b.ranks, i, j, diagonal)
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

    starts = (*[start] * kinds, empty)
    *sums, mean = merge(*sweep(b, starts, starts, tile, merge))
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
    h = weights.w * b.shares
    scale = None if terms.plain else _scale(T)  # None where it is 1

    def both(x: Tensor, c: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return w_i exp(x - c_i) + w_j exp(x - c_j), (B, B)."""
        (w_i, c_i), (w_j, c_j) = ((tf.gather(weights.w, k), tf.gather(c, k)) for k in (i, j))
        if terms.plain:
            a_i, a_j = w_i * tf.exp(-c_i), w_j * tf.exp(-c_j)
            return tf.exp(x) * (a_i[:, None] + a_j)
        return w_i[:, None] * tf.exp(x - c_i[:, None]) + w_j * tf.exp(x - c_j)

    def tile(i: Tensor, j: Tensor, masked: bool, diagonal: bool) -> tuple[Parts, Parts]:
        z_j, low = tf.gather(b.z, j), zero
        if not masked:
            t = _quotients(b, T, i, j, terms)
            G = both(t, weights.negatives, i, j)
        else:
            s = tf.matmul(tf.gather(b.z, i), z_j, transpose_b=True)
            t = s / T
            _, positives, absent = masks(b.ranks, i, j, diagonal)
            attract = tf.gather(h, i)[:, None] + tf.gather(h, j)
            if terms.split:
                P, G = (both(t, c, i, j) for c in (weights.positives, weights.negatives))
                G = tf.where(positives, P - attract, G)
            else:
                G = both(t, weights.positives, i, j) - tf.where(positives, attract, zero)
            if terms.low:
                low = tf.where(positives, T * both(-s, weights.low, i, j), zero)
            G, t = tf.where(absent, zero, G), tf.where(absent, zero, t)
        # Without what k1 gives, a multiple of dL/dT that grows with T.
        scaled = t if scale is None else t * scale
        slopes = tf.reduce_sum(scaled * G, 1) if terms.slope else tf.zeros_like(h[0])
        G -= low
        across = tf.matmul(G, z_j)
        if diagonal:
            return (across, slopes), ()
        return (across, 2 * slopes), (tf.matmul(tf.gather(b.turned, i), G),)

    def merge(x: Parts, y: Parts) -> Parts:
        return tuple(p + q for p, q in zip(x, y, strict=True))

    across, down = (tf.zeros_like(b.z[0]), tf.zeros_like(h[0])), (tf.zeros_like(b.turned[0]),)
    (by_rows, slopes), (by_columns,) = sweep(b, across, down, tile, merge)
    return by_rows + tf.transpose(by_columns, [0, 2, 1]), slopes


def _quotients(b: Blocks, T: Tensor, i: Tensor, j: Tensor, terms: Terms) -> Tensor:
    """Return s/T of a tile. In range the rows were divided, not the products, which are more."""
    if terms.plain:
        return tf.matmul(tf.gather(b.t, i), tf.gather(b.z, j), transpose_b=True)
    return tf.matmul(tf.gather(b.z, i), tf.gather(b.z, j), transpose_b=True) / T


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
