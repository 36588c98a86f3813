"""The tiled form of the PyTorch backend: exact against the reference, small, and transformable."""

import math
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tuned_contrastive.backends.torch import TCLLoss, blockwise, dense, supcon_loss, tcl_loss, tiles
from tuned_contrastive.backends.torch.rows import Rows, Scalars, cut_rows, kept_shape, sort_rows
from tuned_contrastive.reference import tcl_gradients

N = blockwise.THRESHOLD + 37  # no multiple of 5: `labels` can be all different
BOTH_SIDES = pytest.mark.parametrize("count", [blockwise.THRESHOLD - 1, blockwise.THRESHOLD])
CLASSES = {"one class": 1, "some": 7, "all different": N}


def rows(count: int = N, columns: int = 6) -> Tensor:
    n, d = torch.meshgrid(torch.arange(count), torch.arange(columns), indexing="ij")
    return (0.7 * n + 1.3 * d + 0.01 * n * d).sin().double() + 0.1 * d.double()


def labels(classes: int, count: int = N) -> Tensor:
    return (torch.arange(count) * 5 + 3) % classes


def relative(got: Tensor, exact: Any) -> float:
    expected = torch.as_tensor(np.asarray(exact))
    return float((got.detach() - expected).norm() / (expected.norm() + 1e-300))


@pytest.mark.parametrize("block_size", [1, 64, N - 1, 10**6])
@pytest.mark.parametrize("temperature", [0.3, 0.001])
@pytest.mark.parametrize("normalize", [True, False])
def test_any_block_size_gives_the_reference(
    block_size: int | None, temperature: float, normalize: bool
) -> None:
    count = 150 if block_size == 1 else N
    x, y = rows(count).requires_grad_(), labels(7, count)
    scalars = [torch.tensor(v, dtype=torch.float64) for v in (temperature, 3.0, 0.5)]
    T, k1, k2 = (value.requires_grad_() for value in scalars)
    upstream = torch.linspace(-1, 2, count, dtype=torch.float64)
    given: dict[str, Any] = {"normalize": normalize, "reduction": "none"}
    loss = tcl_loss(x, y, temperature=T, k1=k1, k2=k2, block_size=block_size, **given)
    found = torch.autograd.grad(loss, (x, T, k1, k2), upstream)
    exact = tcl_gradients(
        x.detach().numpy(),
        y.numpy(),
        temperature=temperature,
        k1=3.0,
        k2=0.5,
        upstream=upstream.numpy(),
        **given,
    )
    expected = (exact.embeddings, exact.temperature, exact.k1, exact.k2)
    assert relative(loss, exact.per_anchor) < 1e-12
    assert max(map(relative, found, expected)) < 1e-10


@pytest.mark.parametrize("k1", [0.0, 3.0], ids=["rows as they came", "rows sorted"])
@pytest.mark.parametrize("sizes", [(57, 600, 150), (95, 512, 200)], ids=["parts", "no parts"])
def test_classes_of_any_size_give_the_reference(sizes: tuple[int, ...], k1: float) -> None:
    count = sum(sizes)
    x, mixed = rows(count).requires_grad_(), torch.arange(count) * 5 % count
    y = torch.arange(3).repeat_interleave(torch.tensor(sizes))[mixed]
    upstream = torch.linspace(-1, 2, count, dtype=torch.float64)
    loss = tcl_loss(x, y, k1=k1, reduction="none", block_size=64)
    (found,) = torch.autograd.grad(loss, x, upstream)
    exact = tcl_gradients(
        x.detach().numpy(), y.numpy(), k1=k1, reduction="none", upstream=upstream.numpy()
    )
    assert relative(loss, exact.per_anchor) < 1e-12
    assert relative(found, exact.embeddings) < 1e-10


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES.keys())
def test_any_number_of_classes_gives_the_reference(classes: int) -> None:
    x, y = rows().requires_grad_(), labels(classes)
    loss = tcl_loss(x, y, block_size=64)
    (found,) = torch.autograd.grad(loss, x)
    exact = tcl_gradients(x.detach().numpy(), y.numpy())
    assert relative(loss, exact.loss) < 1e-12
    assert relative(found, exact.embeddings) < 1e-10


