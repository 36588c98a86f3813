"""Sums and gradients over tiles of the N x N pairs, never all of them (SUP-4 to 7, GRD-1 to 9).

Rows are sorted by label, so that only tiles near the diagonal have positives; s_ij = s_ji, so that
a tile (i, j) of two slices, i <= j, serves the rows of both. Nothing here is differentiable:
`blockwise` says what the derivatives are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Scalar = Tensor | float
Scalars = tuple[Scalar, Scalar, Scalar]  # T, k1, k2
Tile = tuple[slice, slice, bool]


@dataclass(frozen=True)
class Rows:
    """The rows, in the order of their labels where a tile needs that, and their pairs by tiles."""

    z: Tensor  # (N, D)
    order: Tensor | None
    starts: Tensor  # the first place of each row's class, (N,)
    sizes: Tensor  # |P(i)|, (N,)
    tiles: list[Tile]
    unit: bool
    shifted: bool
    """Whether a maximum is taken off before exponentials are."""

    def arrange(self, values: Tensor) -> Tensor:
        """Return values of the rows as they came in, along the first axis, in this order."""
        return values if self.order is None else values[self.order]

    def restore(self, values: Tensor) -> Tensor:
        """Return values of these rows, along the first axis, in the order they came in."""
        if self.order is None:
            return values
        return torch.empty_like(values).index_copy_(0, self.order, values)

    def sums_over_positives(self, values: Tensor) -> Tensor:
        """Return sum_P(i) of values (N, D): of those of one size, else leaving i out cancels."""
        sums = torch.zeros_like(values)
        if values.is_cpu:
            sums.index_add_(0, self.starts, values)
        else:  # there index_add_ adds in any order (NUM-13)
            sums.index_put_((self.starts,), values, accumulate=True)
        return sums[self.starts].sub_(values)


def arrange_rows(z: Tensor, labels: Tensor, scalars: Scalars, normalize: bool, block: int) -> Rows:
    """Cut the pairs into tiles of at most `block` rows and columns, masked ones near the diagonal.

    Rows of norm 1 or 0 under SupCon need no masks, and so no order.
    """
    masked = not (normalize and _is_number(scalars[1], 0) and _is_number(scalars[2], 1))
    ordered, order = labels.sort(stable=True)
    is_sorted = masked and len(z) > block
    classes = ordered if is_sorted else labels.contiguous()
    starts = torch.searchsorted(ordered, classes)
    ends = torch.searchsorted(ordered, classes, right=True)
    tiles = list(_tiles(len(z), block, ends if masked else None))
    shifted = not _fits(z, scalars, normalize)
    z = z[order] if is_sorted else z
    return Rows(
        z, order if is_sorted else None, starts, ends - starts - 1, tiles, normalize, shifted
    )


def row_sums(rows: Rows, scalars: Scalars) -> tuple[Tensor, Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, (N,), the logarithms of three sums, (N, 3), and s.

    The sums are D_i, that of e^(s/T) over N(i), or if k2 is the number 1 over all others, and that
    of e^-s over P(i). All s are kept only where they are a single tile, else none.
    """
    T, k1, k2 = scalars
    positives, negatives, low = (_LogSums(rows) for _ in range(3))
    mean = torch.zeros_like(rows.z[:, 0])
    buffers = _Buffers(rows, T)
    for i, j, masked in rows.tiles:
        s, t = buffers.products(i, j, masked)
        if masked:
            same = _same(rows, i, j)
            if not rows.unit:
                # Divided before the sum, which would overflow where the mean does not.
                near = torch.where(same, t / rows.sizes[i, None].clamp(min=1), 0)
                mean[i] += near.sum(1)
                if i != j:
                    mean[j] += near.sum(0)
            if not _is_number(k1, 0):
                low.add(torch.where(same, -s, -math.inf), i, j)
            if not _is_number(k2, 1):
                positives.add(torch.where(same, t, -math.inf), i, j)
                t.masked_fill_(same, -math.inf)
        negatives.add(t, i, j)
    if rows.unit:
        near = rows.sums_over_positives(rows.z).mul_(rows.z).sum(1)
        mean = near / rows.sizes.clamp(min=1) / T
    logs = [negatives.log(), low.log()]
    weighted = [logs[0] + _log(k2, mean), logs[1] + _log(k1, mean), positives.log()]
    total = torch.stack(weighted).logsumexp(0)
    losses = torch.where(rows.sizes > 0, total - mean, 0)
    return losses, torch.stack([total, *logs], 1), buffers.kept()


