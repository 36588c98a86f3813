"""The JAX backend as an implementation: called plainly and under `jax.jit`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tuned_contrastive.backends.jax import supcon_loss, tcl_loss
from tuned_contrastive.conformance.adapters import intact, native
from tuned_contrastive.conformance.performance import large_case
from tuned_contrastive.conformance.protocol import (
    FEATURES,
    TILES,
    Capabilities,
    Case,
    Float64,
    Outcome,
)
from tuned_contrastive.spec import contract

LOSSES: dict[str, Callable[..., Array]] = {"supcon": supcon_loss, "tcl": tcl_loss}
STATIC = ("normalize", "reduction")
JITTED = {name: jax.jit(loss, static_argnames=STATIC) for name, loss in LOSSES.items()}
SCALARS = {
    "supcon": {"temperature": contract.TEMPERATURE},
    "tcl": {"temperature": contract.TEMPERATURE, "k1": contract.K1, "k2": contract.K2},
}
Arguments = dict[str, Any]
Variables = dict[str, Array]


class Jax:
    """`tuned_contrastive.backends.jax` on one device, called as a user calls it."""

    name = "jax"
    capabilities = Capabilities(
        dtypes=("float64", "float32", "bfloat16", "float16"),
        modes=("eager", "jit", *TILES),
        errors="text",
        features=frozenset(FEATURES) - {"mixed-precision", "keras"},
    )
    transforms = ("vmap", "jvp", "grad", "hessian")

    def __init__(self, device: str = "cpu") -> None:
        # Both are of the process: float64 needs the one, INP-14 a second device.
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        _ask_for_two_cpus()
        platform, _, index = device.partition(":")
        self.device = jax.devices(platform)[int(index or 0)]  # raises where there is none
        others = [place for place in jax.devices("cpu") if place != self.device]
        self.other = others[0] if others else None
        if self.other is None:
            reason = "JAX gave the CPU one device only: it was in use already, or is older than 0.5"
            self.capabilities = replace(self.capabilities, not_run={"devices": reason})
        self.notes = (
            f"on {self.device}, with jax_enable_x64, which float64 and int64 need",
            "products ask for the highest precision",
        )

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        arguments = self._arguments(case)
        return _checked(_outcome(_loss(case, arguments)), case, arguments)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradients."""
        arguments = self._arguments(case)
        loss, pull = jax.vjp(_of_variables(case, arguments), _variables(arguments))
        (found,) = pull(self._put(upstream, loss.dtype))
        return _checked(_outcome(loss, found), case, arguments)

    def hessian_vector_product(self, case: Case, direction: Mapping[str, Float64]) -> Outcome:
        """Return H v of the reduced loss, by differentiating twice backwards."""
        arguments = self._arguments(replace(case, learnable=True))
        function, variables = _of_variables(case, arguments), _variables(arguments)
        along = {name: self._put(direction[name], "float64") for name in variables}
        return _outcome(function(variables), _twice_backwards(function, variables, along))

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call with arguments made from portable descriptions."""
        given = {name: native(value, self._ones) for name, value in arguments.items()}
        return LOSSES[loss](**given)

    def call_in_32_bits(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call as JAX comes, without jax_enable_x64."""
        with jax.enable_x64(False):
            return self.call(loss, arguments)

    def product_precisions(self, case: Case, precision: str | None) -> frozenset[str]:
        """Return the precisions that the products of the loss and its gradient ask for."""
        chosen = {} if precision is None else {"precision": precision}
        arguments = {**self._arguments(case), **chosen}
        gradient = jax.jit(jax.grad(_of_variables(case, arguments)))
        program = gradient.lower(_variables(arguments)).as_text()
        products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
        asked = (re.findall(r"precision = \[(\w+), (\w+)\]", line) for line in products)
        return frozenset(word.lower() for pairs in asked for pair in pairs for word in pair)

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as a jax array, a NumPy array or a list."""
        arguments = self._arguments(case)
        if case.labels is not None and kind != "array":
            arguments["labels"] = case.labels.tolist() if kind == "list" else case.labels
        return _outcome(_loss(case, arguments))

    def transformed(self, name: str, case: Case) -> tuple[Float64, Float64]:
        """Return what a transform of JAX gives and what plain calls give."""
        arguments = self._arguments(replace(case, learnable=True))
        function = _of_variables(case, arguments)
        return TRANSFORMS[name](lambda given: function(given).sum(), _variables(arguments))

    def peak_memory(self, loss: str, rows: int) -> int:
        """Return what the compiled call and its gradient take beside their arguments."""
        case = large_case(loss, rows)
        arguments = self._arguments(case)
        gradient = jax.jit(jax.value_and_grad(_of_variables(case, arguments)))
        analysis = gradient.lower(_variables(arguments)).compile().memory_analysis()
        if analysis is None:
            raise RuntimeError(f"JAX tells no memory of what it compiles for {self.device}")
        return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)

    def _arguments(self, case: Case) -> Arguments:
        """Return a case's arguments as arrays on the device, numbers as numbers."""
        arguments: Arguments = {
            "embeddings": self._put(case.embeddings, case.dtype),
            "labels": None if case.labels is None else self._put(case.labels),
            **case.parameters,
        }
        if case.learnable:
            for name, default in SCALARS[case.loss].items():
                value = case.parameters.get(name, default)
                arguments[name] = self._put(value, contract.COMPUTE_DTYPES[case.dtype])
        if case.mode in TILES:
            arguments["block_size"] = TILES[case.mode]
        return arguments

    def _put(self, value: Any, dtype: Any = None) -> Array:
        array = np.asarray(value, None if dtype is None else jnp.dtype(dtype))
        # As users make them: not committed to the default device, to any other one.
        place = None if self.device == jax.devices()[0] else self.device
        put: Array = jax.device_put(array, place)
        return put

    def _ones(self, shape: tuple[int, ...], *, dtype: str, device: str | None = None) -> Array:
        place = self.device if device is None else self.other
        ones: Array = jax.device_put(np.ones(shape, jnp.dtype(dtype)), place)
        return ones


