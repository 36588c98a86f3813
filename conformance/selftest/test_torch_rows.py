"""The rows of the PyTorch backend as they are cut: tiles, small classes, memory."""

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tuned_contrastive.backends.torch import blockwise, tcl_loss, tiles
from tuned_contrastive.backends.torch import rows as cutting
from tuned_contrastive.backends.torch.rows import (
    SMALL,
    Groups,
    Members,
    Products,
    Rows,
    Scalars,
    _comparable,
    cut_rows,
    kept_sizes,
    sort_rows,
)
from tuned_contrastive.conformance.selftest.torch_samples import N, labels, relative, rows
from tuned_contrastive.reference import tcl_gradients


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the most elements of any tensor that an operation gave."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (tuple, list)) else [found]:
            self.elements = max(self.elements, value.numel() if isinstance(value, Tensor) else 0)
        return found


@pytest.mark.parametrize("k2", [1.0, 0.5])
@pytest.mark.parametrize("classes", [1, 7, 37, 4000])
@pytest.mark.parametrize("temperature", [0.1, 0.001])
def test_no_tensor_grows_with_the_pairs(classes: int, temperature: float, k2: float) -> None:
    z, y = torch.nn.functional.normalize(rows(4000).float()), labels(classes, 4000)
    block, scalars = blockwise.BLOCK_SIZE["cpu"], (temperature, 5000.0, k2)
    with Largest() as largest:  # type: ignore[no-untyped-call]
        # Under a mode the loss itself is an operator, into which it does not look.
        found = arranged(z, y, scalars, block)
        losses, sums = tiles.losses(found, scalars, ())
        tiles.gradients(losses, sums, (), found, scalars)
    assert (0.9 * block) ** 2 <= largest.elements <= 1.1 * block**2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_piece_of_what_is_kept_for_the_gradient_stays_below_32_mib(dtype: torch.dtype) -> None:
    block = blockwise.BLOCK_SIZE["cpu"]
    pieces = [piece for size in (1, 7, block, 1900) for piece in kept_sizes(10**5, size, dtype)]
    assert all(2**24 < piece * dtype.itemsize <= 2**25 for piece in pieces)
    assert kept_sizes(10**5, 3000, dtype) == (0, 0)  # not one tile would fit
    assert kept_sizes(700, 10**6, dtype) == (700**2, 0)


@pytest.mark.parametrize("number", [3740, 4000, 4096])
def test_all_tiles_of_up_to_4096_rows_are_kept(number: int) -> None:
    z, scalars = torch.nn.functional.normalize(rows(number).float()), (0.1, 0.0, 1.0)
    block = blockwise.BLOCK_SIZE["cpu"]
    found = arranged(z, labels(100, number), scalars, block)
    kept = [z.new_empty(size) for size in kept_sizes(number, block, z.dtype)]
    made = Products(found, 0.1, kept, filled=False)
    parts = sorted(extent(made.of(tile)[0]) for tile in found.tiles)
    assert len(parts) == 36
    assert all(end <= start for (_, end), (start, _) in pairwise(parts))
    pieces = [extent(piece) for piece in kept]
    assert all(any(first <= start < last for first, last in pieces) for start, _ in parts)


def extent(values: Tensor) -> tuple[int, int]:
    return values.data_ptr(), values.data_ptr() + values.nbytes


def arranged(z: Tensor, y: Tensor, scalars: Scalars, block: int) -> Rows:
    return cut_rows(z, sort_rows(y, z.dtype), scalars, True, block)


@pytest.mark.parametrize(
    ("scalars", "count", "apart"),
    [
        ((0.1, 2.0, 1.0), SMALL, True),
        ((0.1, 2.0, 1.0), SMALL + 1, False),
        ((0.1, 0.0, 1.0), SMALL, False),
        ((0.1, 2.0, 0.5), SMALL, False),
        ((0.001, 2.0, 1.0), SMALL, False),
    ],
    ids=["small classes", "a large class", "SupCon", "negatives weighed", "shifted"],
)
def test_the_k1_term_of_small_classes_is_taken_from_them(
    scalars: Scalars, count: int, apart: bool
) -> None:
    z, y = torch.nn.functional.normalize(rows()), (torch.arange(N) - count + 1).clamp(min=0)
    assert (arranged(z, y, scalars, 64).members is not None) == apart


def test_supcon_on_a_device_needs_no_masks() -> None:
    for device, masked in (("cpu", True), ("meta", False)):
        z, y = torch.nn.functional.normalize(rows()).to(device), labels(7).to(device)
        found = arranged(z, y, (0.1, 0.0, 1.0), 64)
        assert any(tile.near for tile in found.tiles) == masked == (found.order is not None)


SIZES = (1, 2, 2, 3, 5, 9, 30, 33, SMALL, 1, 100)


def mixed(sizes: Sequence[int]) -> Tensor:
    """Return labels of classes of these sizes, in no order; their number is no multiple of 7."""
    count = sum(sizes)
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[
        torch.arange(count) * 7 % count
    ]