def gradients(
    upstream: Tensor, sums: Tensor, kept: Tensor, rows: Rows, scalars: Scalars
) -> tuple[Tensor, Tensor]:
    """Return the gradients in z (N, D) and in T, k1 and k2 (3,), given those in l_i.

    A pair's weight is what both its rows give it, G_ij + G_ji of GRD-3. What is returned for a
    scalar that is a number means nothing.
    """
    T, k1, k2 = scalars
    anchors = rows.sizes > 0
    w = torch.where(anchors, upstream, 0)
    unit = w.abs().amax()  # taken out: a small weight times a small exponential would vanish
    unit = torch.where((unit > 0) & unit.isfinite(), unit, 1)
    w = w / unit
    total = torch.where(anchors, sums[:, 0], math.inf)
    pull = w / T / rows.sizes.clamp(min=1)
    positives = _PairWeights(rows, w / T, total)
    negatives = _PairWeights(rows, w / T, total - _log(k2, w))
    low = _PairWeights(rows, w, total - _log(k1, w))
    dz, dT = torch.zeros_like(rows.z), w.new_zeros(())
    buffers = _Buffers(rows, T, kept)
    for i, j, masked in rows.tiles:
        s, t = buffers.products(i, j, masked)
        if masked:
            same = _same(rows, i, j)
        if masked and not _is_number(k2, 1):
            weights = torch.where(same, positives.of(t.clone(), i, j), negatives.of(t, i, j))
        else:
            weights = negatives.of(t, i, j)
        if masked and not rows.unit:
            weights -= torch.where(same, pull[i, None] + pull[j], 0)
        if isinstance(T, Tensor):
            dT -= weights.flatten().dot(s.flatten()) / (2 if i == j else 1)
        if masked and not _is_number(k1, 0):
            weights -= low.of(-s, i, j).masked_fill_(~same, 0)
        dz[i].addmm_(weights, rows.z[j])
        if i != j:
            dz[j].addmm_(weights.T, rows.z[i])
    if rows.unit:
        near = rows.sums_over_positives(rows.z)
        dT += pull.dot(torch.linalg.vecdot(near, rows.z))
        dz -= near.mul_(pull[:, None])
        dz -= rows.sums_over_positives(pull[:, None] * rows.z)
    shares = torch.where(anchors[:, None], (sums[:, 1:] - total[:, None]).exp(), 0)
    dk2, dk1 = (w[:, None] * shares).sum(0)  # autocast would halve the precision of a product
    return dz.mul_(unit), unit * torch.stack([(dT / T).to(w.dtype), dk1, dk2])


def _tiles(N: int, block: int, ends: Tensor | None) -> Iterator[Tile]:
    """Yield rows, columns, and whether a mask has to tell the positives, which end at `ends`."""
    stops = [min(start + block, N) for start in range(0, N, block)]
    if ends is None or len(stops) == 1:
        reached = stops
    else:  # read on the host only: a device would have to be waited for
        reached = ends[[stop - 1 for stop in stops]].tolist() if ends.is_cpu else [N] * len(stops)
    for start, stop, reach in zip(range(0, N, block), stops, reached, strict=True):
        rows = slice(start, stop)
        yield rows, rows, ends is not None
        for first in range(stop, reach, block):
            yield rows, slice(first, min(first + block, reach)), True
        for first in range(reach, N, block):
            yield rows, slice(first, min(first + block, N)), False


def _fits(z: Tensor, scalars: Scalars, normalize: bool) -> bool:
    """Return whether exp(s/T) and exp(-s), their sums and inverses fit the dtype as they are.

    Values are read on the host only; where a device would have to be waited for, the answer is no.
    """
    if not all(isinstance(value, float) or value.is_cpu for value in scalars):
        return False
    if not (normalize or z.is_cpu):
        return False
    largest = 1.0 if normalize else float(z.square().sum(1).amax())  # no |s| is above it
    limit = 0.46 * math.log(torch.finfo(z.dtype).max)  # 40 in float32: T = 0.025 fits
    T, *factors = (float(value) for value in scalars)
    return largest <= limit * min(1, T) and all(k == 0 or 1e-8 < k < 1e8 for k in factors)


def _is_number(value: Scalar, number: float) -> bool:
    return isinstance(value, float) and value == number


