"""Sums and gradients over tiles of the N x N pairs, never all of them (SUP-4 to 7, GRD-1 to 9).

Nothing here is differentiable: `blockwise` says what the derivatives are.
"""

import math
from functools import reduce

import torch
from torch import Tensor

from tuned_contrastive.backends.torch.rows import (
    Band,
    Cut,
    Pairs,
    Products,
    Rows,
    Scalar,
    Scalars,
    Tile,
    is_number,
    only,
    terms,
)


def losses(rows: Rows, scalars: Scalars, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, (N,), and the logarithms of its sums, (N, 1 to 3).

    These are D_i and, for what of k1 and k2 is a tensor, the sum that it multiplies. What
    `gradients` needs of the first tiles is left in `kept`.
    """
    T, k1, k2 = scalars
    negatives = _LogSums(rows)
    positives = _LogSums(rows) if rows.masked else None
    products = Products(rows, T, kept, filled=False)
    for tile in rows.tiles:
        x = products.of(tile)
        if positives and tile.masked:
            mask, part = rows.mask(tile, products.scratch(1, tile)), products.scratch(2, tile)
            positives.add(only(part.copy_(x), mask, -math.inf, rows.shifted), tile)
            x = only(part.copy_(x), mask.neg_().add_(1), -math.inf, rows.shifted)  # x may be kept
        negatives.add(x, tile)
    if rows.unit:
        mean = rows.sums_over_positives(rows.z).mul_(rows.z).sum(1).mul_(rows.shares).div_(T)
    else:
        mean = _attraction(rows.band, rows.shares, T)
    groups = [] if is_number(k1, 0) else [(_repulsion(rows.band), k1)]
    groups.append((negatives.log(), k2))
    logs = [log if is_number(k, 1) else log + _log(k, log) for log, k in groups]
    total = reduce(torch.logaddexp, [*logs, positives.log()] if positives else logs)
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
    negatives = _PairWeights(rows, in_t, total - _log(k2, w) if rows.masked else total)
    positives = _PairWeights(rows, in_t, total) if rows.masked else None
    dz = torch.zeros_like(rows.z)
    dz_cut = rows.cut(dz)
    products = Products(rows, T, kept, filled=True)
    for tile in rows.tiles:
        x = products.of(tile)
        weights = negatives.of(x, tile, products.scratch(1, tile))
        if positives and tile.masked:
            mask = rows.mask(tile, products.scratch(2, tile))
            weights = torch.where(mask == 1, positives.of(x, tile), weights)
        _multiply_out(dz_cut, weights, rows.blocks, tile)
    pull = in_t * rows.shares
    if rows.unit:
        dz -= rows.sums_over_positives(rows.z).mul_(pull[:, None])
        dz -= rows.sums_over_positives(pull[:, None] * rows.z)
    else:
        dz -= _attraction_gradient(rows.band, pull)
    found = w.new_zeros(3)
    if isinstance(T, Tensor):
        # Every pair is met twice. No product of torch.linalg: autocast would halve its precision.
        root = unit.sqrt() / T.sqrt()  # in range wherever what it leads to is
        found[0] = (dz * rows.z).sum() * root * root / -2
    if not is_number(k1, 0):  # what k1 gives has no part in dL/dT, of which it may be any multiple
        dz -= _repulsion_gradient(rows.band, w, total - _log(k1, w))
    learnable = [place for place in (1, 2) if isinstance(scalars[place], Tensor)]
    for column, place in enumerate(learnable, 1):
        found[place] = _weighted_sum(w, sums[:, column] - total, unit)
    return dz.mul_(unit), found


def _attraction(band: Band, shares: Tensor, T: Scalar) -> Tensor:
    """Return the mean of s/T over P(i), (N,)."""
    mean = torch.zeros_like(band.z[:, 0])
    means, shares = band.cut(mean), band.cut(band.filled(shares, 0))
    for pairs in band.tiles:
        s = band.products(pairs)
        # Divided before the sum, which would overflow where the mean does not.
        t = torch.where(band.mask(pairs) == 1, s / T * shares[pairs.i].unsqueeze(2), 0)
        for block, dim in _sides(pairs):
            means[block].add_(t.sum(dim))
    return band.unfilled(mean)


def _attraction_gradient(band: Band, pull: Tensor) -> Tensor:
    """Return sum_P(i) (pull_i + pull_j) z_j, (N, D)."""
    dz, pulls = torch.zeros_like(band.z), band.cut(band.filled(pull, 0))
    dz_cut = band.cut(dz)
    for pairs in band.tiles:
        both = pulls[pairs.i].unsqueeze(2) + pulls[pairs.j].unsqueeze(1)
        weights = torch.where(band.mask(pairs) == 1, both, 0)
        _multiply_out(dz_cut, weights, band.blocks, pairs)
    return band.unfilled(dz)


def _repulsion(band: Band) -> Tensor:
    """Return log sum e^-s over P(i), (N,); -inf without any."""
    sums = _LogSums(band)
    for pairs in band.tiles:
        x = terms(band.products(pairs).neg_(), band.shifted)
        sums.add(only(x, band.mask(pairs), -math.inf, band.shifted), pairs)
    return band.unfilled(sums.log())


def _repulsion_gradient(band: Band, w: Tensor, c: Tensor) -> Tensor:
    """Return sum_P(i) (w_i e^(-s_ij - c_i) + w_j e^(-s_ij - c_j)) z_j, (N, D)."""
    weights = _PairWeights(band, band.filled(w, 0), band.filled(c, math.inf))
    dz = torch.zeros_like(band.z)
    dz_cut = band.cut(dz)
    for pairs in band.tiles:
        x = terms(band.products(pairs).neg_(), band.shifted)
        found = weights.of(x, pairs, band.scratch(2, pairs))
        found = only(found, band.mask(pairs), 0, band.shifted)
        _multiply_out(dz_cut, found, band.blocks, pairs)
    return band.unfilled(dz)


def _multiply_out(dz: Cut, weights: Tensor, z: Cut, tile: Tile | Pairs) -> None:
    """Add what a tile's pairs give to the gradients of its rows and of its columns."""
    add = Tensor.addmm_ if weights.ndim == 2 else Tensor.baddbmm_
    add(dz[tile.i], weights, z[tile.j])
    if not tile.diagonal:
        add(dz[tile.j], weights.mT, z[tile.i])


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

    def __init__(self, rows: Rows | Band) -> None:
        self._total = torch.zeros_like(rows.z[:, 0])
        self._maximum = torch.full_like(self._total, -math.inf) if rows.shifted else None
        self._totals: Cut = rows.cut(self._total)
        self._maxima: Cut | None = None if self._maximum is None else rows.cut(self._maximum)

    def add(self, x: Tensor, tile: Tile | Pairs) -> None:
        """Add a tile of `terms` to the sums of its rows and to those of its columns."""
        for block, dim in _sides(tile):
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

    def __init__(self, rows: Rows | Band, w: Tensor, c: Tensor) -> None:
        self._w = _Sides(rows, w if rows.shifted else w * (-c).exp_())  # w_i e^-c_i where in range
        self._c = _Sides(rows, c) if rows.shifted else None

    def of(self, x: Tensor, tile: Tile | Pairs, out: Tensor | None = None) -> Tensor:
        """Return the weights of a tile of `terms`, in the memory of `out`."""
        w, c, i, j = self._w, self._c, tile.i, tile.j
        if c is None:
            return torch.add(w.rows[i], w.columns[j], out=out).mul_(x)
        ours = (x - c.rows[i]).exp_().mul_(w.rows[i])
        return torch.sub(x, c.columns[j], out=out).exp_().mul_(w.columns[j]).add_(ours)


class _Sides:
    """Values of the rows (N,), cut: for the rows of a tile, (n, 1), and for its columns, (1, n)."""

    def __init__(self, rows: Rows | Band, values: Tensor) -> None:
        cut = rows.cut(values[:, None])
        self.rows: Cut = cut
        self.columns: Cut = cut.mT if isinstance(cut, Tensor) else tuple(each.mT for each in cut)


def _sides(tile: Tile | Pairs) -> tuple[tuple[int | slice, int], ...]:
    """Return the blocks that a tile's sums belong to, each with the axis to sum over."""
    return ((tile.i, -1),) if tile.diagonal else ((tile.i, -1), (tile.j, -2))