@pytest.mark.parametrize("is_sorted", [True, False])
def test_small_classes_stand_beside_others_of_about_their_size(is_sorted: bool) -> None:
    y = mixed(SIZES)
    y, order = (y.sort().values, None) if is_sorted else (y, y.argsort(stable=True))
    members = Members.of(torch.searchsorted(y.sort().values, y), order)
    assert members
    seen = torch.zeros(len(y), dtype=torch.int64)
    for table, there, targets in members.tables:
        for given, present, places in zip(table, there, targets, strict=True):
            ours = given[present]
            assert torch.equal(ours, (y == y[ours[0]]).nonzero()[:, 0])
            assert torch.equal(places[present], ours)
            assert (places[~present] == len(y)).all()
            assert len(given) < 2 * len(ours)
            seen[ours] += 1
    assert (seen == 0).sum() == SIZES.count(1)
    assert seen.amax() == 1


@pytest.mark.parametrize("sizes", [[SMALL] + [65] * 60, [3] + [2] * 2000], ids=["large", "pairs"])
def test_small_classes_take_no_more_memory_than_the_rows(sizes: list[int]) -> None:
    z, y = torch.nn.functional.normalize(rows(sum(sizes), 128).float()), mixed(sizes)
    members = Members.of(torch.searchsorted(y.sort().values, y), y.argsort(stable=True))
    assert members
    with Largest() as largest:  # type: ignore[no-untyped-call]
        members.products(z, members.sums(z))
    assert largest.elements == (len(z) + 1) * 128


@pytest.mark.parametrize("block_size", [64, 1000], ids=["rows sorted", "rows as they came"])
@pytest.mark.parametrize("numbers", [cutting.NUMBERS, 2000], ids=["at once", "some at a time"])
def test_small_classes_of_any_size_give_the_reference(
    numbers: int, block_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "NUMBERS", numbers)
    y, count = mixed(SIZES), sum(SIZES)
    x = rows(count).requires_grad_()
    T, k1 = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 3.0))
    upstream = torch.linspace(-1, 2, count, dtype=torch.float64)
    loss = tcl_loss(x, y, temperature=T, k1=k1, k2=1.0, reduction="none", block_size=block_size)
    found = torch.autograd.grad(loss, (x, T, k1), upstream)
    fixed: dict[str, Any] = {"temperature": 0.3, "k1": 3.0, "k2": 1.0, "reduction": "none"}
    exact = tcl_gradients(x.detach().numpy(), y.numpy(), **fixed, upstream=upstream.numpy())
    assert relative(loss, exact.per_anchor) < 1e-12
    expected = (exact.embeddings, exact.temperature, exact.k1)
    assert max(map(relative, found, expected)) < 1e-10


@pytest.mark.parametrize("classes", [2, 7, 93, N])
@pytest.mark.parametrize("block", [7, 64, 311, 1000])
def test_tiles_are_every_pair_once_and_have_positives_where_they_are_looked_for(
    classes: int, block: int
) -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(classes)
    found = arranged(z, y, (0.1, 2.0, 0.5), block)
    names, places = found.cut(y.sort().values), found.cut(torch.arange(N))
    pairs = torch.zeros(N, N)
    for tile in found.tiles:
        pairs[places[tile.i][:, None], places[tile.j]] += 1
        assert tile.shape == (len(names[tile.i]), len(names[tile.j]))
        assert max(tile.shape) <= found.side <= block + 15
        positives = names[tile.i][:, None] == names[tile.j]
        near = tile.near.of(positives) if tile.near else positives[:0]
        assert near.sum() == positives.sum()
        assert tile.diagonal or near.all()
    assert torch.equal(pairs.triu(), torch.ones(N, N).triu())
    assert block < 128 or not any(edge % 16 for edge in found.edges[:-1])
    assert sum(tile.size for tile in found.tiles) <= sum(kept_sizes(N, block, torch.float64))


def test_classes_are_compared_as_numbers_that_tell_them_apart() -> None:
    last = torch.arange(2**24 + 2)
    assert _comparable(last[-2:], torch.float32).dtype == torch.float32
    assert _comparable(last, torch.float32)[-2:].tolist() == last[-2:].tolist()


@pytest.mark.parametrize(("classes", "device", "apart"), [(1, "cpu", True), (2, "cpu", False),
                         (2, "meta", True)])  # fmt: skip
def test_only_large_classes_are_added_up_in_parts(classes: int, device: str, apart: bool) -> None:
    z, y = torch.nn.functional.normalize(rows()).to(device), labels(classes).to(device)
    assert (arranged(z, y, (0.1, 2.0, 1.0), 64).classes[1] is not None) == apart


def test_sums_of_classes_that_a_device_does_not_count_are_the_same() -> None:
    values, y = rows(), labels(7).sort().values
    firsts = torch.searchsorted(y, y)
    given = firsts, torch.maximum(firsts, torch.arange(N) // 100 * 100)
    found = []
    for classes, parts in [map(Groups.of, given), (Groups(each, N) for each in given)]:
        within = classes.within(parts)
        assert within.names.bincount().max() < 5  # more would wait for one another
        sums = within.added(parts.added(values))
        found.append(sums[classes.names])
        torch.testing.assert_close(found[-1], classes.added(values)[classes.names])
    torch.testing.assert_close(*found)


def test_only_tiles_near_the_diagonal_need_masks() -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(N)
    found = arranged(z, y, (0.1, 2.0, 0.5), 64)
    assert all((tile.near is not None) == tile.diagonal for tile in found.tiles)


def test_no_list_grows_with_the_pairs() -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(7)
    tracemalloc.start()
    count = sum(1 for _ in arranged(z, y, (0.1, 2.0, 0.5), 2).tiles)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    blocks = -(-N // 2)
    assert count == blocks * (blocks + 1) // 2
    assert peak < 8 * count