def _log(k: Scalar, like: Tensor) -> Scalar:
    """Return log k, taken in k's own precision: the dtype of the rows may not hold k."""
    if isinstance(k, Tensor):
        return k.log().to(like.dtype)
    return math.log(k) if k > 0 else -math.inf


def _same(rows: Rows, i: slice, j: slice) -> Tensor:
    """Return which pairs of a tile are positive."""
    same = rows.starts[i, None] == rows.starts[j]
    return same.fill_diagonal_(False) if i == j else same


class _Buffers:
    """The memory of two tiles, used again for every pair of blocks."""

    def __init__(self, rows: Rows, T: Scalar, kept: Tensor | None = None) -> None:
        self._z, self._T = rows.z, T
        sizes = [(i.stop - i.start) * (j.stop - j.start) for i, j, _ in rows.tiles]
        self._is_single = len(sizes) == 1
        self._needs_s = self._is_single or rows.shifted
        self._kept = kept if self._is_single else None
        self._first = rows.z.new_empty(max(sizes) if self._kept is None else 0)
        self._second = rows.z.new_empty(max(sizes))

    def products(self, i: slice, j: slice, masked: bool) -> tuple[Tensor, Tensor]:
        """Return s and s/T of a tile; of an anchor with itself 0, which may overflow, and -inf.

        Without a mask, s is there only where T is a tensor.
        """
        shape = (i.stop - i.start, j.stop - j.start)
        t = self._second[: shape[0] * shape[1]].view(shape)
        if isinstance(self._T, float) and not (self._needs_s or masked):
            torch.addmm(t, self._z[i], self._z[j].T, beta=0, alpha=1 / self._T, out=t)
            s = t
        else:
            s = self._similarities(i, j, shape)
            torch.div(s, self._T, out=t)
        return s, t.fill_diagonal_(-math.inf) if i == j else t

    def _similarities(self, i: slice, j: slice, shape: tuple[int, int]) -> Tensor:
        if self._kept is not None:
            return self._kept
        s = self._first[: shape[0] * shape[1]].view(shape)
        torch.mm(self._z[i], self._z[j].T, out=s)
        return s.fill_diagonal_(0) if i == j else s

    def kept(self) -> Tensor:
        """Return s where it is a single tile, (N, N), else (0, 0)."""
        N = len(self._z) if self._is_single else 0
        return self._first[: N * N].view(N, N)


class _LogSums:
    """log sum_j e^x_ij of every row i, whose x arrive tile by tile."""

    def __init__(self, rows: Rows) -> None:
        self._total = torch.zeros_like(rows.z[:, 0])
        self._maximum = torch.full_like(self._total, -math.inf) if rows.shifted else None

    def add(self, x: Tensor, i: slice, j: slice) -> None:
        """Add a tile to the sums of its rows and to those of its columns; `x` is overwritten."""
        if self._maximum is not None:
            self._add_shifted(self._maximum[i], x, 1, i)
            if i != j:
                self._add_shifted(self._maximum[j], x, 0, j)
            return
        e = x.exp_()
        self._total[i] += e.sum(1)
        if i != j:
            self._total[j] += e.sum(0)

    def _add_shifted(self, maximum: Tensor, x: Tensor, dim: int, part: slice) -> None:
        old = maximum.clone()
        torch.maximum(old, x.amax(dim), out=maximum)
        shift = maximum.masked_fill(maximum == -math.inf, 0)  # no term yet
        terms = (x - shift.unsqueeze(dim)).exp_().sum(dim)
        self._total[part] *= (old - shift).exp_()
        self._total[part] += terms

    def log(self) -> Tensor:
        """Return the logarithms, (N,); -inf for a sum without terms."""
        return self._total.log() if self._maximum is None else self._total.log() + self._maximum


class _PairWeights:
    """w_i e^(x_ij - c_i) + w_j e^(x_ij - c_j), tile by tile."""

    def __init__(self, rows: Rows, w: Tensor, c: Tensor) -> None:
        self._w, self._c = w, c
        self._a = None if rows.shifted else w * (-c).exp_()

    def of(self, x: Tensor, i: slice, j: slice) -> Tensor:
        """Return the weights of a tile, in the memory of `x`."""
        if self._a is not None:
            return x.exp_().mul_(self._a[i, None] + self._a[j])
        ours = (x - self._c[i, None]).exp_().mul_(self._w[i, None])
        return x.sub_(self._c[j]).exp_().mul_(self._w[j]).add_(ours)
