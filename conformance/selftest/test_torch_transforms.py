"""The tiled form of the PyTorch backend: what transforms and the compiler make of it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tuned_contrastive.backends.torch import blockwise, supcon_loss, tcl_loss, tiles
from tuned_contrastive.backends.torch.rows import Rows, Scalars, sort_rows
from tuned_contrastive.conformance.selftest.torch_samples import N, labels, relative, rows

OF_NUMBERS, OF_MAXIMA = blockwise.THRESHOLD
BOTH_SIDES = pytest.mark.parametrize("count", [OF_NUMBERS - 1, OF_NUMBERS])
BOTH_SIDES_OF_MAXIMA = pytest.mark.parametrize("count", [OF_MAXIMA - 1, OF_MAXIMA])


def test_fake_tensors_of_many_rows() -> None:
    with FakeTensorMode():
        loss = tcl_loss(torch.empty(N, 6), torch.empty(N, dtype=torch.int64), reduction="none")
    assert loss.shape == (N,)


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
@BOTH_SIDES_OF_MAXIMA
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


@BOTH_SIDES_OF_MAXIMA
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


def test_no_tiles_of_many_samples_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    losses = tiles.losses

    def counted(rows: Rows, scalars: Scalars, memory: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        kept.append(sum(map(len, memory)))
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
@pytest.mark.parametrize(
    ("dynamic", "times", "backend"), [(True, 1, "inductor"), (None, 2, "aot_eager")]
)
def test_compiled_again_for_no_further_number_of_rows(
    dynamic: bool | None, times: int, backend: str
) -> None:
    torch.compiler.reset()
    graphs = CompileCounterWithBackend(backend)
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
    x, y = rows(32767, 4).float().requires_grad_(), labels(999, 32767)
    compiled(x, y)  # as many Inductor sorts not
    assert len(made | {graphs.frame_count}) == times


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_program_for_few_rows_alone_has_all_their_pairs(dynamic: bool) -> None:
    torch.compiler.reset()
    graphs = CompileCounterWithBackend("eager")
    torch.compile(tcl_loss, fullgraph=True, dynamic=dynamic, backend=graphs)(rows(9), labels(3, 9))
    found = [str(node.target) for node in graphs.graphs[0].graph.nodes]
    assert any(name.startswith("tuned_contrastive.losses") for name in found) == dynamic


# The first to enter forward mode loads what torch has for it, which warns.
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
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


AROUND: dict[str, Any] = {
    "grad": torch.func.grad,
    "jvp": lambda loss: lambda x: torch.func.jvp(loss, (x,), (x.cos(),))[1],
    "vmap": lambda loss: lambda x: torch.func.vmap(loss)(torch.stack([x, x.cos()])),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_transforms_around_a_compiled_loss(around: Any) -> None:
    torch.compiler.reset()
    x, y = rows(), labels(7)

    def loss(x: Tensor) -> Tensor:
        return tcl_loss(x, y, block_size=64)

    found = around(torch.compile(loss, backend="aot_eager"))(x)
    assert relative(found, around(loss)(x).numpy()) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turned", [False, True], ids=["rows in order", "columns in order"])
@pytest.mark.parametrize(("k1", "normalize"), [(2.0, False), (0.0, True)], ids=["sorted", "not"])
def test_operators_are_as_the_compiler_is_told(
    dtype: torch.dtype, turned: bool, k1: float, normalize: bool
) -> None:
    x, y = rows(40).float(), labels(7, 40)
    x = x.t().contiguous().t() if turned else x
    T = torch.tensor(0.3, dtype=dtype)
    told = ("test_schema", "test_faketensor")
    for ids in (y, y.int(), y.repeat_interleave(2)[::2]):
        torch.library.opcheck(blockwise._sort_operator, (ids, dtype), test_utils=told)
    scalars = (T, None, None, [0.0, k1, 1.0])
    rest: tuple[Any, ...] = (x, *sort_rows(y, x.dtype), *scalars, normalize, 16)
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


def test_a_default_device_of_others_is_not_taken() -> None:
    x, y = rows(40), labels(7, 40)
    expected = tcl_loss(x, y, k2=2, block_size=16)
    with torch.device("meta"):
        assert tcl_loss(x, y, k2=2, block_size=16) == expected