def test_views_without_labels_give_the_reference() -> None:
    x = rows(600).reshape(300, 2, 6).requires_grad_()
    (found,) = torch.autograd.grad(tcl_loss(x, block_size=64), x)
    assert relative(found, tcl_gradients(x.detach().numpy()).embeddings) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32(dtype: torch.dtype) -> None:
    x = rows().to(dtype).requires_grad_()
    loss = tcl_loss(x, labels(7), block_size=64)
    (found,) = torch.autograd.grad(loss, x)
    exact = tcl_gradients(x.detach().double().numpy(), labels(7).numpy())
    assert (loss.dtype, found.dtype) == (torch.float32, dtype)
    assert relative(loss, exact.loss) < 1e-6


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the most elements of any tensor that an operation gave."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (tuple, list)) else [found]:
            self.elements = max(self.elements, value.numel() if isinstance(value, Tensor) else 0)
        return found


@pytest.mark.parametrize("classes", [1, 7, 4000])
@pytest.mark.parametrize("temperature", [0.1, 0.001])
def test_no_tensor_grows_with_the_pairs(classes: int, temperature: float) -> None:
    z, y = torch.nn.functional.normalize(rows(4000).float()), labels(classes, 4000)
    block, scalars = blockwise.BLOCK_SIZE["cpu"], (temperature, 5000.0, 0.5)
    with Largest() as largest:  # type: ignore[no-untyped-call]
        # Under a mode the loss itself is an operator, into which it does not look.
        found = arranged(z, y, scalars, block)
        kept = z.new_empty(0)
        losses, sums = tiles.losses(found, scalars, kept)
        tiles.gradients(losses, sums, kept, found, scalars)
    assert block**2 <= largest.elements <= 2 * block**2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_for_the_gradient_stays_below_32_mib(dtype: torch.dtype) -> None:
    block = blockwise.BLOCK_SIZE["cpu"]
    found = [math.prod(kept_shape(10**5, size, dtype)) for size in (1, 7, block, 10**6)]
    assert max(found) * dtype.itemsize <= 2**25
    assert found[2] * dtype.itemsize > 2**24
    assert kept_shape(700, 10**6, dtype) == (1, 700, 700)


@pytest.mark.parametrize("temperature", [0.3, 0.001], ids=["plain", "shifted"])
@pytest.mark.parametrize("block_size", [64, 1000], ids=["a remainder", "one tile"])
def test_kept_tiles_change_nothing_and_serve_twice(block_size: int, temperature: float) -> None:
    z, order = torch.nn.functional.normalize(rows()), sort_rows(labels(7), torch.float64)
    rest: Any = (None, None, None, [temperature, 3.0, 0.5], True, block_size)
    forward: Any = blockwise._losses
    backward: Any = blockwise._gradients
    _, sums, kept = forward(z, *order, *rest, True)
    upstream = torch.linspace(-1, 2, N, dtype=torch.float64)
    first, again = (backward(upstream, sums, kept, z, *order, *rest) for _ in range(2))
    nothing = forward(z, *order, *rest, False)[2]
    without = backward(upstream, sums, nothing, z, *order, *rest)
    assert len(kept) > len(nothing) == 0
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[0], without[0])


@pytest.mark.parametrize("temperature", [1e-2, 1e4])
def test_gradient_in_a_temperature_far_from_1_is_as_sharp(temperature: float) -> None:
    x, y = rows().float(), labels(7)
    T = torch.tensor(temperature, requires_grad=True)
    (found,) = torch.autograd.grad(tcl_loss(x, y, temperature=T, block_size=64), T)
    exact = tcl_gradients(x.double().numpy(), y.numpy(), temperature=float(T.detach()))
    assert relative(found.double(), exact.temperature) < 3e-5


def test_many_equal_rows_do_not_round_alike() -> None:
    count = 2**14
    found = supcon_loss(torch.ones(count, 3), torch.zeros(count, dtype=torch.int64))
    assert relative(found.double(), math.log(count - 1)) < 1e-5


