"""The tiled form of the PyTorch backend: exact against the reference, and small."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuned_contrastive.backends.torch import TCLLoss, blockwise, dense, supcon_loss, tcl_loss
from tuned_contrastive.backends.torch import rows as cutting
from tuned_contrastive.backends.torch.rows import (
    sort_rows,
)
from tuned_contrastive.conformance.selftest.extremes import EXTREMES, exact
from tuned_contrastive.conformance.selftest.torch_samples import N, labels, relative, rows
from tuned_contrastive.reference import supcon_gradients, tcl_gradients

CLASSES = {"one class": 1, "some": 7, "all different": N}


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


@pytest.mark.parametrize("temperature", [0.3, 0.001], ids=["plain", "shifted"])
@pytest.mark.parametrize(
    ("block_size", "most"),
    [(64, 2**30), (64, 2**20), (1000, 2**30)],
    ids=["all tiles", "some, in two pieces", "one tile"],
)
def test_kept_tiles_change_nothing_and_serve_twice(
    block_size: int, most: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "KEPT_BYTES", most)
    z, order = torch.nn.functional.normalize(rows()), sort_rows(labels(7), torch.float64)
    rest: Any = (None, None, None, [temperature, 3.0, 0.5], True, block_size)
    forward: Any = blockwise._losses
    backward: Any = blockwise._gradients
    _, sums, *kept = forward(z, *order, *rest, True)
    upstream = torch.linspace(-1, 2, N, dtype=torch.float64)
    first, again = (backward(upstream, sums, *kept, z, *order, *rest) for _ in range(2))
    _, _, *nothing = forward(z, *order, *rest, False)
    without = backward(upstream, sums, *nothing, z, *order, *rest)
    for piece in kept:
        other = [torch.full_like(each, math.nan) if each is piece else each for each in kept]
        changed = backward(upstream, sums, *other, z, *order, *rest)[0]
        assert changed.isnan().any() == (piece is kept[0] or most == 2**20)
    assert not any(map(len, nothing))
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


@pytest.mark.parametrize("classes", [7, 37], ids=["masked", "small classes"])
def test_backward_under_autocast_stays_in_full_precision_by_tiles(classes: int) -> None:
    x, y = rows().float().requires_grad_(), labels(classes)
    T = torch.tensor(0.2, requires_grad=True)
    loss = partial(tcl_loss, x, y, temperature=T)
    plain = torch.autograd.grad(loss(), (x, T))
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(loss(), (x, T))
    assert all(map(torch.equal, found, plain))


@pytest.mark.parametrize(
    ("temperature", "normalize", "which"),
    [(0.1, True, 0), (0.001, True, 1), (2, True, 1), (0.1, False, 1), (torch.tensor(0.1), True, 1)],
    ids=["plain", "steep", "flat", "not normalised", "tensor"],
)
def test_the_form_is_chosen_by_the_number_of_rows(
    temperature: Any, normalize: bool, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "anchor_losses", None)
    loss = partial(supcon_loss, temperature=temperature, normalize=normalize)
    x = rows(blockwise.THRESHOLD[which], 2)
    assert loss(x, labels(7, len(x))).isfinite()
    with pytest.raises(TypeError, match="NoneType"):
        loss(x[1:], labels(7, len(x) - 1))


@pytest.mark.clause("GRD-4", "GRD-6")
@pytest.mark.parametrize("k1", [0.0, 3.0], ids=["SupCon", "TCL"])
@pytest.mark.parametrize("spread", [0.1, 1e-3])
def test_gradient_is_as_sharp_where_classes_have_collapsed(spread: float, k1: float) -> None:
    """What positives get and what they give cancels to 1e-3 of either, in each pair alike."""
    rng, y = np.random.default_rng(0), np.arange(1200) % 10
    x = rng.normal(size=(10, 32))[y] + spread * rng.normal(size=(1200, 32))
    z = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    (found,) = torch.autograd.grad(tcl_loss(z, y, k1=k1, block_size=512), z)
    exact = tcl_gradients(z.detach().double().numpy(), y, k1=k1).embeddings
    assert relative(found.double(), exact) < 5e-5


def test_rows_may_be_elsewhere_than_new_tensors_by_default() -> None:
    x, y = rows().requires_grad_(), labels(40)
    with torch.device("meta"):
        (found,) = torch.autograd.grad(tcl_loss(x, y), x)
    assert torch.equal(found, torch.autograd.grad(tcl_loss(x, y), x)[0])


def test_learnable_parameters_in_range_take_no_maximum_where_they_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dense, "_temperature_sums", None)
    k1, k2 = (torch.tensor(value, requires_grad=True) for value in (3.0, 0.5))
    loss = partial(tcl_loss, rows(9), labels(3, 9), k1=k1, k2=k2, block_size=0)
    assert loss(temperature=torch.tensor(0.1)).isfinite()
    with pytest.raises(TypeError, match="NoneType"):
        loss(temperature=torch.tensor(0.001))
    vmap: Any = torch.vmap
    with pytest.raises(TypeError, match="NoneType"):
        vmap(lambda T: loss(temperature=T))(torch.tensor([0.1, 0.1]))


@pytest.mark.clause("NUM-13")
@pytest.mark.parametrize("classes", [7, 37], ids=["masked", "small classes"])
def test_same_bits_twice(classes: int) -> None:
    x, y = rows().float().requires_grad_(), labels(classes)
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


@pytest.mark.clause("GRD-6", "GRD-9", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.parametrize("name", EXTREMES)
def test_gradient_in_the_temperature_at_the_edge_of_the_range(
    name: str, block_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_read", lambda value: value)  # as on a GPU
    x, y, *values, normalize, upstream = EXTREMES[name]
    T, k1, k2 = (torch.tensor(v, dtype=torch.float32, requires_grad=True) for v in values)
    given: dict[str, Any] = {"temperature": T, "k1": k1, "k2": k2, "block_size": block_size}
    given |= {"normalize": normalize, "reduction": "sum"}
    loss = tcl_loss(torch.tensor(x).float(), torch.tensor(y), **given)
    (slope,) = torch.autograd.grad(loss, T, torch.tensor(upstream))
    np.testing.assert_allclose([loss.item(), slope.item()], exact(name), rtol=1e-4)


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


@pytest.mark.clause("GRD-6", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.parametrize(
    ("T", "upstream"), [(1e18, 1.0), (1e20, 1e3), (1e30, 1e24), (1e-19, 1.0), (1e-30, 1e-22)]
)
def test_gradient_in_a_temperature_very_far_from_1(
    T: float, upstream: float, block_size: int
) -> None:
    x, classes = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), [0, 0, 0, 1, 1, 2]
    temperature = torch.tensor(T, requires_grad=True)
    loss = supcon_loss(torch.tensor(x), classes, temperature=temperature, block_size=block_size)
    (found,) = torch.autograd.grad(loss, temperature, torch.tensor(upstream))
    exact = supcon_gradients(x, classes, temperature=T, upstream=upstream).temperature
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.clause("GRD-6", "NUM-11")
def test_gradient_in_a_temperature_where_that_times_the_temperature_leaves_the_range() -> None:
    x = (np.random.default_rng(0).normal(size=(6, 3)) * 3e8).astype("float32")
    given: dict[str, Any] = {"labels": [0, 0, 0, 1, 1, 2], "normalize": False}
    temperature = torch.tensor(1e10, requires_grad=True)
    loss = supcon_loss(torch.tensor(x), temperature=temperature, block_size=4, **given)
    (found,) = torch.autograd.grad(loss, temperature, torch.tensor(1e33))
    exact = supcon_gradients(x, temperature=1e10, upstream=1e33, **given).temperature
    np.testing.assert_allclose(found, exact, rtol=1e-4)
