"""The PyTorch backend in programs that `torch.export` makes, and transforms of its operators."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from tuned_contrastive.backends.torch import blockwise, dense, supcon_loss, tcl_loss
from tuned_contrastive.conformance.selftest.torch_samples import labels, relative, rows

OF_NUMBERS, OF_MAXIMA = blockwise.THRESHOLD


class _Exported(torch.nn.Module):
    def __init__(self, loss: Any = supcon_loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.loss(x, y)
        return found


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(
    ("loss", "threshold"),
    [(supcon_loss, OF_NUMBERS), (partial(tcl_loss, temperature=0.001), OF_MAXIMA)],
    ids=["plain", "maxima"],
)
def test_exported_for_many_numbers_of_rows_on_one_side_of_the_threshold(
    loss: Any, threshold: int, few: bool
) -> None:
    least, most = (10, threshold - 1) if few else (threshold, 5000)
    count = torch.export.Dim("count", min=least, max=most)
    given = rows(most, 2), labels(7, most)
    sizes = {"x": {0: count}, "y": {0: count}}
    program = torch.export.export(_Exported(loss), given, dynamic_shapes=sizes).module()
    fewer = [each[:least] for each in given]
    assert relative(program(*fewer), loss(*fewer).numpy()) < 1e-12


def test_a_program_exported_with_few_rows_stands_alone() -> None:
    sizes = {"x": {0: torch.export.Dim.AUTO}, "y": {0: torch.export.Dim.AUTO}}
    program = torch.export.export(_Exported(), (rows(9), labels(3, 9)), dynamic_shapes=sizes)
    graphs = [each for each in program.graph_module.modules() if isinstance(each, GraphModule)]
    called = [str(node.target) for each in graphs for node in each.graph.nodes]
    assert "aten.exp.default" in called
    assert not [name for name in called if "tuned_contrastive" in name]
    x, y = rows(20), labels(3, 20)
    assert relative(program.module()(x, y), supcon_loss(x, y).numpy()) < 1e-12


def jvp(f: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    return lambda x: torch.func.jvp(f, (x,), (x.cos(),))[1]


def vmap(f: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    return lambda x: torch.func.vmap(f)(torch.stack([x, x.cos()]))


grad, functionalize = torch.func.grad, torch.func.functionalize
AROUND: dict[str, Any] = {
    "grad": grad,
    "jvp": jvp,
    "vmap": vmap,
    "vmap of vmap": lambda f: vmap(vmap(f)),
    "vmap of grad": lambda f: vmap(grad(f)),
    "jvp of grad": lambda f: jvp(grad(f)),
    "jvp of jvp": lambda f: jvp(jvp(f)),
    "grad of the norm of grad": lambda f: grad(lambda x: grad(f)(x).square().sum()),
    "functionalize of grad": lambda f: functionalize(grad(f)),
    "grad, recorded": lambda f: lambda x: make_fx(grad(f))(x)(x),
    "grad, compiled": lambda f: torch.compile(grad(f), backend="aot_eager"),
}


# The first to enter forward mode loads what torch has for it, which warns.
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_transforms_of_an_exported_program(around: Any) -> None:
    torch.compiler.reset()
    x, y, T = rows(20, 3), labels(3, 20), torch.tensor(0.3, dtype=torch.float64)
    loss = partial(tcl_loss, temperature=T, block_size=8)
    program = torch.export.export(_Exported(loss), (x, y)).module()
    found = around(lambda x: program(x, y))(x)
    expected = around(lambda x: tcl_loss(x, y, temperature=T, block_size=0))(x)
    assert relative(found, expected.detach().numpy()) < 1e-9


def test_gradients_in_the_parameters_of_an_exported_program() -> None:
    class Learnable(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor, T: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
            return tcl_loss(x, y, temperature=T, k1=k1, k2=k2, block_size=8)

    x, y = rows(20, 3), labels(3, 20)
    scalars = [torch.tensor(value, dtype=torch.float64) for value in (0.3, 2.0, 0.5)]
    program: Any = torch.export.export(Learnable(), (x, y, *scalars)).module()
    for around in (grad(program, (2, 3, 4)), grad(functionalize(program), (2, 3, 4))):
        values = [value.clone().requires_grad_() for value in scalars]
        given: dict[str, Any] = dict(zip(("temperature", "k1", "k2"), values, strict=True))
        expected = torch.autograd.grad(tcl_loss(x, y, block_size=0, **given), values)
        for found, slope in zip(around(x, y, *scalars), expected, strict=True):
            assert relative(found, slope.numpy()) < 1e-10


@pytest.fixture
def without_fallback() -> Iterator[None]:
    """Let `torch.vmap` refuse an operator that has no rule for it."""
    functorch: Any = torch._C._functorch
    functorch._set_vmap_fallback_enabled(False)
    yield
    functorch._set_vmap_fallback_enabled(True)


@pytest.mark.usefixtures("without_fallback")
def test_an_exported_program_mapped_over_labels() -> None:
    x, y = rows(20, 3), torch.stack([labels(3, 20), labels(4, 20)])
    program: Any = torch.export.export(_Exported(partial(supcon_loss, block_size=8)), (x, y[0]))
    found = torch.func.vmap(program.module(), (None, 0))(x, y)
    assert relative(found, torch.stack([supcon_loss(x, each) for each in y]).numpy()) < 1e-12


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_forward_mode_over_an_exported_program_names_the_way_out() -> None:
    x, y = rows(20, 3), labels(3, 20)
    program = torch.export.export(_Exported(partial(supcon_loss, block_size=8)), (x, y)).module()
    told = pytest.raises(NotImplementedError, match=r"^forward mode over .* needs block_size=0")
    with told, forward_ad.dual_level():
        program(forward_ad.make_dual(x, x.cos()), y)  # type: ignore[no-untyped-call]
    with told:
        torch.func.linearize(lambda x: program(x, y), x)


def test_gradient_of_an_exported_program_is_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows(20, 3), labels(3, 20)
    program = torch.export.export(_Exported(partial(supcon_loss, block_size=8)), (x, y)).module()
    monkeypatch.setattr(dense, "anchor_losses", None)
    assert grad(lambda x: program(x, y))(x).shape == x.shape


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("name", ["grad", "jvp", "jvp of jvp", "functionalize of grad"])
def test_transforms_of_the_operator_for_gradients(name: str) -> None:
    x, y = rows(20, 3), labels(3, 20)
    order, starts, shares = blockwise._sort(y, x.dtype)
    rest = (order, starts, shares, None, None, None, [0.3, 0.0, 1.0], False, 8)
    upstream = torch.linspace(-1, 1, 20, dtype=x.dtype)

    def operator(x: Tensor) -> Tensor:
        _, *kept = blockwise._losses_operator(x, *rest, False)
        found: Tensor = blockwise._gradients_operator(upstream, *kept, x, *rest)[0]
        return found.sin().sum()

    def formula(x: Tensor) -> Tensor:
        losses = partial(supcon_loss, temperature=0.3, normalize=False, reduction="none")
        found: Tensor = grad(lambda x: losses(x, y, block_size=0) @ upstream)(x)
        return found.sin().sum()

    found, expected = (AROUND[name](each)(x) for each in (operator, formula))
    assert relative(found, expected.numpy()) < 1e-9
