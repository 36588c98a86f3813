"""The rows and their pairs, cut into tiles whose products are made one after the other.

Rows are sorted by label, so that only tiles near the diagonal have positives; s_ij = s_ji, so that
a tile (i, j) of two blocks of rows, i <= j, serves the rows of both. What is read tile by tile is
cut into its blocks once: to take a slice takes some microseconds, of which there are many.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from tuned_contrastive.backends.torch import dense

LARGEST_EXPONENT = {torch.float32: 40.0, torch.float64: 320.0}
"""Up to this size, sums of exp(s/T) and what they are divided by stay in range as they are."""

Scalar = Tensor | float
Scalars = tuple[Scalar, Scalar, Scalar]  # T, k1, k2

KEPT_BYTES = 30 * 2**20
"""Of each of the two pieces that keep the first tiles, which the gradient finds as they were left.

What is smaller than 32 MiB the C library of Linux gives out again without clearing it.
"""

ALIGNED = 16
"""Blocks of many rows have a multiple of it, but the last: products are up to a tenth faster."""

SMALL = 128
"""Rows of a class up to which the k1 term of its pairs is multiplied out apart from the tiles.

A larger one is masked in them, which is no slower from some 130 rows on (of 1024 and of 4096).
"""

NUMBERS = 2**18
"""Of the pairs, and of the rows, of small classes at a time: as many as a tile has."""

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


class Near(NamedTuple):
    """What of a tile may be positive: of its last rows, with its first columns."""

    rows: slice
    columns: slice
    shape: tuple[int, int]
    """The number of rows and of columns."""
    whole: bool
    """Whether it is all of the tile: a slice takes some microseconds."""

    def of(self, pairs: Tensor) -> Tensor:
        """Return this part of the tile's pairs, a view."""
        return pairs if self.whole else pairs[self.rows, self.columns]

    def of_rows(self, values: Tensor) -> Tensor:
        """Return this part of what belongs to the tile's rows."""
        return values if self.whole else values[self.rows]

    def of_columns(self, values: Tensor) -> Tensor:
        """Return this part of what belongs to its columns."""
        return values if self.whole else values[self.columns]


WHOLE = Near(slice(None), slice(None), (0, 0), True)
"""All of any tile; it has no shape of its own."""


class Tile(NamedTuple):
    """The pairs of two blocks of the rows."""

    i: int
    """The block of its rows, by number."""
    j: int
    """That of its columns."""
    shape: tuple[int, int]
    """The number of rows and of columns."""
    near: Near | None
    """Where a mask has to tell the positives; None where none has to."""

    @property
    def diagonal(self) -> bool:
        """Whether the columns are the rows."""
        return self.i == self.j

    @property
    def size(self) -> int:
        """The number of pairs."""
        return self.shape[0] * self.shape[1]


class Groups(NamedTuple):
    """Rows in groups, each with a number of its own."""

    names: Tensor
    """The number of each row's group, (N,): from 1 on where they are counted, else with gaps."""
    number: int
    """That none of them reaches."""

    @classmethod
    def of(cls, firsts: Tensor) -> "Groups":
        """Return the groups of rows (N,) that have the same of the numbers from 0 to N.

        They are counted where that makes nobody wait: sums of few groups stay in the cache.
        """
        if not firsts.is_cpu:
            return cls(firsts, len(firsts))
        numbers = (firsts.bincount() > 0).cumsum(0)
        return cls(numbers.index_select(0, firsts), int(numbers[-1]) + 1)

    def within(self, other: "Groups") -> "Groups":
        """Return the groups of `other`, each of which is within one of these, as its rows."""
        # A number without a group has its own place: zeros that met in one would wait there.
        names = torch.arange(other.number, device=self.names.device)
        return Groups(names.scatter_(0, other.names, self.names), self.number)

    def added(self, values: Tensor) -> Tensor:
        """Return the sums of the values (N, D) of each group, (number, D)."""
        sums = values.new_zeros((self.number, values.shape[1]))
        if values.is_cpu:
            return sums.index_add_(0, self.names, values)
        # There index_add_ adds in any order (NUM-13).
        return sums.index_put_((self.names,), values, accumulate=True)


