"""The rows and their pairs, cut into tiles whose products are made one after the other.

Rows are sorted by label, so that only tiles near the diagonal have positives; s_ij = s_ji, so that
a tile (i, j) of two blocks of rows, i <= j, serves the rows of both. What is read tile by tile is
cut into its blocks once: to take a slice takes some microseconds, of which there are many. What
positives alone have is summed over a `Band` of smaller blocks.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from tuned_contrastive.backends.torch import dense

LARGEST_EXPONENT = {torch.float32: 40.0, torch.float64: 320.0}
"""Up to this size, sums of exp(s/T) and what they are divided by stay in range as they are."""

Scalar = Tensor | float
Scalars = tuple[Scalar, Scalar, Scalar]  # T, k1, k2

KEPT_BYTES = 30 * 2**20
"""Of the first tiles, which the gradient finds as the value left them.

What is smaller than 32 MiB the C library of Linux gives out again without clearing it.
"""

SIDE = 32
"""Rows of a block of a `Band`; a quarter of the largest class where that is more.

Of 100 classes 1024 rows take 0.79 to 0.85 of what they take with masks in the tiles, as with 64
rows 0.90 to 0.95, 4096 rows 0.93 and 0.94; of 10 classes as long, of 2 a quarter to a third longer.
"""

PART = 512
"""Rows that are added up one after the other: more would round alike, and the errors add up."""


class Order(NamedTuple):
    """What the labels say of each row, in the order they came in, (N,) each."""

    order: Tensor
    """The row at each place when they are sorted by label."""
    starts: Tensor
    """The first of these places that the row's class has; it also names the class."""
    shares: Tensor
    """1/|P(i)|, 0 where P(i) is empty; of the dtype of the rows."""


class Cut(Protocol):
    """The blocks of what belongs to the rows, by what a tile says of them."""

    def __getitem__(self, block: Any, /) -> Tensor:
        """Return a block; of a band some, stacked."""


class Tile(NamedTuple):
    """The pairs of two blocks of the rows."""

    before: int
    """How many pairs the tiles before it have."""
    i: int
    """The block of its rows, by number."""
    j: int
    """That of its columns."""
    shape: tuple[int, int]
    """The number of rows and of columns."""
    masked: bool
    """Whether a mask has to tell the positives."""

    @property
    def diagonal(self) -> bool:
        """Whether the columns are the rows."""
        return self.i == self.j

    @property
    def size(self) -> int:
        """The number of pairs."""
        return self.shape[0] * self.shape[1]


class Pairs(NamedTuple):
    """The pairs of some blocks of a band, each with the one that is so many blocks later."""

    i: slice
    """The blocks of the rows."""
    j: slice
    """Those of the columns."""

    @property
    def diagonal(self) -> bool:
        """Whether the columns are the rows."""
        return self.i == self.j


