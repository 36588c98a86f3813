"""The tiled form of the JAX backend: exact at every block size, O(N D) memory, its choice."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tuned_contrastive.backends.jax import blockwise, dense, supcon_loss, tcl_loss
from tuned_contrastive.backends.jax.tiles import Plan
from tuned_contrastive.conformance.protocol import Float64
from tuned_contrastive.conformance.selftest.extremes import EXTREMES, exact
from tuned_contrastive.conformance.selftest.jax_samples import (
    LABELS,
    SCALARS,
    UPSTREAM,
    D,
    N,
    close,
    sample_rows,
    weighted,
)
from tuned_contrastive.conformance.selftest.xla_kernels import tile_kernels
from tuned_contrastive.reference import supcon_gradients, tcl_gradients
from tuned_contrastive.reference import tcl_loss as exact_tcl_loss

SIZES = [1, 8, 100]
"""One row, a remainder, and more than there are."""
AT_ZERO: dict[str, Any] = {"temperature": 0.01, "k1": 0.0, "k2": 0.0}
NAMES = ("embeddings", "temperature", "k1", "k2")


@pytest.fixture
def rows() -> Float64:
    return sample_rows()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("labels", list(LABELS))
def test_supcon_with_numbers(rows: Float64, labels: str, size: int) -> None:
    given: dict[str, Any] = {"temperature": 0.5, "reduction": "none"}
    loss, pull = jax.vjp(
        lambda x: supcon_loss(x, LABELS[labels], block_size=size, **given),
        jnp.asarray(rows, "float32"),
    )
    exact = supcon_gradients(rows, LABELS[labels], upstream=UPSTREAM, **given)
    close(loss, exact.loss)
    close(pull(jnp.asarray(UPSTREAM, "float32"))[0], exact.embeddings)


@pytest.mark.parametrize("normalize", [True, False], ids=["unit rows", "as they are"])
@pytest.mark.parametrize("scalars", [SCALARS, AT_ZERO], ids=["in range", "shifted"])
def test_learnable_scalars(rows: Float64, scalars: dict[str, Any], normalize: bool) -> None:
    labels = LABELS["uneven"]
    function = weighted(UPSTREAM, labels, 8, normalize=normalize)
    given = [jnp.asarray(value, "float32") for value in (rows, *scalars.values())]
    found = jax.jit(jax.grad(function, argnums=(0, 1, 2, 3)))(*given)
    fixed: dict[str, Any] = {"normalize": normalize, "reduction": "none", "upstream": UPSTREAM}
    exact = tcl_gradients(rows, labels, **scalars, **fixed)
    jax.tree.map(close, list(found), [getattr(exact, name) for name in NAMES])


@pytest.mark.parametrize("size", [4, None])
def test_half_precision_views_without_labels(rows: Float64, size: int | None) -> None:
    x = jnp.asarray(rows[:22].reshape(11, 2, D), "bfloat16")  # exact in it
    function = jax.value_and_grad(lambda x: 2 * tcl_loss(x, block_size=size, **SCALARS))
    loss, found = jax.jit(function)(x)
    exact = tcl_gradients(rows[:22].reshape(11, 2, D), upstream=2, **SCALARS)
    assert (loss.dtype, found.dtype) == ("float32", "bfloat16")
    close(loss, 2 * exact.loss)
    close(found, exact.embeddings, 1e-2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_never_hidden(rows: Float64, value: float) -> None:
    rows[20, 2] = value
    x = jnp.asarray(rows, "float32")
    assert np.isnan(tcl_loss(x, LABELS["uneven"], k2=0, normalize=False, block_size=4))


def test_rows_far_from_unit_norm(rows: Float64) -> None:
    x, labels = 30 * rows, LABELS["uneven"]
    given: dict[str, Any] = {"temperature": 0.1, "normalize": False}
    gradient = jax.jit(jax.grad(lambda x: 2 * tcl_loss(x, labels, block_size=5, **given)))
    found = gradient(jnp.asarray(x, "float32"))
    close(found, tcl_gradients(x, labels, upstream=2, **given).embeddings)


def test_the_same_bits_twice(rows: Float64) -> None:
    x = jnp.asarray(np.tile(rows, (40, 1)), "float32")
    function = jax.jit(jax.grad(lambda x: 2 * supcon_loss(x, np.arange(len(x)) % 9, block_size=64)))
    np.testing.assert_array_equal(function(x), function(x))


def test_strict_modes_find_nothing(rows: Float64) -> None:
    given = [jnp.asarray(value, "float32") for value in (rows, *AT_ZERO.values())]
    function = weighted(np.ones(N), LABELS["uneven"], 4)
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.debug_nans(True),
    ):
        found = jax.grad(function, argnums=(0, 1))(*given)
    exact = tcl_gradients(rows, LABELS["uneven"], reduction="sum", **AT_ZERO)
    close(found[1], exact.temperature)


def program(n: int) -> Any:
    """Return a compiled value and gradient."""
    y, x = jnp.arange(n) % 100, jax.ShapeDtypeStruct((n, 16), "float32")  # type: ignore[no-untyped-call]
    scalar = jax.ShapeDtypeStruct((), "float32")  # type: ignore[no-untyped-call]
    function = jax.value_and_grad(lambda x, k2: 2 * tcl_loss(x, y, k2=k2), argnums=(0, 1))
    return jax.jit(function).lower(x, scalar).compile()


def test_no_array_of_all_pairs_and_memory_that_grows_with_rows() -> None:
    small, large = program(2048), program(8192)
    assert not re.search(r"\[(\d+,)*8192,(\d+,)*8192[],]", large.as_text())
    sizes = [found.memory_analysis().temp_size_in_bytes for found in (small, large)]
    assert sizes[1] < 4.5 * sizes[0]
    assert sizes[1] < 8192**2


def test_all_pairs_of_learnable_parameters_are_kept_in_few_arrays() -> None:
    N = 512

    def loss(x: Any, T: Any, k1: Any, k2: Any) -> Any:
        return tcl_loss(x, jnp.arange(N) % 100, temperature=T, k1=k1, k2=k2, block_size=0)

    function = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))
    lowered: Any = function.lower(jnp.ones((N, 16), "float32"), *map(jnp.float32, (0.1, 5, 1)))
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 6 * 4 * N**2


@pytest.mark.parametrize(("temperature", "which"), [(0.1, 0), (0.01, 0), ("array", 1)])
def test_the_form_is_chosen_by_the_number_of_rows(
    temperature: Any, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "losses", None)
    T = jnp.float32(0.1) if temperature == "array" else temperature

    def traced(rows: int) -> Any:
        loss = partial(supcon_loss, labels=np.zeros(rows, int), temperature=T)
        return jax.eval_shape(loss, jnp.ones((rows, 2)))

    assert traced(blockwise.THRESHOLD[which]).shape == ()
    with pytest.raises(TypeError, match="NoneType"):
        traced(blockwise.THRESHOLD[which] - 1)


@pytest.mark.parametrize(
    ("temperature", "rows", "size"),
    [
        *[(T, 21, 11) for T in (0.1, 0.01, np.float32(0.1))],
        *[(0.1, 40, 20), (0.1, 41, 7), (0.1, 43, 8)],
        *[("array", 10, 10), ("array", 11, 6), ("array", 20, 10), ("array", 21, 7)],
    ],
)
def test_blocks_are_alike_and_small_where_rows_are_many(
    temperature: Any, rows: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fills up a block costs as much as rows do: a row too many would take twice the time."""
    sizes: list[int] = []

    def plan(size: int, *rest: Any) -> Plan:
        sizes.append(size)
        return Plan(size, *rest)

    monkeypatch.setattr(blockwise, "THRESHOLD", (0, 0))
    monkeypatch.setattr(blockwise, "BLOCK_SIZE", {"cpu": (20, 8)})
    monkeypatch.setattr(blockwise, "Plan", plan)
    T = jnp.float32(0.1) if temperature == "array" else temperature  # only a run can tell
    loss = partial(supcon_loss, labels=np.zeros(rows, int), temperature=T)
    jax.eval_shape(loss, jnp.ones((rows, 2)))
    assert sizes == [size]


