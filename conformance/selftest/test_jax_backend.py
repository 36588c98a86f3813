"""What only the JAX backend has: transforms, strict modes, 32 bits, precision, no reading back."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tuned_contrastive.backends.jax import losses, supcon_loss, tcl_loss
from tuned_contrastive.conformance.__main__ import main
from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.protocol import AnswerError, Case, Float64
from tuned_contrastive.reference import supcon_gradients, tcl_gradients
from tuned_contrastive.reference import tcl_loss as exact_tcl_loss
from tuned_contrastive.reference.oracle import hessian_vector_product
from tuned_contrastive.spec import contract

LABELS = [0, 0, 1, 1, 2, 0, 1]
NAMES = ("embeddings", "temperature", "k1", "k2")
AT_ZERO: dict[str, Any] = {"temperature": 0.5, "k1": 0.0, "k2": 0.0}
PLAIN: dict[str, Any] = {"temperature": 0.5, "k1": 3.0, "k2": 0.25}


@pytest.fixture
def rows() -> Float64:
    found: Float64 = np.random.default_rng(0).integers(-16, 17, (7, 5)) / 8
    found[3] = 0
    return found


@pytest.fixture
def strict() -> Any:
    """Let JAX refuse implicit promotions, and every NaN that a compiled piece gives."""
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.debug_nans(True),
    ):
        yield


@pytest.mark.clause("SUP-2")
def test_the_smallest_norm_is_not_rounded_to_float32() -> None:
    below = np.float32(1e-12)  # is 9.99999996e-13
    for length, is_zero in ((below, True), (np.nextafter(below, np.float32(1)), False)):
        x = jnp.eye(4).at[0, 0].set(length)
        gradient = jax.grad(lambda x: supcon_loss(x, [0, 0, 1, 1], temperature=0.7))(x)
        assert bool((gradient[0] == 0).all()) == is_zero


@pytest.mark.clause("SUP-2")
def test_no_infinity_that_arrives_gets_past_a_zero_row() -> None:
    """Where rows are close and the temperature low, the gradient of a row may leave the range."""
    x = jnp.eye(3).at[0, 0].set(0)
    z, pull = jax.vjp(losses._unit_rows, x)
    assert (pull(jnp.full_like(z, jnp.inf))[0][0] == 0).all()


def doubled(x: Any, temperature: Any, k1: Any, k2: Any) -> Any:
    """Return twice the loss, for an upstream gradient of 2."""
    return 2 * tcl_loss(x, LABELS, temperature=temperature, k1=k1, k2=k2)


def arrays(x: Float64, scalars: dict[str, Any]) -> tuple[Any, ...]:
    """Return rows and scalars as jax arrays in float32."""
    return tuple(jnp.asarray(value, "float32") for value in (x, *scalars.values()))


gradient = jax.grad(doubled, argnums=(0, 1, 2, 3))


@pytest.mark.clause("GRD-9", "GRD-12", "SUP-2")
@pytest.mark.parametrize("compile", [lambda function: function, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("scalars", [PLAIN, AT_ZERO], ids=["plain", "zero"])
@pytest.mark.usefixtures("strict")
def test_strict_modes_find_nothing(rows: Float64, scalars: dict[str, Any], compile: Any) -> None:
    found = compile(gradient)(*arrays(rows, scalars))
    exact = tcl_gradients(rows, LABELS, upstream=2, **scalars)
    for_each = [getattr(exact, name) for name in NAMES]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), list(found), for_each)


@pytest.mark.clause("GRD-9", "SUP-2")
@pytest.mark.usefixtures("strict")
def test_no_operation_gives_a_nan(rows: Float64) -> None:
    given = arrays(rows, AT_ZERO)
    with jax.disable_jit():  # every operation is looked at, not only what a piece returns
        found = jax.jvp(doubled, given, given)[1]
    exact = tcl_gradients(rows, LABELS, upstream=2, **AT_ZERO)
    np.testing.assert_allclose(found, exact.temperature * AT_ZERO["temperature"], rtol=1e-5)


@pytest.mark.clause("SUP-9", "INP-3")
@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.usefixtures("strict")
def test_strict_modes_find_nothing_without_an_anchor(rows: Float64, n: int) -> None:
    x = jnp.asarray(rows[:n], "float32")
    loss, found = jax.value_and_grad(lambda x: 2 * tcl_loss(x, list(range(n))))(x)
    assert loss == 0
    assert not found.any()


@pytest.mark.clause("NUM-16", "GRD-12")
def test_one_compilation_serves_all_scalars(
    rows: Float64, caplog: pytest.LogCaptureFixture
) -> None:
    compiled = jax.jit(gradient)
    compiled(*arrays(rows, PLAIN))
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        compiled(*arrays(rows, AT_ZERO))
    assert not caplog.records


def test_another_number_compiles_nothing(rows: Float64, caplog: pytest.LogCaptureFixture) -> None:
    x = jnp.asarray(rows, "float32")
    tcl_loss(x, LABELS, **PLAIN)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        tcl_loss(x, LABELS, temperature=0.25, k1=7, k2=2)
    assert not caplog.records


@pytest.mark.clause("GRD-14")
def test_a_map_of_the_compiled_loss(rows: Float64) -> None:
    batch = np.stack([rows, rows[::-1], 3 * rows + 1])
    compiled = jax.jit(tcl_loss, static_argnames=("normalize", "reduction"))
    found = jax.vmap(lambda x, k1: compiled(x, jnp.asarray(LABELS), k1=k1))(
        jnp.asarray(batch, "float32"), jnp.asarray([0.0, 1.0, 5000.0])
    )
    exact = [exact_tcl_loss(x, LABELS, k1=k1) for x, k1 in zip(batch, (0, 1, 5000), strict=True)]
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.clause("GRD-13")
@pytest.mark.usefixtures("strict")
def test_compiled_hessian_with_a_zero_row_and_weights_of_zero(rows: Float64) -> None:
    few, labels = rows[:5], LABELS[:5]

    def function(x: Any, k1: Any, k2: Any) -> Any:
        return tcl_loss(x, labels, temperature=0.5, k1=k1, k2=k2)

    with jax.enable_x64(True):
        given = jnp.asarray(few), jnp.asarray(0.0), jnp.asarray(0.0)
        found = jax.jit(jax.hessian(function, argnums=(0, 1, 2)))(*given)[2]
    direction = {"embeddings": 0 * few, "temperature": 0.0, "k1": 0.0, "k2": 1.0}
    exact = hessian_vector_product("tcl", few, labels, direction=direction, **AT_ZERO)
    np.testing.assert_allclose(found[0], exact["embeddings"], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found[1], float(exact["k1"]), rtol=1e-10)
    np.testing.assert_allclose(found[2], float(exact["k2"]), rtol=1e-10)


@pytest.mark.clause("GRD-13", "GRD-14")
@pytest.mark.parametrize("block_size", [0, 4])
@pytest.mark.usefixtures("strict")
def test_transforms_of_all_pairs_with_numbers_for_parameters(
    rows: Float64, block_size: int
) -> None:
    along = np.cos(np.arange(rows.size).reshape(rows.shape))
    slope = jax.grad(lambda x: 2 * tcl_loss(x, LABELS, **PLAIN, block_size=block_size))
    with jax.enable_x64(True):
        x, tangent = jnp.asarray(rows)[None], jnp.asarray(along)[None]
        product = jax.vmap(lambda x, tangent: jax.jvp(slope, (x,), (tangent,)))
        gradient, found = jax.jit(product)(x, tangent)
    direction = {"embeddings": along, "temperature": 0.0, "k1": 0.0, "k2": 0.0}
    exact = hessian_vector_product("tcl", rows, LABELS, direction=direction, **PLAIN)
    first = tcl_gradients(rows, LABELS, upstream=2, **PLAIN).embeddings
    np.testing.assert_allclose(gradient[0], first, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[0], 2 * exact["embeddings"], rtol=1e-10, atol=1e-12)


@pytest.mark.clause("NUM-7", "NUM-16")
@pytest.mark.parametrize("size", [1e37, 1e-11, 1e-30])
def test_rows_that_are_constants_of_a_compilation(rows: Float64, size: float) -> None:
    x = np.asarray(rows * np.where(np.arange(7) == 2, size, 1)[:, None], "float32")
    found = jax.jit(jax.grad(lambda T: 2 * supcon_loss(x, LABELS, temperature=T)))(0.5)
    exact = supcon_gradients(x, LABELS, temperature=0.5, upstream=2)
    np.testing.assert_allclose(found, exact.temperature, rtol=1e-5)


@pytest.mark.clause("NUM-7", "SUP-2")
@pytest.mark.parametrize("size", [0, 1e-30, 1e20, 1e37])
def test_derivatives_in_rows_that_are_constants_of_a_compilation(size: float) -> None:
    x = jnp.asarray([[size, size], [1, 2], [3, 1]], "float32")
    loss, slope = jax.jit(lambda: jax.value_and_grad(supcon_loss)(2 * x, LABELS[:3]))()
    exact = supcon_gradients(2 * np.asarray(x), LABELS[:3])
    np.testing.assert_allclose(loss, exact.loss, rtol=1e-6)
    np.testing.assert_allclose(slope, exact.embeddings, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1e-60, 1e60])
def test_temperature_beyond_the_range_of_float32(temperature: float) -> None:
    found = supcon_loss(jnp.eye(5, dtype="float32"), LABELS[:5], temperature=temperature)
    exact = supcon_gradients(np.eye(5), LABELS[:5], temperature=temperature)
    np.testing.assert_allclose(found, exact.loss, rtol=1e-6)


@pytest.mark.clause("INP-3")
@pytest.mark.parametrize("kind", [">f4", "=f4", ">f2"])
def test_rows_may_be_a_numpy_array_of_either_byte_order(rows: Float64, kind: str) -> None:
    found = tcl_loss(rows.astype(kind), LABELS)
    np.testing.assert_allclose(found, exact_tcl_loss(rows, LABELS), rtol=1e-6)


@pytest.mark.clause("GRD-6", "GRD-12")
def test_a_learnable_temperature_is_learnt(rows: Float64) -> None:
    x, optimizer = jnp.asarray(rows, "float32"), optax.sgd(1e-3)
    parameters = {"temperature": jnp.asarray(0.7, "float32")}

    def function(parameters: dict[str, Any]) -> Any:
        return 2 * supcon_loss(x, LABELS, **parameters)

    before, slope = jax.value_and_grad(function)(parameters)
    updates, _ = optimizer.update(slope, optimizer.init(parameters))
    assert function(optax.apply_updates(parameters, updates)) < before


@pytest.mark.clause("INP-23")
@pytest.mark.parametrize("loss", [supcon_loss, tcl_loss])
def test_nothing_is_read_back(loss: Any) -> None:
    def function(x: Any, labels: Any, temperature: Any) -> Any:
        return 2 * loss(x, labels, temperature=temperature)

    shapes = (((3, 2, 5), "float16"), ((3,), "int32"), ((), "float32"))
    given = [jax.ShapeDtypeStruct(*shape) for shape in shapes]  # type: ignore[no-untyped-call]
    found = jax.eval_shape(jax.grad(function, argnums=(0, 2)), *given)
    assert [(value.shape, value.dtype) for value in found] == [shapes[0], shapes[2]]


@pytest.mark.clause("INP-23")
def test_a_compiled_call_transfers_nothing(rows: Float64) -> None:
    compiled = jax.jit(jax.grad(lambda x, labels, T: 2 * tcl_loss(x, labels, temperature=T)))
    given = jnp.asarray(rows, "float32"), jnp.asarray(LABELS), jnp.asarray(0.5, "float32")
    with jax.transfer_guard("disallow"):
        found = compiled(*given)
    exact = tcl_gradients(rows, LABELS, temperature=0.5, upstream=2).embeddings
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def precisions(x: Any, **given: Any) -> set[str]:
    """Return what the matrix products of a gradient ask for."""
    program = jax.make_jaxpr(jax.grad(lambda x: 2 * tcl_loss(x, LABELS, **given)))(x)
    products = re.findall(r"dot_general\[(.*?)\n\s*\]", str(program), re.DOTALL)
    return {"".join(re.findall(r"precision=(.*)", product)) for product in products}


@pytest.mark.clause("NUM-18")
def test_products_ask_for_the_highest_precision(rows: Float64) -> None:
    highest = "(Precision.HIGHEST, Precision.HIGHEST)"
    assert precisions(jnp.asarray(rows, "float32")) == {highest}


@pytest.mark.clause("NUM-18")
@pytest.mark.parametrize(
    ("precision", "asked"),
    [(None, ""), ("high", "(Precision.HIGH, Precision.HIGH)")],
)
def test_products_ask_for_the_precision_of_the_caller(
    rows: Float64, precision: Any, asked: str
) -> None:
    with jax.default_matmul_precision(None):
        assert precisions(jnp.asarray(rows, "float32"), precision=precision) == {asked}


def test_a_precision_that_cannot_be_one_is_refused(rows: Float64) -> None:
    told = r"^precision must be what jax\.numpy\.matmul takes, got list$"
    with pytest.raises(TypeError, match=told):
        tcl_loss(jnp.asarray(rows, "float32"), LABELS, precision=["high"])


@pytest.mark.clause("INP-15", "INP-17", "NUM-16")
@pytest.mark.parametrize("x64", [False, True])
def test_whole_numbers_may_be_traced(rows: Float64, x64: bool) -> None:
    compiled = jax.jit(tcl_loss, static_argnames=("normalize", "reduction"))
    whole: dict[str, Any] = {"temperature": 1, "k1": 5000, "k2": 2}
    with jax.enable_x64(x64):
        x, labels = jnp.asarray(rows, "float32"), jnp.asarray(LABELS)
        found, plain = compiled(x, labels, **whole), tcl_loss(x, labels, **whole)
        with pytest.raises(TypeError, match=r"^k1 must be a real number or a .*, got int32\b"):
            compiled(x, labels, k1=jnp.asarray(5000, "int32"))
    assert found.dtype == plain.dtype == "float32"
    np.testing.assert_allclose(found, plain, rtol=1e-6)


@pytest.mark.clause("INP-2", "INP-12", "INP-13")
def test_a_traced_whole_number_is_no_array_of_rows_or_labels(rows: Float64) -> None:
    compiled = jax.jit(supcon_loss)
    with pytest.raises(TypeError, match=r"^embeddings must be an array of .*, got int"):
        compiled(1, jnp.asarray(LABELS))
    with pytest.raises(ValueError, match=r"^labels must have shape \(7,\), got \(\)"):
        compiled(jnp.asarray(rows, "float32"), 1)


TOO_WIDE = r"^labels must fit 32 bits unless jax_enable_x64 is set, got -1 to 4294967295$"


@pytest.mark.clause("INP-28")
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_labels_beyond_32_bits_are_refused(rows: Float64, kind: Any) -> None:
    labels = kind([2**32 - 1, 0, -1, 0, 1, 2, 3])  # cut to 32 bits, the first and third are equal
    x = jnp.asarray(rows, "float32")
    with jax.enable_x64(False), pytest.raises(ValueError, match=TOO_WIDE):
        tcl_loss(x, labels)


@pytest.mark.clause("INP-28")
@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_labels_just_beyond_32_bits_are_refused(rows: Float64, kind: str) -> None:
    labels, x = np.array([2**32, 0, 0, 0, 1, 2, 3], kind), jnp.asarray(rows, "float32")
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"got 0 to 4294967296$"):
        tcl_loss(x, labels)


@pytest.mark.clause("INP-28", "INP-22")
def test_labels_beyond_32_bits_are_told_before_the_temperature(rows: Float64) -> None:
    x = jnp.asarray(rows, "float32")
    with jax.enable_x64(False), pytest.raises(ValueError, match="labels must fit 32 bits"):
        tcl_loss(x, [2**40] * 7, temperature=0)


@pytest.mark.clause("INP-5", "INP-7")
@pytest.mark.parametrize("names", [(2**32 - 1, 2**31 - 1, 0), (-(2**31), 2**31 - 1, -1)])
@pytest.mark.parametrize("kind", [list, np.array])
def test_labels_of_32_bits_are_kept_apart(rows: Float64, names: tuple[int, ...], kind: Any) -> None:
    with jax.enable_x64(False):
        found = tcl_loss(jnp.asarray(rows, "float32"), kind([names[label] for label in LABELS]))
    np.testing.assert_allclose(found, exact_tcl_loss(rows, LABELS), rtol=1e-6)


@pytest.mark.clause("INP-5", "INP-6", "INP-28")
@pytest.mark.parametrize("kind", ["bool", *contract.INTEGERS, ">i8"])
def test_numpy_labels_of_every_width_without_64_bits(rows: Float64, kind: str) -> None:
    labels, x = np.array(LABELS).astype(kind), jnp.asarray(rows, "float32")
    with jax.enable_x64(False):
        found, listed = tcl_loss(x, labels), tcl_loss(x, labels.tolist())
    assert found == listed
    np.testing.assert_allclose(found, exact_tcl_loss(rows, labels), rtol=1e-6)


BARE = """
from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.jit, static_argnames="reduction")
def supcon(embeddings, labels, *, temperature=0.1, reduction="mean"):
    largest = jnp.abs(embeddings).max(1, keepdims=True)
    y = embeddings / jnp.where(largest > 0, largest, 1)
    squares = (y * y).sum(1, keepdims=True)
    zero = largest * jnp.sqrt(squares) < 1e-12
    z = jnp.where(zero, 0, y) / jnp.sqrt(jnp.where(zero, 1, squares))
    s = z @ z.T / temperature
    itself = jnp.eye(len(z), dtype=bool)
    positives = (labels[:, None] == labels[None, :]) & ~itself
    count = positives.sum(1)
    t = jnp.where(itself, -jnp.inf, s)
    top = jnp.where(count > 0, t.max(1), 0)
    D = jnp.where(count > 0, jnp.exp(t - top[:, None]).sum(1), 1)
    mean = jnp.where(positives, s, 0).sum(1) / jnp.maximum(count, 1)
    losses = jnp.where(count > 0, jnp.log(D) + top - mean, 0)
    if reduction == "none":
        return losses
    return losses.sum() / (1 if reduction == "sum" else jnp.maximum((count > 0).sum(), 1))