@pytest.mark.parametrize("block_size", [0, 2])
def test_gradients_in_weights_neither_overflow_nor_vanish(block_size: int) -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 1e-3], [0.6, 0.8], [0.8, 0.6]])
    y, k2 = torch.tensor([0, 0, 1, 2, 2]), torch.tensor(0.0, requires_grad=True)
    upstream = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0])
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    loss = tcl_loss(x, y, k2=k2, block_size=block_size, **given)
    (found,) = torch.autograd.grad(loss, k2, upstream)
    rows = x.double().numpy(), y.numpy()
    exact = tcl_gradients(*rows, k2=0.0, upstream=upstream.numpy(), **given).k2
    assert relative(found.double(), exact) < 1e-4


@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("upstream", [[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 3.0, 3.0, 3.0]])
def test_many_near_negatives_whose_weight_is_0(upstream: list[float], block_size: int) -> None:
    """Of anchor 0 the sum over N(i) is 3 e^200, which no root of it leaves in range."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    x.requires_grad_()
    k2 = torch.tensor(0.0, requires_grad=True)
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    loss = tcl_loss(x, [0, 0, 1, 2, 3], k2=k2, block_size=block_size, **given)
    assert loss.tolist() == [0.0] * 5
    dz, dk2 = torch.autograd.grad(loss, (x, k2), torch.tensor(upstream))
    assert dz.isfinite().all()
    assert dk2 == upstream[0] * math.inf


def test_backward_under_autocast_stays_in_full_precision_by_tiles() -> None:
    x, y = rows().float().requires_grad_(), labels(7)
    T = torch.tensor(0.2, requires_grad=True)
    loss = partial(tcl_loss, x, y, temperature=T)
    plain = torch.autograd.grad(loss(), (x, T))
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(loss(), (x, T))
    assert all(map(torch.equal, found, plain))


def test_fake_tensors_of_many_rows() -> None:
    with FakeTensorMode():
        loss = tcl_loss(torch.empty(N, 6), torch.empty(N, dtype=torch.int64), reduction="none")
    assert loss.shape == (N,)


def arranged(z: Tensor, y: Tensor, scalars: Scalars, block: int) -> Rows:
    return cut_rows(z, sort_rows(y, z.dtype), scalars, True, block)


def test_supcon_needs_no_masks() -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(7)
    found = arranged(z, y, (0.1, 0.0, 1.0), 64)
    assert not any(tile.masked for tile in found.tiles)


@pytest.mark.parametrize(("classes", "device", "apart"), [(1, "cpu", True), (2, "cpu", False),
                         (2, "meta", True)])  # fmt: skip
def test_only_large_classes_are_added_up_in_parts(classes: int, device: str, apart: bool) -> None:
    z, y = torch.nn.functional.normalize(rows()).to(device), labels(classes).to(device)
    assert (arranged(z, y, (0.1, 2.0, 1.0), 64).parts is not None) == apart


def test_only_tiles_near_the_diagonal_need_masks() -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(N)
    found = arranged(z, y, (0.1, 2.0, 1.0), 64)
    assert all(tile.masked == tile.diagonal for tile in found.tiles)


def test_no_list_grows_with_the_pairs() -> None:
    z, y = torch.nn.functional.normalize(rows()), labels(7)
    tracemalloc.start()
    count = sum(1 for _ in arranged(z, y, (0.1, 2.0, 1.0), 2).tiles)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    blocks = -(-N // 2)
    assert count == blocks * (blocks + 1) // 2
    assert peak < 8 * count


def test_the_form_is_chosen_by_the_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "anchor_losses", None)
    x = rows(blockwise.THRESHOLD, 2)
    assert supcon_loss(x, labels(7, len(x))).isfinite()
    with pytest.raises(TypeError, match="NoneType"):
        supcon_loss(x[1:], labels(7, len(x) - 1))


@BOTH_SIDES
def test_second_derivatives_on_both_sides_of_the_threshold(count: int) -> None:
    x, y = rows(count, 2).requires_grad_(), labels(7, count)
    along = torch.cos(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)
    found: list[Tensor] = []
    for block_size in (None, 0):
        loss = supcon_loss(x, y, temperature=0.5, block_size=block_size)
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        found += torch.autograd.grad(gradient, x, along)
    assert relative(found[0], found[1].numpy()) < 1e-10


@BOTH_SIDES
def test_functional_transforms_on_both_sides_of_the_threshold(count: int) -> None:
    y = labels(7, count)
    batch = torch.stack([rows(count, 2), rows(count, 2).flip(0)])
    mapped = torch.func.vmap(torch.func.grad(lambda x: supcon_loss(x, y)))(batch)
    plain = batch.clone().requires_grad_()
    (expected,) = torch.autograd.grad(supcon_loss(plain[0], y) + supcon_loss(plain[1], y), plain)
    assert relative(mapped, expected.numpy()) < 1e-12


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@BOTH_SIDES
def test_forward_mode_on_both_sides_of_the_threshold(count: int) -> None:
    x, y = rows(count, 2), labels(7, count)
    along = x.cos()
    found = torch.func.jvp(lambda x: supcon_loss(x, y), (x,), (along,))[1]
    gradient = torch.func.grad(lambda x: supcon_loss(x, y))(x)
    assert relative(found, (gradient * along).sum().numpy()) < 1e-10


def along_temperature(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda T: torch.func.jvp(f, (T,), (torch.ones_like(T),))[1]


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@BOTH_SIDES
def test_forward_mode_within_forward_mode_on_both_sides_of_the_threshold(count: int) -> None:
    x, y, T = rows(count, 2), labels(7, count), torch.tensor(0.5, dtype=torch.float64)
    loss = partial(supcon_loss, x, y)
    twice = along_temperature(along_temperature(lambda T: loss(temperature=T)))
    gradient = torch.func.grad(lambda T: loss(temperature=T, block_size=0))
    assert relative(twice(T), torch.func.grad(gradient)(T).numpy()) < 1e-10
    thrice = along_temperature(torch.func.grad(along_temperature(lambda T: loss(temperature=T))))
    assert relative(thrice(T), torch.func.grad(torch.func.grad(gradient))(T).numpy()) < 1e-10


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_forward_mode_twice_over_a_pull_made_outside_names_the_way_out() -> None:
    T = torch.tensor(0.5, dtype=torch.float64)
    loss = partial(supcon_loss, rows(), labels(7), block_size=64)
    pull = torch.func.vjp(lambda T: loss(temperature=T), T)[1]
    twice = along_temperature(along_temperature(lambda u: pull(u * u)[0]))
    with pytest.raises(NotImplementedError, match=r"forward mode .* needs block_size=0"):
        twice(T)


@BOTH_SIDES
def test_functionalised_on_both_sides_of_the_threshold(count: int) -> None:
    x, y = rows(count, 2), labels(7, count)
    found: Any = torch.func.functionalize(lambda x: supcon_loss(x, y))
    assert relative(found(x), supcon_loss(x, y).numpy()) < 1e-12


@BOTH_SIDES
def test_checkpointed_on_both_sides_of_the_threshold(count: int) -> None:
    x, y = rows(count, 2).requires_grad_(), labels(7, count)
    kept = checkpoint(lambda x: supcon_loss(x, y), x, use_reentrant=False)
    found, expected = (torch.autograd.grad(each, x)[0] for each in (kept, supcon_loss(x, y)))
    assert torch.equal(found, expected)


@BOTH_SIDES
def test_many_gradients_at_once_on_both_sides_of_the_threshold(count: int) -> None:
    x, y = rows(count, 2).requires_grad_(), labels(7, count)
    T = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    losses = supcon_loss(x, y, temperature=T, reduction="none")
    upstream = torch.eye(count, dtype=torch.float64)[:2]
    found = torch.autograd.grad(losses, (x, T), upstream, retain_graph=True, is_grads_batched=True)
    for one, arriving in enumerate(upstream):
        expected = torch.autograd.grad(losses, (x, T), arriving, retain_graph=True)
        for many, alone in zip(found, expected, strict=True):
            assert relative(many[one], alone.numpy()) < 1e-10


class _Exported(torch.nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return supcon_loss(x, y)


@pytest.mark.parametrize(
    ("least", "most"), [(10, blockwise.THRESHOLD - 1), (blockwise.THRESHOLD, 5000)]
)
def test_exported_for_many_numbers_of_rows_on_one_side_of_the_threshold(
    least: int, most: int
) -> None:
    count = torch.export.Dim("count", min=least, max=most)
    given = rows(most, 2), labels(7, most)
    sizes = {"x": {0: count}, "y": {0: count}}
    program = torch.export.export(_Exported(), given, dynamic_shapes=sizes).module()
    fewer = [each[:least] for each in given]
    assert relative(program(*fewer), supcon_loss(*fewer).numpy()) < 1e-12


def test_a_program_exported_with_few_rows_stands_alone() -> None:
    sizes = {"x": {0: torch.export.Dim.AUTO}, "y": {0: torch.export.Dim.AUTO}}
    program = torch.export.export(_Exported(), (rows(9), labels(3, 9)), dynamic_shapes=sizes)
    graphs = [each for each in program.graph_module.modules() if isinstance(each, GraphModule)]
    called = [str(node.target) for each in graphs for node in each.graph.nodes]
    assert "aten.exp.default" in called
    assert not [name for name in called if "tuned_contrastive" in name]
    x, y = rows(20), labels(3, 20)
    assert relative(program.module()(x, y), supcon_loss(x, y).numpy()) < 1e-12


def test_no_tiles_of_many_samples_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    losses = tiles.losses

    def counted(rows: Rows, scalars: Scalars, memory: Tensor) -> tuple[Tensor, Tensor]:
        kept.append(memory.numel())
        return losses(rows, scalars, memory)

    monkeypatch.setattr(tiles, "losses", counted)
    y = labels(7)
    loss = partial(supcon_loss, labels=y)
    torch.func.vmap(torch.func.grad(loss))(torch.stack([rows(), rows()]))
    assert kept == [0, 0]
    loss(rows().requires_grad_())
    assert kept[-1] > 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@BOTH_SIDES
def test_derivatives_under_a_mode_that_follows_operators(count: int) -> None:
    x, y, along = rows(count, 2), labels(7, count), rows(count, 2).cos()

    def product() -> Tensor:
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(supcon_loss(leaf, y), leaf, create_graph=True)
        return torch.autograd.grad((slope * along).sum(), leaf)[0]

    def tangent() -> Tensor:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, along)  # type: ignore[no-untyped-call]
            found: Tensor = forward_ad.unpack_dual(supcon_loss(dual, y)).tangent  # type: ignore[no-untyped-call]
            return found

    for derivative in (product, tangent):
        plain = derivative()
        with FlopCounterMode(display=False):
            assert relative(derivative(), plain.numpy()) < 1e-10


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
# Unless told, PyTorch takes the first number of rows for a constant, and learns by the second.
@pytest.mark.parametrize(("dynamic", "times"), [(True, 1), (None, 2)], ids=["dynamic", "default"])
def test_compiled_once_for_any_number_of_rows(dynamic: bool | None, times: int) -> None:
    torch.compiler.reset()
    graphs = CompileCounterWithBackend("inductor")
    made = set()
    compiled = torch.compile(tcl_loss, fullgraph=True, dynamic=dynamic, backend=graphs)
    # Either side of the threshold; more and less than are kept, than Inductor adds.
    for count in (300, 2000, 5000, 1999, 301):
        x, y = rows(count, 4).float().requires_grad_(), labels(7, count)
        found, wanted = compiled(x, y), tcl_loss(x, y)
        torch.testing.assert_close(found, wanted)
        gradients = [torch.autograd.grad(loss, x)[0] for loss in (found, wanted)]
        torch.testing.assert_close(*gradients)
        made.add(graphs.frame_count)
    compiled(
        rows(32767, 4).float().requires_grad_(), labels(7, 32767)
    )  # as many Inductor sorts not
    assert len(made | {graphs.frame_count}) == times


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_program_for_few_rows_alone_has_all_their_pairs(dynamic: bool) -> None:
    torch.compiler.reset()
    graphs = CompileCounterWithBackend("eager")
    torch.compile(tcl_loss, fullgraph=True, dynamic=dynamic, backend=graphs)(rows(9), labels(3, 9))
    found = [str(node.target) for node in graphs.graphs[0].graph.nodes]
    assert any(name.startswith("tuned_contrastive.losses") for name in found) == dynamic


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_forward_mode_over_a_program_made_before_is_refused(backend: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(supcon_loss, fullgraph=True, dynamic=True, backend=backend)
    x, y = rows(9), labels(3, 9)
    compiled(x, y)
    with (
        forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=r"forward mode over .* needs block_size=0"),
    ):
        compiled(forward_ad.make_dual(x, x.cos()), y)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dynamic", [True, None], ids=["dynamic", "default"])
def test_compiled_with_any_block_size(dynamic: bool | None) -> None:
    torch.compiler.reset()
    compiled = torch.compile(supcon_loss, fullgraph=True, dynamic=dynamic, backend="eager")
    x, y = rows(), labels(7)
    for block_size in (0, 64, 128):
        torch.testing.assert_close(compiled(x, y, block_size=block_size), supcon_loss(x, y))


def test_a_constant_is_marked_as_torch_marks_it() -> None:
    marked = torch.compiler.assume_constant_result(lambda: None)  # type: ignore[no-untyped-call]
    assert vars(blockwise._is_transformed) == vars(marked) != {}


def forward_mode(x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = torch.func.jvp(lambda x: supcon_loss(x, y), (x,), (x.cos(),))[1]
    return found


def gradient(x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = torch.func.grad(lambda x: supcon_loss(x, y))(x)
    return found


def mapped(x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = torch.func.vmap(lambda x: supcon_loss(x, y))(torch.stack([x, x.cos()]))
    return found


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("transform", [forward_mode, gradient, mapped])
@BOTH_SIDES
def test_compiled_transforms_on_both_sides_of_the_threshold(transform: Any, count: int) -> None:
    x, y = rows(count), labels(7, count)
    compiled: Any = torch.compile(transform, fullgraph=True, backend="eager")
    assert relative(compiled(x, y), transform(x, y).numpy()) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turned", [False, True], ids=["rows in order", "columns in order"])
def test_operators_are_as_the_compiler_is_told(dtype: torch.dtype, turned: bool) -> None:
    x, y = rows(40).float(), labels(7, 40)
    x = x.t().contiguous().t() if turned else x
    T = torch.tensor(0.3, dtype=dtype)
    told = ("test_schema", "test_faketensor")
    for ids in (y, y.int(), y.repeat_interleave(2)[::2]):
        torch.library.opcheck(blockwise._sort_operator, (ids, dtype), test_utils=told)
    rest: tuple[Any, ...] = (x, *sort_rows(y, x.dtype), T, None, None, [0.0, 2.0, 1.0], False, 16)
    losses, *saved = blockwise._losses_operator(*rest, True)
    torch.library.opcheck(blockwise._losses_operator, (*rest, True), test_utils=told)
    given = (losses, *saved, *rest)
    torch.library.opcheck(blockwise._gradients_operator, given, test_utils=told)


def test_third_derivative_is_that_of_all_pairs() -> None:
    x, y = rows(6, 2), torch.tensor([0, 0, 1, 1, 0, 1])
    found: list[Tensor] = []
    for block_size in (2, 0):
        value = x.clone().requires_grad_()
        derivative = supcon_loss(value, y, temperature=0.5, block_size=block_size)
        for _ in range(3):
            (slope,) = torch.autograd.grad(derivative.sum(), value, create_graph=True)
            derivative = slope * value.detach().cos()
        found.append(derivative)
    assert relative(found[0], found[1].detach().numpy()) < 1e-9


def test_same_bits_twice() -> None:
    x, y = rows().float().requires_grad_(), labels(7)
    first, again = (torch.autograd.grad(tcl_loss(x, y), x)[0] for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("block_size", [True, 1.5, "8"])
def test_block_size_of_another_kind_is_refused(block_size: Any) -> None:
    with pytest.raises(TypeError, match="block_size must be an int or None, got"):
        supcon_loss(rows(4), [0, 0, 1, 1], block_size=block_size)


def test_negative_block_size_is_refused() -> None:
    with pytest.raises(ValueError, match="block_size must be >= 0, got -1"):
        supcon_loss(rows(4), [0, 0, 1, 1], block_size=-1)


def test_module_hands_its_block_size_on() -> None:
    x, y = rows(), labels(7)
    assert torch.equal(TCLLoss(block_size=64)(x, y), tcl_loss(x, y, block_size=64))


@pytest.mark.clause("GRD-13", "GRD-15")
@pytest.mark.parametrize("temperature", [0.025, 0.041])
def test_second_derivatives_of_few_rows_where_exponentials_are_large(temperature: float) -> None:
    def product(dtype: torch.dtype) -> Tensor:
        x = (1 + rows(100, 4) / 20).to(dtype).requires_grad_()
        loss = tcl_loss(x, labels(2, 100), temperature=temperature, k1=0.0, k2=1000.0)
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        return torch.autograd.grad((slope * rows(100, 4).roll(1, 0)).sum(), x)[0].double()

    # The term that divides by the square of a sum of e^40 is most of it.
    assert relative(product(torch.float32), product(torch.float64)) < 0.02


@pytest.mark.clause("GRD-13", "NUM-10")
def test_second_derivative_where_only_the_own_product_overflows() -> None:
    x = torch.tensor([[2e19, 0.0], [0.0, 1.0], [0.0, 1.0]], requires_grad=True)
    loss = supcon_loss(x, [0, 1, 1], normalize=False, block_size=0)
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    (found,) = torch.autograd.grad((slope * x.detach()).sum(), x)
    assert found.isfinite().all()


@pytest.mark.clause("GRD-10", "NUM-11")
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("k1", [1.0, 5000.0])
@pytest.mark.parametrize(("T", "upstream"), [(1e30, 1e-9), (1e30, 1e10), (3e38, 1e-9)])
def test_gradient_at_a_huge_temperature(
    T: float, upstream: float, k1: float, block_size: int, learnable: bool
) -> None:
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], requires_grad=True)
    temperature = torch.tensor(T) if learnable else T
    loss = tcl_loss(x, [0, 0, 1], temperature=temperature, k1=k1, block_size=block_size)
    (found,) = torch.autograd.grad(loss, x, torch.tensor(upstream))
    exact = upstream * tcl_gradients(x.detach().numpy(), [0, 0, 1], temperature=T, k1=k1).embeddings
    expected = torch.tensor(exact, dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7 * upstream)


EXTREME = [(0.002, 0.0, 1e6), (1e6, 2.0, 1e37), (1e39, 2.0, 1.0)]
"""T, k2 and upstream: what they are multiplied and divided by must not meet in the wrong order."""


@pytest.mark.clause("NUM-11")
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.parametrize(("T", "k2", "upstream"), EXTREME)
def test_gradient_where_a_part_of_it_leaves_the_range(
    T: float, k2: float, upstream: float, block_size: int, learnable: bool
) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((23, 5)), rng.integers(0, 4, 23)
    fixed: dict[str, Any] = {"temperature": T, "k1": 3.0, "k2": k2}
    exact = tcl_gradients(x, labels, **fixed, upstream=upstream).embeddings
    wide = {name: torch.tensor(value, dtype=torch.float64) for name, value in fixed.items()}
    rows = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    loss = tcl_loss(rows, labels, **(wide if learnable else fixed), block_size=block_size)
    (found,) = torch.autograd.grad(loss, rows, torch.tensor(upstream))
    assert relative(found, exact) < 1e-3