@pytest.mark.parametrize(
    ("rows", "ways", "size"), [(8192, 1, 4096), (8192, 2, 2048), (4097, 2, 1366)]
)
def test_blocks_elsewhere_are_half_as_large_where_a_run_tells(
    rows: int, ways: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "_platform", lambda: "gpu")
    assert blockwise._block_size(rows, ways) == size


@pytest.mark.parametrize("device", [None, "cpu", jax.devices("cpu")[0]])
def test_the_platform_is_that_of_the_default_device(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu" if device is None else "gpu")
    with jax.default_device(device):
        assert blockwise._platform() == "cpu"


@pytest.mark.parametrize(("size", "error"), [(True, TypeError), (1.5, TypeError), (-1, ValueError)])
def test_a_wrong_block_size_is_refused(rows: Float64, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^block_size must be .*, got "):
        supcon_loss(jnp.asarray(rows), LABELS["one"], block_size=size)


def test_block_size_may_be_a_scalar_array_of_int(rows: Float64) -> None:
    sizes: list[Any] = [jnp.asarray(4), 4]
    found = [supcon_loss(rows, LABELS["several"], block_size=size) for size in sizes]
    assert found[0] == found[1]


def test_pads_weigh_nothing_beside_a_small_denominator() -> None:
    angles = 2 * np.pi / 3 * np.arange(3)
    x = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], 1), "float32")
    labels = np.zeros(3, int)
    found = jax.grad(lambda x: supcon_loss(x, labels, temperature=1e-3, block_size=2))(x)
    assert np.isfinite(np.asarray(found)).all()