@dataclass(frozen=True)
class Rows:
    """The rows, in the order of their labels where that is needed, and their pairs by tiles."""

    z: Tensor  # (N, D)
    blocks: tuple[Tensor, ...]  # the same, cut
    order: Tensor | None
    starts: Tensor  # (N,), as in `Order`
    classes: tuple[Tensor, ...]  # the same as numbers that are quick to compare, cut
    parts: Tensor | None  # the first place of each row's class and part, (N,); None for one part
    heads: Tensor | None  # the first place of the class of each place, (N,)
    shares: Tensor  # (N,)
    alone: Tensor  # whether P(i) is empty, (N,)
    sizes: list[int]
    """The number of rows of each block."""
    reached: list[int]
    """For each block, the number of the first after it that shares no class with it."""
    masked: bool
    """Whether positives are told from negatives."""
    unit: bool
    shifted: bool
    """Whether a maximum is taken off before exponentials are."""

    @property
    def tiles(self) -> Iterator[Tile]:
        """The tiles, one after the other: their number grows as N^2."""
        before = 0
        for i, reach in enumerate(self.reached):
            for j in range(i, len(self.sizes)):
                shape = self.sizes[i], self.sizes[j]
                yield (tile := Tile(before, i, j, shape, self.masked and j < reach))
                before += tile.size

    @property
    def side(self) -> int:
        """The most rows or columns of a tile."""
        return max(self.sizes)

    @cached_property
    def band(self) -> "Band":
        """The pairs that may be positives."""
        return Band(self)

    def cut(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return the blocks of values of these rows, along the first axis; views."""
        return values.split_with_sizes(self.sizes)

    def arrange(self, values: Tensor) -> Tensor:
        """Return values of the rows as they came in, along the first axis, in this order."""
        return values if self.order is None else values.index_select(0, self.order)

    def restore(self, values: Tensor) -> Tensor:
        """Return values of these rows, along the first axis, in the order they came in."""
        if self.order is None:
            return values
        return values.new_empty(values.shape).index_copy_(0, self.order, values)

    def mask(self, tile: Tile, out: Tensor) -> Tensor:
        """Return 1 for each pair of a tile that is of one class, else 0, in the memory of `out`."""
        return torch.eq(self.classes[tile.i][:, None], self.classes[tile.j], out=out)

    def sums_over_positives(self, values: Tensor) -> Tensor:
        """Return sum_P(i) of values (N, D): of those of one size, else leaving i out cancels."""
        if self.parts is None or self.heads is None:
            sums = _added(values, self.starts)
        else:
            sums = _added(_added(values, self.parts), self.heads)
        return sums.index_select(0, self.starts).sub_(values)


class Band:
    """Rows in smaller blocks, the last one filled up, and the pairs that may be positives.

    Each block with itself, with the next, and so on as far as a class goes; as many at a time as a
    tile has pairs.
    """

    def __init__(self, rows: Rows) -> None:
        self.shifted, self._count = rows.shifted, len(rows.z)
        self._side = min(rows.side, max(SIDE, _largest(rows.starts) // 4))
        self._number = -(-self._count // self._side)
        self._most = min(self._number, rows.side**2 // self._side**2)
        self._reach = self._furthest(rows.starts)
        self.z = self.filled(rows.z, 0)
        self.blocks = self.cut(self.z)
        self._classes = self.cut(self.filled(_comparable(rows.starts, rows.z.dtype), -1))
        self._scratch: dict[int, Tensor] = {}

    @property
    def tiles(self) -> Iterator[Pairs]:
        """The pairs, some at a time."""
        for later in range(self._reach):
            for first in range(0, self._number - later, self._most):
                last = min(first + self._most, self._number - later)
                yield Pairs(slice(first, last), slice(first + later, last + later))

    def filled(self, values: Tensor, nothing: float) -> Tensor:
        """Return values of the rows, along the first axis, filled up."""
        after = self._number * self._side - self._count
        filling = values.new_full((after, *values.shape[1:]), nothing)
        return torch.cat([values, filling]) if after else values

    def unfilled(self, values: Tensor) -> Tensor:
        """Return the inverse of `filled`."""
        return values[: self._count]

    def cut(self, values: Tensor) -> Tensor:
        """Return the blocks of values that are filled up; a view."""
        return values.view(self._number, self._side, *values.shape[1:])

    def scratch(self, which: int, pairs: Pairs) -> Tensor:
        """Return memory that the next pairs overwrite."""
        if which not in self._scratch:
            self._scratch[which] = self.z.new_empty(self._most, self._side, self._side)
        return self._scratch[which][: pairs.i.stop - pairs.i.start]

    def products(self, pairs: Pairs) -> Tensor:
        """Return s."""
        rows, columns = self.blocks[pairs.i], self.blocks[pairs.j].mT
        return torch.bmm(rows, columns, out=self.scratch(0, pairs))

    def mask(self, pairs: Pairs) -> Tensor:
        """Return 1 for each positive pair, 0 for the others."""
        rows, columns = self._classes[pairs.i].unsqueeze(2), self._classes[pairs.j].unsqueeze(1)
        out = torch.eq(rows, columns, out=self.scratch(1, pairs))
        if pairs.diagonal:
            out.diagonal(dim1=1, dim2=2).zero_()
        return out

    def _furthest(self, starts: Tensor) -> int:
        """Return how many blocks later the first is that shares no class, whatever the block."""
        if not starts.is_cpu:  # a device would have to be waited for
            return self._number
        lasts = starts[self._side - 1 :: self._side].contiguous()
        ends = torch.searchsorted(starts, lasts, right=True).sub_(1)
        later = ends // self._side - torch.arange(len(lasts))
        return 1 + max(later.tolist(), default=0)


class Products:
    """The products of tiles: the first of them in memory of their own, the others in shared one."""

    def __init__(self, rows: Rows, T: Scalar, kept: Tensor, filled: bool) -> None:
        self._rows, self._T, self._kept, self._filled = rows, T, kept, filled
        self._columns = [block.T for block in rows.blocks]
        self._memory: dict[int, Tensor] = {}
        self._scratch: dict[int, Tensor] = {}

    def scratch(self, which: int, tile: Tile) -> Tensor:
        """Return memory that the next tile overwrites."""
        found = self._scratch.get(which)
        if found is None or found.shape != tile.shape:
            if which not in self._memory:
                self._memory[which] = self._rows.z.new_empty(self._rows.side**2)
            found = self._scratch[which] = _shaped(self._memory[which], tile)
        return found

    def of(self, tile: Tile) -> Tensor:
        """Return the terms of s/T; of an anchor with itself, whose product may overflow, none."""
        is_kept = tile.before + tile.size <= len(self._kept)
        own = _shaped(self._kept[tile.before :], tile) if is_kept else self.scratch(0, tile)
        if is_kept and self._filled:
            return own
        torch.mm(self._divided[tile.i], self._columns[tile.j], out=own)
        if self._rows.shifted:
            own.div_(self._T)
        if tile.diagonal:
            own.fill_diagonal_(-math.inf)
        return terms(own, self._rows.shifted)

    @cached_property
    def _divided(self) -> tuple[Tensor, ...]:
        """The rows over T if in range: N D divisions, not N^2. To multiply by 1/T takes longer."""
        return self._rows.blocks if self._rows.shifted else self._rows.cut(self._rows.z / self._T)


def terms(x: Tensor, shifted: bool) -> Tensor:
    """Return e^x, in the memory of x, or x itself where a maximum has to be taken off first."""
    return x if shifted else x.exp_()


def only(x: Tensor, mask: Tensor, nothing: float, shifted: bool) -> Tensor:
    """Return what a mask leaves of `terms`, in their memory: exponents, `nothing` elsewhere.

    Not shifted they are terms, 0 elsewhere. They are finite if the rows are, and to multiply takes
    a fifth of the time of a choice.
    """
    return x.masked_fill_(mask == 0, nothing) if shifted else x.mul_(mask)


def sort_rows(labels: Tensor, dtype: torch.dtype) -> Order:
    """Sort by class, once; equal labels keep their order."""
    ordered, order = labels.sort(stable=True)
    labels = labels.contiguous()
    starts = torch.searchsorted(ordered, labels)
    sizes = torch.searchsorted(ordered, labels, right=True).sub_(starts).sub_(1)
    return Order(order, starts, sizes.to(dtype).reciprocal_().masked_fill_(sizes == 0, 0))


def cut_rows(z: Tensor, order: Order, scalars: Scalars, normalize: bool, block: int) -> Rows:
    """Cut the pairs into tiles of about `block` rows and columns, masked ones near the diagonal.

    Rows of norm 1 or 0 under SupCon need neither masks nor a band, and so no order.
    """
    places, starts, shares = order
    masked = not is_number(scalars[2], 1)
    banded = not (normalize and is_number(scalars[1], 0))
    is_sorted = (masked or banded) and len(z) > min(block, SIDE)
    in_parts = normalize and _largest(starts) > PART
    parts, heads = _parts(order, is_sorted) if in_parts else (None, None)
    if is_sorted:
        z, starts, shares = (each.index_select(0, places) for each in (z, starts, shares))
    sizes, reached = _cut(len(z), block, starts if masked else None)
    return Rows(
        z=z,
        blocks=z.split_with_sizes(sizes),
        order=places if is_sorted else None,
        starts=starts,
        classes=_comparable(starts, z.dtype).split_with_sizes(sizes),
        parts=parts,
        heads=heads,
        shares=shares,
        alone=shares == 0,
        sizes=sizes,
        reached=reached,
        masked=masked,
        unit=normalize,
        shifted=not _fits(z, scalars, normalize),
    )


def kept_size(N: int, block: int, dtype: torch.dtype) -> int:
    """Return for how many pairs `Products` has memory: all, or the first; none if no tile fits.

    Where an edge moves one block loses what the next gains: the tiles on the diagonal together stay
    below those of blocks that all have half of the most that one can gain.
    """
    most = KEPT_BYTES // dtype.itemsize
    side = -(-N // -(-N // block))
    return 0 if side**2 > most else min(N * (N + min(N, block + _slack(block))) // 2, most)


def is_number(value: Scalar, number: float) -> bool:
    """Return whether a scalar is this number, and not a tensor."""
    return isinstance(value, float) and value == number


def _largest(starts: Tensor) -> int:
    """Return how many rows the largest class has; of a device, which is not waited for, all."""
    return int(starts.bincount().amax()) if starts.is_cpu else len(starts)


def _parts(order: Order, is_sorted: bool) -> tuple[Tensor, Tensor]:
    """Return `Rows.parts` and `Rows.heads`, of the rows as they came in or sorted."""
    every = torch.arange(len(order.order), device=order.order.device)
    heads = order.starts[order.order]
    if is_sorted:
        return torch.maximum(heads, every // PART * PART), heads
    places = torch.empty_like(every).index_copy_(0, order.order, every)
    return torch.maximum(order.starts, places // PART * PART), heads


def _added(values: Tensor, places: Tensor) -> Tensor:
    """Return, (N, D), the sums of the values (N, D) that belong to the same place."""
    sums = values.new_zeros(values.shape)
    if values.is_cpu:
        return sums.index_add_(0, places, values)
    # There index_add_ adds in any order (NUM-13).
    return sums.index_put_((places,), values, accumulate=True)


def _slack(block: int) -> int:
    """Return how far an edge may be moved."""
    return block // 8


def _comparable(starts: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the same numbers in a dtype that is quick to compare, if it tells them apart."""
    return starts.to(dtype) if len(starts) < 1 / torch.finfo(dtype).eps else starts


def _cut(N: int, block: int, starts: Tensor | None) -> tuple[list[int], list[int]]:
    """Return the sizes of blocks, and for each the first block after it that shares no class.

    Blocks are of one size, but for the classes at an edge.

    Where masks are needed, for which `starts` is given, an edge moves to that of its class if it is
    near, so that the blocks beside it share none.
    """
    number = -(-N // block)
    edges = [N * place // number for place in range(number + 1)]
    reaches = edges[1:]  # in rows; those of the next block where no mask is needed
    if starts is not None and starts.is_cpu:
        begins = starts[edges[1:-1]]
        ends = torch.searchsorted(starts, begins, right=True)
        for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True), 1):
            edge = edges[place]
            near = begin if edge - begin < end - edge else end
            is_near = abs(near - edge) <= _slack(block)
            edges[place] = near if is_near else edge
            reaches[place - 1] = near if is_near else end
    elif starts is not None:  # a device would have to be waited for
        reaches = [N] * number
    sizes = [last - first for first, last in pairwise(edges)]
    return sizes, [bisect_left(edges, reach) for reach in reaches]


def _fits(z: Tensor, scalars: Scalars, normalize: bool) -> bool:
    """Return whether exp(s/T) and exp(-s), their sums and inverses fit the dtype as they are.

    Values are read on the host only; where a device would have to be waited for, the answer is no.
    """
    if not all(isinstance(value, float) or value.is_cpu for value in scalars):
        return False
    if not (normalize or z.is_cpu):
        return False
    largest = 1.0 if normalize else float(z.square().sum(1).amax())  # no |s| is above it
    T, k1, k2 = (float(value) for value in scalars)
    return dense.fits(LARGEST_EXPONENT[z.dtype], T, k1, k2, largest)


def _shaped(memory: Tensor, tile: Tile) -> Tensor:
    return memory[: tile.size].view(tile.shape)
