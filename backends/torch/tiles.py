"""Sums and gradients over tiles of the N x N pairs, never all of them (SUP-4 to 7, GRD-1 to 9).

Nothing here is differentiable: `blockwise` says what the derivatives are.
"""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from tuned_contrastive.backends.torch.rows import (
    WHOLE,
    Near,
    Products,
    Rows,
    Scalar,
    Scalars,
    Tile,
    is_number,
)

Cut = tuple[Tensor, ...]
"""The blocks of what belongs to the rows."""


def losses(rows: Rows, scalars: Scalars, kept: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, (N,), and the logarithms of its sums, (N, 1 to 3).

    These are D_i and, for what of k1 and k2 is a tensor, the sum that it multiplies. What
    `gradients` needs of the first tiles is left in `kept`.
    """
    T, k1, k2 = scalars
    split = not is_number(k2, 1)  # positives apart from negatives
    negatives = _LogSums(rows)
    positives = _LogSums(rows) if split else None
    total = rows.members.sums(rows.z) if rows.members else None
    low = None if is_number(k1, 0) else _LogSums(rows, total)
    mean = torch.zeros_like(rows.shares)
    means, shares = rows.cut(mean), rows.cut(rows.shares)
    products = Products(rows, T, kept, filled=False)
    for tile in rows.tiles:
        s, x = products.of(tile)
        if (near := tile.near) and rows.raw:
            mask = rows.mask(tile, near, products.scratch(2, near.shape))
            if not rows.unit:
                # Divided before the sum, which would overflow where the mean does not.
                ours = near.of_rows(shares[tile.i])[:, None]
                share = torch.where(mask == 1, near.of(s) / T * ours, 0)
                near.of_rows(means[tile.i]).add_(share.sum(1))
                if not tile.diagonal:
                    near.of_columns(means[tile.j]).add_(share.sum(0))
            if positives:
                part, out = near.of(x), products.scratch(3, near.shape)
                positives.add(rows.only(out.copy_(part), mask, -math.inf), tile, near)
                rows.only(part, torch.neg(mask, out=out).add_(1), -math.inf)
        negatives.add(x, tile)
        if near and low and not rows.members:
            lowest = rows.terms(torch.neg(near.of(s), out=products.scratch(1, near.shape)))
            low.add(rows.only(lowest, mask, -math.inf), tile, near)
    if rows.unit:
        mean = rows.sums_over_positives(rows.z).mul_(rows.z).sum(1).mul_(rows.shares).div_(T)
    groups = [(sums.log(), k) for sums, k in ((low, k1), (negatives, k2)) if sums]
    terms = [log if is_number(k, 1) else log + _log(k, log) for log, k in groups]
    total = reduce(torch.logaddexp, [*terms, positives.log()] if positives else terms)
    learnable = [log for log, k in groups if isinstance(k, Tensor)]
    return (total - mean).masked_fill_(rows.alone, 0), torch.stack([total, *learnable], 1)


def gradients(
    upstream: Tensor, sums: Tensor, kept: Sequence[Tensor], rows: Rows, scalars: Scalars
) -> tuple[Tensor, Tensor]:
    """Return the gradients in z (N, D) and in T, k1, k2 (3,), 0 for a number, given those in l_i.

    A pair's weight is what both its rows give it, G_ij + G_ji of GRD-3.
    """
    T, k1, k2 = scalars
    w = upstream.masked_fill(rows.alone, 0)
    limits = torch.finfo(w.dtype)
    # Taken out: a small weight times a small exponential would vanish.
    unit = w.abs().amax().clamp_(limits.tiny, limits.max)
    w /= unit
    total = sums[:, 0].masked_fill(rows.alone, math.inf)
    in_t = w / T
    pull = in_t * rows.shares
    pulls = rows.cut(pull)
    split = not is_number(k2, 1)
    negatives = _PairWeights(rows, in_t, total - _log(k2, w) if split else total)
    positives = _PairWeights(rows, in_t, total) if split else None
    low = None if is_number(k1, 0) else _PairWeights(rows, w, total - _log(k1, w))
    dz = rows.z.new_zeros(rows.z.shape)
    # What k1 gives has no part in dL/dT, of which it is a multiple that grows with T.
    is_apart = low is not None and isinstance(T, Tensor) and not rows.members
    apart = torch.zeros_like(dz) if is_apart else None
    dz_cut, apart_cut = rows.cut(dz), None if apart is None else rows.cut(apart)
    products = Products(rows, T, kept, filled=True)
    for tile in rows.tiles:
        s, x = products.of(tile)
        weights = negatives.of(x, tile, products.scratch(2, tile.shape))
        if near := tile.near:
            mask, part = rows.mask(tile, near, products.scratch(4, near.shape)), near.of(weights)
            if positives:
                nearer = positives.of(near.of(x), tile, products.scratch(3, near.shape), near)
                torch.where(mask == 1, nearer, part, out=part)
            ours, theirs = near.of_rows(pulls[tile.i]), near.of_columns(pulls[tile.j])
            out = products.scratch(3, near.shape)
            part -= torch.add(ours[:, None], theirs, out=out).mul_(mask)
            if low and not rows.members:
                lowest = rows.terms(torch.neg(near.of(s), out=products.scratch(1, near.shape)))
                lowest = rows.only(low.of(lowest, tile, out, near), mask, 0)
                if apart_cut is None:
                    part -= lowest
                else:
                    _multiply_out(apart_cut, lowest, rows.blocks, tile, near)
        _multiply_out(dz_cut, weights, rows.blocks, tile)
    if rows.spans is None:
        dz -= rows.sums_over_positives(rows.z).mul_(pull[:, None])
        dz -= rows.sums_over_positives(pull[:, None] * rows.z)
    found = w.new_zeros(3)
    if isinstance(T, Tensor):
        # Every pair is met twice. No product of torch.linalg: autocast would halve its precision.
        root = unit.sqrt() / T.sqrt()  # in range wherever what it leads to is
        found[0] = (dz * rows.z).sum() * root * root / -2
    if low and rows.members:
        dz -= rows.members.products(rows.z, low.w)
    if apart is not None:
        dz -= apart
    learnable = [place for place in (1, 2) if isinstance(scalars[place], Tensor)]
    for column, place in enumerate(learnable, 1):
        found[place] = _weighted_sum(w, sums[:, column] - total, unit)
    return dz.mul_(unit), found


def _multiply_out(dz: Cut, weights: Tensor, z: Cut, tile: Tile, near: Near = WHOLE) -> None:
    """Add what pairs of a tile, or of a part, give to the gradients of its rows and columns."""
    near.of_rows(dz[tile.i]).addmm_(weights, near.of_columns(z[tile.j]))
    if not tile.diagonal:
        near.of_columns(dz[tile.j]).addmm_(weights.T, near.of_rows(z[tile.i]))


def _weighted_sum(w: Tensor, x: Tensor, unit: Tensor) -> Tensor:
    """Return unit sum_i w_i e^x_i: infinite, with its sign, only where it has to be (NUM-11)."""
    x = x.masked_fill(w == 0, -math.inf)
    top = x.amax().clamp(min=torch.finfo(x.dtype).min)
    root = (top / 2).exp()
    total = (w * (x - top).exp()).sum() * unit
    return torch.where(total == 0, 0, total * root * root)


def _log(k: Scalar, like: Tensor) -> Scalar:
    """Return log k, taken in k's own precision: the dtype of the rows may not hold k."""
    if isinstance(k, Tensor):
        return k.log().to(like.dtype)
    return math.log(k) if k > 0 else -math.inf


class _LogSums:
    """log sum_j e^x_ij of every row i, whose terms arrive tile by tile."""

    def __init__(self, rows: Rows, total: Tensor | None = None) -> None:
        self._total = torch.zeros_like(rows.z[:, 0]) if total is None else total
        self._maximum = torch.full_like(self._total, -math.inf) if rows.shifted else None
        self._totals = rows.cut(self._total)
        self._maxima = None if self._maximum is None else rows.cut(self._maximum)

    def add(self, x: Tensor, tile: Tile, near: Near = WHOLE) -> None:
        """Add `Rows.terms` of a tile, or of a part, to the sums of its rows and of its columns."""
        rows = (tile.i, 1, near.of_rows)
        for block, dim, cut in (rows,) if tile.diagonal else (rows, (tile.j, 0, near.of_columns)):
            total = cut(self._totals[block])
            if self._maxima is None:
                total.add_(x.sum(dim))
            else:
                self._add_shifted(cut(self._maxima[block]), total, x, dim)

    def _add_shifted(self, maximum: Tensor, total: Tensor, x: Tensor, dim: int) -> None:
        old = maximum.clone()
        torch.maximum(old, x.amax(dim), out=maximum)
        shift = maximum.masked_fill(maximum == -math.inf, 0)  # no term yet
        terms = (x - shift.unsqueeze(dim)).exp_().sum(dim)
        total.mul_((old - shift).exp_()).add_(terms)

    def log(self) -> Tensor:
        """Return the logarithms, (N,); -inf for a sum without terms."""
        return self._total.log() if self._maximum is None else self._total.log() + self._maximum


class _PairWeights:
    """w_i e^(x_ij - c_i) + w_j e^(x_ij - c_j), tile by tile."""

    def __init__(self, rows: Rows, w: Tensor, c: Tensor) -> None:
        self.w = w if rows.shifted else w * (-c).exp_()  # w_i e^-c_i where in range
        self._w = _Sides(rows, self.w)
        self._c = _Sides(rows, c) if rows.shifted else None

    def of(self, x: Tensor, tile: Tile, out: Tensor, near: Near = WHOLE) -> Tensor:
        """Return the weights of `Rows.terms` of a tile, or of a part, in the memory of `out`."""
        ours, theirs = near.of_rows(self._w.rows[tile.i]), near.of_columns(self._w.columns[tile.j])
        if self._c is None:
            return torch.add(ours, theirs, out=out).mul_(x)
        rows, columns = near.of_rows(self._c.rows[tile.i]), near.of_columns(self._c.columns[tile.j])
        ours = (x - rows).exp_().mul_(ours)
        return torch.sub(x, columns, out=out).exp_().mul_(theirs).add_(ours)


class _Sides:
    """Values of the rows (N,), cut: for the rows of a tile, (n, 1), and for its columns, (n,)."""

    def __init__(self, rows: Rows, values: Tensor) -> None:
        self.rows, self.columns = rows.cut(values[:, None]), rows.cut(values)