"""


@pytest.fixture
def settings() -> Iterator[None]:
    """Put back what judging a bare function sets of the whole process."""
    names = ("jax_enable_x64", "jax_default_matmul_precision")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("loss", "status", "told"),
    [("top - mean", 0, "pass"), ("top + mean", 1, "fail")],
    ids=["right", "wrong sign"],
)
@pytest.mark.usefixtures("settings")
def test_a_bare_function_is_judged(tmp_path: Path, loss: str, status: int, told: str) -> None:
    file, written = tmp_path / "own.py", tmp_path / "result.json"
    file.write_text(BARE.replace("top - mean", loss), encoding="utf-8")
    options = ["--framework", "jax", "--losses", "supcon", "--assume", "normalizes"]
    options += ["--dtype", "float64", "--clause", "SUP-2", "--clause", "SUP-9"]
    assert main([f"{file}:supcon", "--json", str(written), *options]) == status
    document = json.loads(written.read_text(encoding="utf-8"))
    found = {clause["id"]: clause["status"] for clause in document["clauses"]}
    assert (found["SUP-9"], found["SUP-2"]) == ("pass", told)
    assert "float32 products at precision highest" in document["results"][0]["notes"]


@pytest.mark.usefixtures("settings")
def test_a_value_that_is_no_tensor_is_told_as_such() -> None:
    subject = bare_implementation(
        lambda embeddings, labels: None,
        name="mine",
        framework="jax",
        loss="supcon",
        assume="normalizes",
    )
    case = Case("supcon", np.eye(2), np.array([0, 0]))
    for call in (subject.loss, lambda case: subject.gradients(case, np.array(1.0))):
        with pytest.raises(
            AnswerError, match=r"mine must return a jax\.Array or a number, got None"
        ):
            call(case)


PROGRAM = """
import json
import jax
before = dict(jax.config.values)
from tuned_contrastive.backends.jax import supcon_loss
told = {"changed": [name for name, value in jax.config.values.items() if before[name] != value]}
import jax.numpy as jnp
import numpy as np
told["dtype"] = supcon_loss(np.eye(3), [0, 0, 1]).dtype.name
here, there = jax.devices()
labels = np.array([0, 0, 1])
try:
    supcon_loss(jax.device_put(jnp.eye(3), here), jax.device_put(labels, there))