@pytest.mark.clause("GRD-10", "NUM-11")
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("k1", [1.0, 5000.0])
@pytest.mark.parametrize(("T", "upstream"), [(1e30, 1e-9), (1e30, 1e10), (3e38, 1e-9)])
def test_gradient_at_a_huge_temperature(
    T: float, upstream: float, k1: float, block_size: int, learnable: bool
) -> None:
    x, labels = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], "float32"), np.array([0, 0, 1])

    def loss(x: Any, T: Any) -> Any:
        return upstream * tcl_loss(x, labels, temperature=T, k1=k1, block_size=block_size)

    found = jax.grad(loss)(jnp.asarray(x), jnp.float32(T) if learnable else T)
    exact = upstream * tcl_gradients(x, labels, temperature=T, k1=k1).embeddings
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-7 * upstream)


@pytest.mark.clause("GRD-6", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
def test_gradient_in_a_temperature_very_far_from_1(block_size: int) -> None:
    x, labels = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), [0, 0, 0, 1, 1, 2]

    def loss(T: Any, upstream: Any) -> Any:
        return upstream * supcon_loss(x, labels, temperature=T, block_size=block_size)

    gradient = jax.jit(jax.grad(loss))
    for T, upstream in [(1e18, 1.0), (1e20, 1e3), (1e30, 1e24), (1e-19, 1.0), (1e-30, 1e-22)]:
        found = gradient(jnp.float32(T), jnp.float32(upstream))
        exact = supcon_gradients(x.astype("float64"), labels, temperature=T, upstream=upstream)
        np.testing.assert_allclose(found, exact.temperature, rtol=1e-4, err_msg=f"T = {T}")


@pytest.mark.clause("NUM-16")
@pytest.mark.parametrize("block_size", [0, 4])
def test_the_largest_exponent_is_0_for_every_temperature(block_size: int) -> None:
    """A product that is rounded once beside one that is rounded twice leaves 1e-7/T of it."""
    x, labels = np.random.default_rng(0).normal(size=(24, 8)).astype("float32"), np.arange(24) % 4
    compiled = jax.jit(partial(tcl_loss, x, labels, block_size=block_size))
    for T in (1e-4, 1e-20, 1e-30, 1e-37):
        given: dict[str, Any] = {"temperature": T, "k1": 1000.0, "k2": 1.0}
        found = compiled(**{name: jnp.float32(value) for name, value in given.items()})
        np.testing.assert_allclose(found, exact_tcl_loss(x, labels, **given), rtol=1e-5)