implementation = Jax


def _ask_for_two_cpus() -> None:
    """Make a second device of the CPU, unless JAX is in use, or too old: both refuse."""
    try:
        jax.config.update("jax_num_cpu_devices", 2)  # type: ignore[no-untyped-call]
    except (RuntimeError, AttributeError):
        return


def _loss(case: Case, arguments: Arguments) -> Array:
    functions = JITTED if case.mode == "jit" else LOSSES
    return functions[case.loss](**arguments)


def _variables(arguments: Arguments) -> Variables:
    """Return the arguments to differentiate in: embeddings, and scalars that are arrays."""
    names = ("embeddings", "temperature", "k1", "k2")
    return {name: arguments[name] for name in names if isinstance(arguments.get(name), Array)}


def _of_variables(case: Case, arguments: Arguments) -> Callable[[Variables], Array]:
    return lambda variables: _loss(case, {**arguments, **variables})


def _outcome(loss: Array, gradients: Mapping[str, Array] | None = None) -> Outcome:
    found = gradients or {}
    rows = found.get("embeddings")
    arrays: dict[str, Any] = {name: _array(value) for name, value in found.items()}
    return Outcome(
        _array(loss),
        **arrays,
        loss_dtype=loss.dtype.name,
        gradient_dtype=None if rows is None else rows.dtype.name,
    )


def _checked(outcome: Outcome, case: Case, arguments: Arguments) -> Outcome:
    """Say whether the call left the arrays that it was given as they were (INP-25)."""
    labels = arguments["labels"]
    found = None if labels is None else np.asarray(labels)
    return replace(outcome, intact=intact(case, _array(arguments["embeddings"]), found))


def _array(value: Array) -> Float64:
    return np.asarray(value, dtype=np.float64)


Function = Callable[[Variables], Array]


def _vmap(function: Function, values: Variables) -> tuple[Float64, Float64]:
    """Map over three orders of the rows, three scales of each scalar."""
    samples = [
        {name: np.roll(v, step, 0) if v.ndim else v * (step + 1) for name, v in values.items()}
        for step in range(3)
    ]
    batch = {name: jnp.stack([sample[name] for sample in samples]) for name in values}
    plain = [_array(function({n: jnp.asarray(v) for n, v in s.items()})) for s in samples]
    return _array(jax.vmap(function)(batch)), np.stack(plain)


def _jvp(function: Function, values: Variables) -> tuple[Float64, Float64]:
    """Compare forward mode with the plain gradient along the same direction."""
    along = _direction(values)
    forward = jax.jvp(function, (values,), (along,))[1]
    return _array(forward), _array(_inner(_gradient(function, values), along))


def _grad(function: Function, values: Variables) -> tuple[Float64, Float64]:
    return _flat(jax.grad(function)(values)), _flat(_gradient(function, values))


def _hessian(function: Function, values: Variables) -> tuple[Float64, Float64]:
    """Compare forward over reverse, which `jax.hessian` is, with reverse over reverse."""
    along = _direction(values)
    blocks = jax.hessian(function)(values)
    found = {
        row: sum(
            np.tensordot(_array(blocks[row][column]), _array(v), v.ndim)
            for column, v in along.items()
        )
        for row in values
    }
    return _flat(found), _flat(_twice_backwards(function, values, along))


def _twice_backwards(function: Function, values: Variables, along: Variables) -> Variables:
    """Return H v as the gradient of <gradient, v>."""
    found: Variables = jax.grad(lambda given: _inner(jax.grad(function)(given), along))(values)
    return found


def _gradient(function: Function, values: Variables) -> Variables:
    """Return the gradient of a plain call."""
    loss, pull = jax.vjp(function, values)
    found: Variables = pull(jnp.ones_like(loss))[0]
    return found


def _inner(left: Variables, right: Variables) -> Array:
    return jnp.stack([(left[name] * right[name]).sum() for name in left]).sum()


def _direction(values: Variables) -> Variables:
    return {
        name: jnp.cos(jnp.arange(1.0, v.size + 1)).reshape(v.shape) for name, v in values.items()
    }


def _flat(values: Mapping[str, Any]) -> Float64:
    return np.concatenate([_array(values[name]).ravel() for name in sorted(values)])


TRANSFORMS = {"vmap": _vmap, "jvp": _jvp, "grad": _grad, "hessian": _hessian}