except ValueError as error:
    told["elsewhere"] = str(error)
follows = supcon_loss(jax.device_put(jnp.eye(3), there), jnp.asarray(labels))
told["follows"] = follows.devices() == {there}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def fresh() -> dict[str, Any]:
    """Return what a fresh process with two devices tells of JAX as it comes."""
    words = [sys.executable, "-c", PROGRAM]
    two = "--xla_force_host_platform_device_count=2"
    jax_as_it_comes = {"XLA_FLAGS": two, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}
    environment = {**os.environ, **jax_as_it_comes}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_importing_changes_no_setting_of_jax(fresh: dict[str, Any]) -> None:
    assert fresh["changed"] == []


@pytest.mark.clause("NUM-1")
def test_numpy_rows_are_float32_as_everywhere_in_jax(fresh: dict[str, Any]) -> None:
    assert fresh["dtype"] == "float32"


@pytest.mark.clause("INP-14", "INP-21")
def test_labels_committed_to_another_device_are_refused(fresh: dict[str, Any]) -> None:
    assert fresh["elsewhere"] == "labels must be on the device of embeddings, cpu:0, got cpu:1"


@pytest.mark.clause("INP-14")
def test_labels_committed_to_no_device_follow_the_embeddings(fresh: dict[str, Any]) -> None:
    assert fresh["follows"]