@pytest.mark.clause("GRD-6", "GRD-9", "NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
def test_gradient_in_the_temperature_at_the_edge_of_the_range(block_size: int) -> None:
    @partial(jax.jit, static_argnums=4)
    def value_and_slope(x: Any, y: Any, upstream: Any, scalars: Any, normalize: bool) -> Any:
        given: dict[str, Any] = {"normalize": normalize, "reduction": "sum"}
        loss = partial(tcl_loss, x, y, block_size=block_size, **given)
        found, pull = jax.vjp(lambda scalars: loss(**scalars), scalars)
        return found, pull(upstream)[0]["temperature"]

    for name, (x, labels, *values, normalize, upstream) in EXTREMES.items():
        scalars = dict(zip(("temperature", "k1", "k2"), map(jnp.float32, values), strict=True))
        given = jnp.asarray(x, "float32"), jnp.asarray(labels), jnp.float32(upstream), scalars
        found = value_and_slope(*given, normalize)
        np.testing.assert_allclose(found, exact(name), rtol=1e-4, err_msg=name)


@pytest.mark.clause("GRD-6", "NUM-11")
def test_gradient_in_a_temperature_where_that_times_the_temperature_leaves_the_range() -> None:
    x = (np.random.default_rng(0).normal(size=(6, 3)) * 3e8).astype("float32")
    given: dict[str, Any] = {"labels": [0, 0, 0, 1, 1, 2], "normalize": False}
    found = jax.grad(lambda T: 1e33 * supcon_loss(x, temperature=T, block_size=4, **given))(1e10)
    exact = supcon_gradients(x, temperature=1e10, upstream=1e33, **given).temperature
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.parametrize("block_size", [0, 2])
def test_gradients_in_weights_neither_overflow_nor_vanish(block_size: int) -> None:
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 1e-3], [0.6, 0.8], [0.8, 0.6]], "float32")
    y, upstream = np.array([0, 0, 1, 2, 2]), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    loss = partial(tcl_loss, jnp.asarray(x), y, block_size=block_size, **given)
    (found,) = jax.vjp(lambda k2: loss(k2=k2), jnp.float32(0))[1](jnp.asarray(upstream, "float32"))
    exact = tcl_gradients(x.astype("float64"), y, k2=0.0, upstream=upstream, **given).k2
    assert exact is not None
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.parametrize("block_size", [0, 2])
@pytest.mark.parametrize("upstream", [[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 3.0, 3.0, 3.0]])
def test_many_near_negatives_whose_weight_is_0(upstream: list[float], block_size: int) -> None:
    """Of anchor 0 the sum over N(i) is 3 e^200, which no root of it leaves in range."""
    x = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    given: dict[str, Any] = {"temperature": 0.005, "k1": 0.0, "reduction": "none"}
    y = np.array([0, 0, 1, 2, 3])
    losses, pull = jax.vjp(
        lambda x, k2: tcl_loss(x, y, k2=k2, block_size=block_size, **given), x, jnp.float32(0)
    )
    assert losses.tolist() == [0.0] * 5
    dz, dk2 = pull(jnp.array(upstream))
    assert np.isfinite(dz).all()
    assert dk2 == upstream[0] * np.inf


EXTREME = [(0.002, 0.0, 1e6), (1e6, 2.0, 1e37), (1e39, 2.0, 1.0)]
"""T, k2 and upstream: what they are multiplied and divided by must not meet in the wrong order."""


@pytest.mark.clause("NUM-11")
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.parametrize(("T", "k2", "upstream"), EXTREME)
def test_gradient_where_a_part_of_it_leaves_the_range(
    T: float, k2: float, upstream: float, block_size: int
) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((23, 5)), rng.integers(0, 4, 23)
    fixed: dict[str, Any] = {"temperature": T, "k1": 3.0, "k2": k2}
    exact = tcl_gradients(x, labels, **fixed, upstream=upstream).embeddings
    rows = jnp.asarray(x, "float32")
    fixed["k2"] = jnp.float32(k2)
    _, pull = jax.vjp(lambda x: tcl_loss(x, labels, **fixed, block_size=block_size), rows)
    close(pull(jnp.float32(upstream))[0] / upstream, exact / upstream, rtol=1e-3)


def test_no_kernel_of_a_tile_takes_its_blocks_itself() -> None:
    """XLA does not vectorize such a one where it makes a mask: it was a fifth of TCL's time."""
    x, y = jnp.ones((320, 8), "float32"), jnp.arange(320) % 7
    loss = partial(tcl_loss, labels=y, temperature=0.1, k2=0.5, block_size=32)
    program = jax.jit(jax.value_and_grad(loss)).lower(x).compile()
    kernels = tile_kernels(program.as_text() or "", 32)
    assert [kernel for kernel in kernels if "compare(" in kernel and "exponential(" in kernel]
    assert not [kernel for kernel in kernels if "dynamic-slice(" in kernel]
