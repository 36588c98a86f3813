"""What only the PyTorch backend has: modules, compilation, no reading back, autocast."""

import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tuned_contrastive.backends.torch import SupConLoss, TCLLoss, supcon_loss, tcl_loss

LABELS = [0, 0, 1, 1, 2, 0, 1]
# torch 2.13 builds parts of its compiler with torch.jit, which it has deprecated itself.
own_deprecation = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="inductor needs a C++ compiler",
)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


def test_a_module_shows_its_numbers_and_names_its_tensors() -> None:
    module = TCLLoss(temperature=nn.Parameter(torch.tensor(0.2)), k2=torch.tensor(2.0))
    assert repr(module) == (
        "TCLLoss(temperature=Parameter, k1=5000.0, k2=Tensor, normalize=True, reduction='mean', "
        "block_size=None)"
    )


def test_a_module_keeps_parameters_and_buffers_but_no_numbers() -> None:
    module = TCLLoss(temperature=nn.Parameter(torch.tensor(0.2)), k2=torch.tensor(2.0))
    assert sorted(module.state_dict()) == ["k2", "temperature"]
    assert [name for name, _ in module.named_parameters()] == ["temperature"]


def test_a_loaded_state_decides_the_loss(rows: torch.Tensor) -> None:
    module = SupConLoss(temperature=nn.Parameter(torch.tensor(0.2)))
    module.load_state_dict({"temperature": torch.tensor(0.7)})
    torch.testing.assert_close(module(rows, LABELS), supcon_loss(rows, LABELS, temperature=0.7))


@pytest.mark.clause("GRD-6", "GRD-12")
def test_a_learnable_temperature_is_learnt(rows: torch.Tensor) -> None:
    module = SupConLoss(temperature=nn.Parameter(torch.tensor(0.7)))
    before = module(rows, LABELS)
    (2 * before).backward()
    torch.optim.SGD(module.parameters(), lr=1e-3).step()
    assert module(rows, LABELS) < before


@pytest.mark.clause("INP-16")
def test_a_module_refuses_a_range_at_construction() -> None:
    with pytest.raises(ValueError, match="temperature must be finite and > 0, got 0"):
        TCLLoss(temperature=0)


@pytest.mark.clause("INP-20")
def test_a_module_refuses_a_reduction_at_construction() -> None:
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
        SupConLoss(reduction="avg")


@pytest.mark.clause("GRD-12")
def test_a_single_parameter_serves_double_rows(rows: torch.Tensor) -> None:
    k1 = nn.Parameter(torch.tensor(3.0))
    loss = TCLLoss(k1=k1)(rows.double(), LABELS)
    (gradient,) = torch.autograd.grad(2 * loss, k1)
    expected = tcl_loss(rows.double(), LABELS, k1=3)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert gradient.dtype == torch.float32


@pytest.mark.clause("INP-5", "INP-7")
def test_64_bit_unsigned_labels_are_not_merged(rows: torch.Tensor) -> None:
    large = np.array([2**64 - 1 - label for label in LABELS], dtype=np.uint64)
    expected = tcl_loss(rows, LABELS)
    assert torch.equal(tcl_loss(rows, torch.from_numpy(large)), expected)
    assert torch.equal(tcl_loss(rows, large), expected)
    assert torch.equal(tcl_loss(rows, large.tolist()), expected)


@pytest.mark.clause("INP-6")
def test_numpy_labels_may_be_a_reversed_read_only_view(rows: torch.Tensor) -> None:
    labels = np.array(LABELS[::-1], dtype=np.int16)[::-1]
    labels.flags.writeable = False
    assert torch.equal(tcl_loss(rows, labels), tcl_loss(rows, LABELS))