class Members(NamedTuple):
    """The rows of each class beside one another, for what positives alone have, without tiles."""

    tables: list[tuple[Tensor, Tensor, Tensor]]
    """Of classes of about one size, (C, m) each: their rows, where one has fewer those of others,
    whose results are dropped; 1 for its own, 0 for others'; the place of a result, N for others'.
    """

    @classmethod
    def of(cls, starts: Tensor, order: Tensor | None) -> "Members | None":
        """Return them, or None if a class is not small, or a device would have to be waited for.

        `order` is None if the rows are sorted.
        """
        if not starts.is_cpu:
            return None
        sizes = starts.bincount(minlength=len(starts))  # of the class that begins at each place
        largest = int(sizes.amax())
        if largest > SMALL:
            return None
        tables = []
        while largest > 1:
            # Not beside one much smaller, whose products would be multiples of what it needs.
            smaller = max(largest // 2, 1)
            firsts = ((sizes > smaller) & (sizes <= largest)).nonzero()
            ranks = torch.arange(largest, device=sizes.device)
            there, places = ranks < sizes[firsts], (firsts + ranks).clamp_(max=len(sizes) - 1)
            rows = places if order is None else order[places]
            targets = rows.masked_fill(~there, len(sizes))
            tables.append((rows, there, targets))
            largest = int((sizes * (sizes <= smaller)).amax())
        return cls(tables)

    def sums(self, z: Tensor) -> Tensor:
        """Return sum_P(i) e^-s_ij of the rows (N, D), (N,)."""
        found = z.new_zeros(len(z) + 1)
        for terms, _, _, targets in self._terms(z):
            found.index_copy_(0, targets, terms.sum(2).view(-1))
        return found[:-1]

    def products(self, z: Tensor, w: Tensor) -> Tensor:
        """Return sum_P(i) (w_i + w_j) e^-s_ij z_j, (N, D)."""
        found = z.new_zeros((len(z) + 1, z.shape[1]))
        for terms, rows, theirs, targets in self._terms(z):
            weights = w.index_select(0, rows).view(terms.shape[:2])
            terms.mul_(weights[:, :, None] + weights[:, None])
            products = torch.bmm(terms, theirs, out=torch.empty_like(theirs))
            found.index_copy_(0, targets, products.flatten(0, 1))
        return found[:-1]

    def _terms(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Give of some classes at a time e^-s_ij, (c, m, m), 0 but for positives.

        And their rows, (c m,), these rows of `z`, (c, m, D), and the places of results, (c m,).
        """
        for table in self.tables:
            size = table[0].shape[1]
            step = max(1, NUMBERS // (size * max(size, z.shape[1])))
            for first in range(0, len(table[0]), step):
                rows, there, targets = (each[first : first + step] for each in table)
                theirs = z.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
                terms = z.new_empty((*rows.shape, size))
                # No product of `@` or without `out`: autocast would halve its precision.
                torch.bmm(theirs, theirs.mT, out=terms).neg_().exp_().mul_(there[:, None])
                terms.diagonal(dim1=1, dim2=2).fill_(0)
                yield terms, rows.reshape(-1), theirs, targets.reshape(-1)


@dataclass(frozen=True)
class Rows:
    """The rows, in the order of their labels where a tile needs that, and their pairs by tiles."""

    z: Tensor  # (N, D)
    blocks: tuple[Tensor, ...]  # the same, cut
    order: Tensor | None
    starts: tuple[Tensor, ...]  # as in `Order`, but numbers that are quick to compare, cut
    given: Order  # of the rows as they came
    members: Members | None  # of small classes, which the k1 term is taken from; None: from tiles
    shares: Tensor  # (N,)
    alone: Tensor  # whether P(i) is empty, (N,)
    edges: list[int]
    """The first row of each block, and the number of rows."""
    sizes: list[int]
    """The number of rows of each block."""
    spans: list[tuple[int, int]] | None
    """From where to where each block's last row may have positives; None if no mask is needed."""
    unit: bool
    raw: bool
    """Whether masked tiles need s itself, or change its exponentials, which are kept then."""
    shifted: bool
    """Whether a maximum is taken off before exponentials are."""

    @property
    def tiles(self) -> Iterator[Tile]:
        """The tiles, one after the other: their number grows as N^2."""
        for i, rows in enumerate(self.sizes):
            for j in range(i, len(self.sizes)):
                yield Tile(i, j, (rows, self.sizes[j]), self._near(i, j))

    def _near(self, i: int, j: int) -> Near | None:
        if self.spans is None:
            return None
        (begin, end), shape = self.spans[i], (self.sizes[i], self.sizes[j])
        if i != j and end <= self.edges[j]:
            return None
        first = 0 if i == j else max(begin - self.edges[i], 0)
        last = shape[1] if i == j else min(end - self.edges[j], shape[1])
        part = shape[0] - first, last
        return Near(slice(first, None), slice(last), part, part == shape)

    @property
    def side(self) -> int:
        """The most rows or columns of a tile."""
        return max(self.sizes)

    def cut(self, values: Tensor) -> tuple[Tensor, ...]:
        """Return the blocks of values of these rows, along the first axis; views."""
        return values.split_with_sizes(self.sizes)

    def terms(self, x: Tensor) -> Tensor:
        """Return e^x, in the memory of x, or x itself where a maximum has to be taken off first."""
        return x if self.shifted else x.exp_()

    def arrange(self, values: Tensor) -> Tensor:
        """Return values of the rows as they came in, along the first axis, in this order."""
        return values if self.order is None else values.index_select(0, self.order)

    def restore(self, values: Tensor) -> Tensor:
        """Return values of these rows, along the first axis, in the order they came in."""
        if self.order is None:
            return values
        return values.new_empty(values.shape).index_copy_(0, self.order, values)

    def mask(self, tile: Tile, near: Near, out: Tensor) -> Tensor:
        """Return 1 for each positive pair of `near`, 0 for the others, in the memory of `out`."""
        rows, columns = near.of_rows(self.starts[tile.i]), near.of_columns(self.starts[tile.j])
        torch.eq(rows[:, None], columns, out=out)
        return out.fill_diagonal_(0) if tile.diagonal else out

    def only(self, x: Tensor, mask: Tensor, nothing: float) -> Tensor:
        """Return what a mask leaves of a tile, in the memory of x: exponents, `nothing` elsewhere.

        Not shifted it is terms, 0 elsewhere. They are finite if the rows are, and to multiply takes
        a fifth of the time of a choice.
        """
        return x.masked_fill_(mask == 0, nothing) if self.shifted else x.mul_(mask)

    def sums_over_positives(self, values: Tensor) -> Tensor:
        """Return sum_P(i) of values (N, D): of those of one size, else leaving i out cancels."""
        classes, parts = self.classes
        sums = classes.within(parts).added(parts.added(values)) if parts else classes.added(values)
        return sums.index_select(0, classes.names).sub_(values)

    @cached_property
    def classes(self) -> tuple[Groups, Groups | None]:
        """The classes, and parts of each, which are added up apart; None where all are small."""
        starts = self.arrange(self.given.starts)
        parts = _parts(self.given, self.order is not None) if _is_large(starts) else None
        return Groups.of(starts), parts


class Products:
    """The products of tiles, each asked for once, in the order of `Rows.tiles`.

    The first have memory of their own in `kept`, which holds them already if `filled`; the others
    share one.
    """

    def __init__(self, rows: Rows, T: Scalar, kept: Sequence[Tensor], filled: bool) -> None:
        self._rows, self._T, self._filled = rows, T, filled
        self._kept = list(kept)  # what of it no tile has
        self._columns = [block.T for block in rows.blocks]
        self._memory: dict[int, Tensor] = {}
        self._scratch: dict[int, Tensor] = {}

    def scratch(self, which: int, shape: tuple[int, int]) -> Tensor:
        """Return memory that the next tile overwrites."""
        found = self._scratch.get(which)
        if found is None or found.shape != shape:
            if which not in self._memory:
                self._memory[which] = self._rows.z.new_empty(self._rows.side**2)
            found = self._scratch[which] = _shaped(self._memory[which], shape)
        return found

    def of(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """Return s, and the terms of s/T; of an anchor with itself 0, which may overflow, and none.

        Where no mask or maximum needs s, the terms stand in its place.
        """
        own = self._own(tile)
        is_known = own is not None and self._filled
        own = self.scratch(0, tile.shape) if own is None else own
        if not ((tile.near and self._rows.raw) or self._rows.shifted):
            return own, own if is_known else self._rows.terms(self._exponents(tile, own))
        s = own if is_known else self._similarities(tile, own)
        t = torch.div(s, self._T, out=self.scratch(1, tile.shape))
        return s, self._rows.terms(t.fill_diagonal_(-math.inf) if tile.diagonal else t)

    def _own(self, tile: Tile) -> Tensor | None:
        """Return memory that no other tile has, if a piece has so much left, else None."""
        while self._kept and len(self._kept[0]) < tile.size:
            self._kept.pop(0)
        if not self._kept:
            return None
        own, self._kept[0] = self._kept[0][: tile.size], self._kept[0][tile.size :]
        return own.view(tile.shape)

    @cached_property
    def _scaled(self) -> tuple[Tensor, ...]:
        """The rows over T: N D divisions, not N^2. As a factor of the products 1/T takes longer."""
        return self._rows.cut(self._rows.z / self._T)

    def _exponents(self, tile: Tile, out: Tensor) -> Tensor:
        torch.mm(self._scaled[tile.i], self._columns[tile.j], out=out)
        return out.fill_diagonal_(-math.inf) if tile.diagonal else out

    def _similarities(self, tile: Tile, out: Tensor) -> Tensor:
        torch.mm(self._rows.blocks[tile.i], self._columns[tile.j], out=out)
        return out.fill_diagonal_(0) if tile.diagonal else out


def sort_rows(labels: Tensor, dtype: torch.dtype) -> Order:
    """Sort by class, once; equal labels keep their order."""
    ordered, order = labels.sort(stable=True)
    labels = labels.contiguous()
    starts = torch.searchsorted(ordered, labels)
    sizes = torch.searchsorted(ordered, labels, right=True).sub_(starts).sub_(1)
    return Order(order, starts, sizes.to(dtype).reciprocal_().masked_fill_(sizes == 0, 0))


def cut_rows(z: Tensor, order: Order, scalars: Scalars, normalize: bool, block: int) -> Rows:
    """Cut the pairs into tiles of about `block` rows and columns, masked ones near the diagonal.

    Under SupCon rows of norm 1 or 0 need no masks, and so no order. But sums of classes taken off
    in the end cancel where rows of a class are near one another: there the gradient has 1e-3 of its
    norm as an error, masked it has 1e-5. So a device only, on which all tiles would be, does that.
    """
    places, starts, shares = order
    low, split = not is_number(scalars[1], 0), not is_number(scalars[2], 1)
    masked = starts.is_cpu or low or split or not normalize
    is_sorted = masked and len(z) > block
    if is_sorted:
        z, starts, shares = (each.index_select(0, places) for each in (z, starts, shares))
    edges, spans = _cut(len(z), block, starts if masked else None)
    sizes = [last - first for first, last in pairwise(edges)]
    shifted, members = not _fits(z, scalars, normalize), None
    if normalize and low and not (split or shifted):
        members = Members.of(starts, None if is_sorted else places)
    return Rows(
        z=z,
        blocks=z.split_with_sizes(sizes),
        order=places if is_sorted else None,
        starts=_comparable(starts, z.dtype).split_with_sizes(sizes),
        given=order,
        members=members,
        shares=shares,
        alone=shares == 0,
        edges=edges,
        sizes=sizes,
        spans=spans,
        unit=normalize,
        raw=split or not normalize or (low and members is None),
        shifted=shifted,
    )


def kept_sizes(N: int, block: int, dtype: torch.dtype) -> tuple[int, int]:
    """Return for how many pairs `Products` has memory: all, or the first; none if no tile fits.

    No block is larger than `block` and what aligns an edge.
    """
    most = KEPT_BYTES // dtype.itemsize
    side = -(-N // -(-N // block))
    pairs = 0 if side**2 > most else N * (N + min(N, block + ALIGNED)) // 2
    # A tile is in one piece: what is left at the end of the first is lost.
    rest = pairs - most + (side + ALIGNED) ** 2 if pairs > most else 0
    return min(pairs, most), min(rest, most)


def is_number(value: Scalar, number: float) -> bool:
    """Return whether a scalar is this number, and not a tensor."""
    return isinstance(value, float) and value == number


def _is_large(starts: Tensor) -> bool:
    """Return whether a class may have more than `PART` rows."""
    if len(starts) <= PART or not starts.is_cpu:  # a device would have to be waited for
        return len(starts) > PART
    return int(starts.bincount().amax()) > PART


def _parts(order: Order, is_sorted: bool) -> Groups:
    """Return the parts of each class, of the rows as they came in or sorted."""
    starts, places = order.starts, torch.arange(len(order.order), device=order.order.device)
    if is_sorted:
        starts = starts.index_select(0, order.order)
    else:
        places = torch.empty_like(places).index_copy_(0, order.order, places)
    return Groups.of(torch.maximum(starts, places // PART * PART))


def _comparable(starts: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the same numbers in a dtype that is quick to compare, if it tells them apart."""
    return starts.to(dtype) if len(starts) < 1 / torch.finfo(dtype).eps else starts


def _cut(
    N: int, block: int, starts: Tensor | None
) -> tuple[list[int], list[tuple[int, int]] | None]:
    """Return `Rows.edges`, and `Rows.spans` where masks are needed, for which `starts` is given."""
    number = -(-N // block)
    step = ALIGNED if block >= 8 * ALIGNED else 1
    edges = [*(N * place // number // step * step for place in range(number)), N]
    if starts is None:
        return edges, None
    if number == 1 or not starts.is_cpu:  # one is in no order; a device would have to be waited for
        return edges, [(0, N)] * number
    begins = starts[[edge - 1 for edge in edges[1:]]]
    ends = torch.searchsorted(starts, begins, right=True)
    return edges, list(zip(begins.tolist(), ends.tolist(), strict=True))


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


def _shaped(memory: Tensor, shape: tuple[int, int]) -> Tensor:
    return memory[: math.prod(shape)].view(shape)
