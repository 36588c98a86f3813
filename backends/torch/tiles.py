"""Sums and gradients over tiles of the N x N pairs, never all of them (SUP-4 to 7, GRD-1 to 9).

Nothing here is differentiable: `blockwise` says what the derivatives are.
"""

import math
from functools import reduce

import torch
from torch import Tensor

from tuned_contrastive.backends.torch.rows import Products, Rows, Scalar, Scalars, Tile, is_number

Cut = tuple[Tensor, ...]
"""The blocks of what belongs to the rows."""


def losses(rows: Rows, scalars: Scalars, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, (N,), and the logarithms of its sums, (N, 1 to 3).

    These are D_i and, for what of k1 and k2 is a tensor, the sum that it multiplies. What
    `gradients` needs of the first tiles is left in `kept`.
    """
    T, k1, k2 = scalars
    split = not is_number(k2, 1)  # positives apart from negatives
    negatives = _LogSums(rows)
    positives = _LogSums(rows) if split else None
    low = None if is_number(k1, 0) else _LogSums(rows)
    mean = torch.zeros_like(rows.shares)
    means, shares = rows.cut(mean), rows.cut(rows.shares)
    products = Products(rows, T, kept, filled=False)
    for tile in rows.tiles:
        s, x = products.of(tile)
        if tile.masked:
            mask = rows.mask(tile, products.scratch(2, tile))
            if not rows.unit:
                # Divided before the sum, which would overflow where the mean does not.
                near = torch.where(mask == 1, s / T * shares[tile.i][:, None], 0)
                means[tile.i].add_(near.sum(1))
                if not tile.diagonal:
                    means[tile.j].add_(near.sum(0))
            if positives:
                out = products.scratch(3, tile)
                positives.add(rows.only(out.copy_(x), mask, -math.inf), tile)
                rows.only(x, torch.neg(mask, out=out).add_(1), -math.inf)
        negatives.add(x, tile)
        if tile.masked and low:
            lowest = rows.terms(torch.neg(s, out=x))
            low.add(rows.only(lowest, mask, -math.inf), tile)
    if rows.unit:
        mean = rows.sums_over_positives(rows.z).mul_(rows.z).sum(1).mul_(rows.shares).div_(T)
    groups = [(sums.log(), k) for sums, k in ((low, k1), (negatives, k2)) if sums]
    terms = [log if is_number(k, 1) else log + _log(k, log) for log, k in groups]
    total = reduce(torch.logaddexp, [*terms, positives.log()] if positives else terms)
    learnable = [log for log, k in groups if isinstance(k, Tensor)]
    return (total - mean).masked_fill_(rows.alone, 0), torch.stack([total, *learnable], 1)


def gradients(
    upstream: Tensor, sums: Tensor, kept: Tensor, rows: Rows, scalars: Scalars
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
    apart = torch.zeros_like(dz) if low and isinstance(T, Tensor) else None
    dz_cut, apart_cut = rows.cut(dz), None if apart is None else rows.cut(apart)
    products = Products(rows, T, kept, filled=True)
    for tile in rows.tiles:
        s, x = products.of(tile)
        weights = negatives.of(x, tile, products.scratch(2, tile))
        if tile.masked:
            mask = rows.mask(tile, products.scratch(4, tile))
            if positives:
                weights = torch.where(mask == 1, positives.of(x, tile), weights)
            if not rows.unit:
                weights -= torch.where(mask == 1, pulls[tile.i][:, None] + pulls[tile.j], 0)
            if low:
                lowest = rows.terms(torch.neg(s, out=products.scratch(1, tile)))
                lowest = rows.only(low.of(lowest, tile, products.scratch(3, tile)), mask, 0)
                if apart_cut is None:
                    weights -= lowest
                else:
                    _multiply_out(apart_cut, lowest, rows.blocks, tile)
        _multiply_out(dz_cut, weights, rows.blocks, tile)
    if rows.unit:
        dz -= rows.sums_over_positives(rows.z).mul_(pull[:, None])
        dz -= rows.sums_over_positives(pull[:, None] * rows.z)
    found = w.new_zeros(3)
    if isinstance(T, Tensor):
        # Every pair is met twice. No product of torch.linalg: autocast would halve its precision.
        root = unit.sqrt() / T.sqrt()  # in range wherever what it leads to is
        found[0] = (dz * rows.z).sum() * root * root / -2
    if apart is not None:
        dz -= apart
    learnable = [place for place in (1, 2) if isinstance(scalars[place], Tensor)]
    for column, place in enumerate(learnable, 1):
        found[place] = _weighted_sum(w, sums[:, column] - total, unit)
    return dz.mul_(unit), found


def _multiply_out(dz: Cut, weights: Tensor, z: Cut, tile: Tile) -> None:
    """Add what a tile's pairs give to the gradients of its rows and of its columns."""
    dz[tile.i].addmm_(weights, z[tile.j])
    if not tile.diagonal:
        dz[tile.j].addmm_(weights.T, z[tile.i])


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

    def __init__(self, rows: Rows) -> None:
        self._total = torch.zeros_like(rows.z[:, 0])
        self._maximum = torch.full_like(self._total, -math.inf) if rows.shifted else None
        self._totals = rows.cut(self._total)
        self._maxima = None if self._maximum is None else rows.cut(self._maximum)

    def add(self, x: Tensor, tile: Tile) -> None:
        """Add a tile of `Rows.terms` to the sums of its rows and to those of its columns."""
        sides = ((tile.i, 1),) if tile.diagonal else ((tile.i, 1), (tile.j, 0))
        for block, dim in sides:
            if self._maxima is None:
                self._totals[block].add_(x.sum(dim))
            else:
                self._add_shifted(self._maxima[block], self._totals[block], x, dim)

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
        self._w = _Sides(rows, w if rows.shifted else w * (-c).exp_())  # w_i e^-c_i where in range
        self._c = _Sides(rows, c) if rows.shifted else None

    def of(self, x: Tensor, tile: Tile, out: Tensor | None = None) -> Tensor:
        """Return the weights of a tile of `Rows.terms`, in the memory of `out`."""
        w, c, i, j = self._w, self._c, tile.i, tile.j
        if c is None:
            return torch.add(w.rows[i], w.columns[j], out=out).mul_(x)
        ours = (x - c.rows[i]).exp_().mul_(w.rows[i])
        return torch.sub(x, c.columns[j], out=out).exp_().mul_(w.columns[j]).add_(ours)


class _Sides:
    """Values of the rows (N,), cut: for the rows of a tile, (n, 1), and for its columns, (n,)."""

    def __init__(self, rows: Rows, values: Tensor) -> None:
        self.rows, self.columns = rows.cut(values[:, None]), rows.cut(values)