@pytest.mark.clause("SUP-2")
def test_the_smallest_norm_is_not_rounded_to_float32() -> None:
    below = np.float32(1e-12)  # is 9.99999996e-13
    for length, is_zero in ((below, True), (np.nextafter(below, np.float32(1)), False)):
        x = torch.eye(4).index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(length))
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(supcon_loss(x, [0, 0, 1, 1], temperature=0.7), x)
        assert bool((gradient[0] == 0).all()) == is_zero


class _Counting:
    """A backend of torch.compile that runs the graph as it is and counts the graphs."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.mark.clause("NUM-16")
def test_one_graph_serves_every_size() -> None:
    torch.compiler.reset()
    backend = _Counting()
    compiled = torch.compile(tcl_loss, fullgraph=True, dynamic=True, backend=backend)
    sizes = (5, 7, 12)
    given = [(torch.ones(n, n - 2).tril(), torch.arange(n) % 3) for n in sizes]
    found = [compiled(rows, labels, temperature=0.2, k1=3) for rows, labels in given]
    expected = [tcl_loss(rows, labels, temperature=0.2, k1=3) for rows, labels in given]
    assert backend.graphs == 1
    torch.testing.assert_close(found, expected)


@pytest.mark.clause("NUM-16", "INP-6")
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_of_every_kind_compile(rows: torch.Tensor, kind: Any) -> None:
    torch.compiler.reset()
    compiled = torch.compile(tcl_loss, fullgraph=True, backend="eager")
    # Compiled, a sum goes through float64.
    torch.testing.assert_close(compiled(rows, kind(LABELS)), tcl_loss(rows, LABELS))


@needs_compiler
@own_deprecation
@pytest.mark.clause("NUM-16")
def test_compiled_gradients_are_those_of_the_plain_call(rows: torch.Tensor) -> None:
    torch.compiler.reset()
    inputs = [rows.requires_grad_(), *(torch.tensor(v, requires_grad=True) for v in (0.2, 0.0))]

    def function(x: torch.Tensor, T: torch.Tensor, k1: torch.Tensor) -> torch.Tensor:
        return tcl_loss(x, torch.tensor(LABELS), temperature=T, k1=k1)

    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    found = torch.autograd.grad(2 * compiled(*inputs), inputs)
    torch.testing.assert_close(found, torch.autograd.grad(2 * function(*inputs), inputs))


@needs_compiler
@own_deprecation
@pytest.mark.clause("NUM-12", "NUM-16")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_fast_arithmetic_of_the_compiler_hides_no_nan(rows: torch.Tensor, value: float) -> None:
    torch.compiler.reset()
    rows[4, 1] = value  # a row without a positive: with k2 = 0 in no term of the others
    compiled = torch.compile(tcl_loss, fullgraph=True)
    losses = compiled(rows, torch.tensor(LABELS), k2=0, normalize=False, reduction="none")
    assert losses.isnan().tolist() == [True, True, True, True, False, True, True]


@pytest.mark.clause("INP-23")
@pytest.mark.parametrize("loss", [supcon_loss, tcl_loss])
def test_nothing_is_read_back(loss: Any) -> None:
    with FakeTensorMode():  # raises where a value is asked for
        rows = torch.empty(3, 2, 5, requires_grad=True)
        temperature = torch.empty((), requires_grad=True)
        value = loss(rows, torch.empty(3, dtype=torch.int64), temperature=temperature)
        found = torch.autograd.grad(value, (rows, temperature))
    assert [tuple(gradient.shape) for gradient in found] == [(3, 2, 5), ()]


def test_the_import_loads_no_compiler() -> None:
    code = "import sys, tuned_contrastive.backends.torch; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.clause("SUP-11")
def test_the_meta_device_gives_the_shape() -> None:
    rows = torch.empty(3, 2, 5, device="meta")
    assert tcl_loss(rows, reduction="none").shape == (3, 2)


@pytest.mark.clause("NUM-3")
def test_autocast_changes_no_bit(rows: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tcl_loss(rows, LABELS)
    assert torch.equal(mixed, tcl_loss(rows, LABELS))
