"""The TensorFlow backend as an implementation: eager, in graphs, under XLA and as Keras losses."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor, Variable

from tuned_contrastive.backends.tensorflow import SupConLoss, TCLLoss, supcon_loss, tcl_loss
from tuned_contrastive.conformance.adapters import intact, native
from tuned_contrastive.conformance.adapters.callable_tensorflow import device_name
from tuned_contrastive.conformance.performance import growth_in_new_process
from tuned_contrastive.conformance.protocol import (
    FEATURES,
    TILES,
    Capabilities,
    Case,
    Float64,
    Outcome,
)
from tuned_contrastive.spec import contract

LOSSES: dict[str, Callable[..., Tensor]] = {"supcon": supcon_loss, "tcl": tcl_loss}
MODULES: dict[str, Callable[..., Any]] = {"supcon": SupConLoss, "tcl": TCLLoss}
SCALARS = {
    "supcon": {"temperature": contract.TEMPERATURE},
    "tcl": {"temperature": contract.TEMPERATURE, "k1": contract.K1, "k2": contract.K2},
}
Arguments = dict[str, Any]


class TensorFlow:
    """`tuned_contrastive.backends.tensorflow` on one device, called as a user calls it."""

    name = "tensorflow"
    capabilities = Capabilities(
        dtypes=("float64", "float32", "bfloat16", "float16"),
        modes=("eager", "graph", "xla", "mixed", "module", "restored", *TILES),
        errors="text",
        features=frozenset(FEATURES) - {"32-bit-integers", "precision"},
    )
    transforms = ("vectorized-map", "jvp", "jacobian", "hessian-vector")

    def __init__(self, device: str = "cpu") -> None:
        _second_cpu()
        self.device = device_name(device)  # raises where there is none
        # NUM-4: the process's own switch decides whether float32 products use TensorFloat-32.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.notes = (f"on {self.device}, TensorFloat-32 switched off",)
        not_run = {"xla": _why_no_xla(self.device), "devices": _why_one_device()}
        known = {name: reason for name, reason in not_run.items() if reason}
        self.capabilities = replace(type(self).capabilities, not_run=known)

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        with tf.device(self.device):
            arguments = self._arguments(case)
            return _checked(_outcome(_loss(case, arguments)), case, arguments)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradients."""
        with tf.device(self.device):
            arguments = self._arguments(case)
            variables = _variables(arguments)
            with tf.GradientTape() as tape:
                tape.watch(arguments["embeddings"])
                loss = _loss(case, arguments)
            found = tape.gradient(loss, variables, tf.constant(upstream, loss.dtype))
            return _checked(_outcome(loss, found), case, arguments)

    def hessian_vector_product(self, case: Case, direction: Mapping[str, Float64]) -> Outcome:
        """Return H v of the reduced loss, by differentiating twice backwards."""
        with tf.device(self.device):
            arguments = self._arguments(replace(case, learnable=True))
            variables = _variables(arguments)
            along = {name: tf.constant(direction[name], tf.float64) for name in variables}
            with tf.GradientTape() as second:
                second.watch(arguments["embeddings"])
                with tf.GradientTape() as first:
                    first.watch(arguments["embeddings"])
                    loss = _loss(case, arguments)
                gradients = first.gradient(loss, variables)
            return _outcome(loss, second.gradient(gradients, variables, along))

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call with arguments made from portable descriptions."""
        with tf.device(self.device):
            given = {name: native(value, _ones) for name, value in arguments.items()}
            return LOSSES[loss](**given)

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as a tensor, a NumPy array or a list."""
        with tf.device(self.device):
            arguments = self._arguments(case)
            if case.labels is not None and kind != "array":
                arguments["labels"] = case.labels.tolist() if kind == "list" else case.labels
            return _outcome(_loss(case, arguments))

    def transformed(self, name: str, case: Case) -> tuple[Float64, Float64]:
        """Return what a transform of TensorFlow gives and what plain calls give."""
        if name == "jacobian":
            case = replace(case, parameters={**case.parameters, "reduction": "none"})
        with tf.device(self.device):
            arguments = self._arguments(replace(case, learnable=True))
            names = list(_variables(arguments))
            values = tuple(tf.convert_to_tensor(arguments[name]) for name in names)

            def function(*variables: Tensor) -> Tensor:
                return _loss(case, {**arguments, **dict(zip(names, variables, strict=True))})

            return TRANSFORMS[name](function, values)

    def peak_memory(self, loss: str, rows: int) -> int:
        """Return the growth of memory in a call and its gradient; on the processor alone."""
        return growth_in_new_process(self.name, loss, rows)

    def _arguments(self, case: Case) -> Arguments:
        """Return a case's arguments as tensors, learnable scalars as variables."""
        labels = case.labels
        arguments: Arguments = {
            "embeddings": tf.constant(case.embeddings, case.dtype),
            "labels": None if labels is None else tf.constant(labels),
            **case.parameters,
        }
        if case.learnable:
            dtype = contract.COMPUTE_DTYPES[case.dtype]
            for name, default in SCALARS[case.loss].items():
                value = float(case.parameters.get(name, default))
                arguments[name] = Variable(value, dtype=dtype)
        if case.mode in TILES:
            arguments["block_size"] = TILES[case.mode]
        return arguments


implementation = TensorFlow


def _second_cpu() -> None:
    """Make a second device of the processor, for labels that are on another one (INP-14)."""
    (processor,) = tf.config.list_physical_devices("CPU")
    try:
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, halves)
    except RuntimeError:  # TensorFlow has been used in this process before
        pass


def _why_one_device() -> str:
    one = len(tf.config.list_logical_devices("CPU")) < 2
    return "TensorFlow was in use before a second device could be made" if one else ""


def _why_no_xla(device: str) -> str:
    try:
        with tf.device(device):
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))
    except tf.errors.OpError as error:
        return f"XLA does not run here: {error.message}"
    return ""


def _loss(case: Case, arguments: Arguments) -> Tensor:
    if case.mode == "restored":
        return _restored_loss(case, arguments)
    if case.mode in ("module", "mixed"):
        return _module_loss(case, arguments)
    if case.mode in ("graph", "xla"):
        return _compiled_loss(case, arguments)
    return LOSSES[case.loss](**arguments)


def _compiled_loss(case: Case, arguments: Arguments) -> Tensor:
    """Call a tf.function that does not know how many rows or samples it will get."""
    rest = dict(arguments)
    given = {name: rest.pop(name) for name in ("embeddings", "labels") if rest[name] is not None}
    specs = {name: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for name, v in given.items()}
    if case.learnable:
        return _compiled(case.loss, case.mode, specs, rest)(given)
    key = f"{case.loss} {case.mode} {specs} {rest}"  # compiling takes a second
    if key not in COMPILED:
        COMPILED[key] = _compiled(case.loss, case.mode, specs, rest)
    return COMPILED[key](given)


COMPILED: dict[str, Callable[[Arguments], Tensor]] = {}


def _compiled(loss: str, mode: str, specs: Any, rest: Arguments) -> Callable[[Arguments], Tensor]:
    def function(inputs: Arguments) -> Tensor:
        return LOSSES[loss](**inputs, **rest)

    compiled: Callable[[Arguments], Tensor] = tf.function(
        function, input_signature=[specs], jit_compile=mode == "xla"
    )
    return compiled


def _module_loss(case: Case, arguments: Arguments) -> Tensor:
    """Call the Keras loss, which is made and called under a policy of half precision if mixed."""
    rest = dict(arguments)
    called = (rest.pop("labels"), rest.pop("embeddings"))
    with _policy("mixed_bfloat16") if case.mode == "mixed" else nullcontext():
        return MODULES[case.loss](**rest)(*called)


def _restored_loss(case: Case, arguments: Arguments) -> Tensor:
    """Evaluate a model that gives its input back, saved with its loss and loaded again."""
    rest = dict(arguments)
    rows, labels = rest.pop("embeddings"), rest.pop("labels")
    model = keras.Sequential([keras.Input(rows.shape[1:]), keras.layers.Identity()])
    model.compile(loss=MODULES[case.loss](**rest))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Keras 3.15 still hands NumPy 2 arrays that do not know its copy keyword.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning, "keras")
        model.save(f"{folder}/model.keras")
        loaded = keras.saving.load_model(f"{folder}/model.keras")
    return tf.constant(loaded.evaluate(rows, labels, batch_size=len(rows), verbose=0))


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _ones(shape: tuple[int, ...], *, dtype: str, device: str | None = None) -> Tensor:
    with nullcontext() if device is None else tf.device("/device:CPU:1"):
        return tf.ones(shape, dtype)


def _variables(arguments: Arguments) -> dict[str, Any]:
    """Return the arguments to differentiate in: embeddings, and scalars that are variables."""
    names = ("embeddings", "temperature", "k1", "k2")
    return {name: arguments[name] for name in names if tf.is_tensor(arguments.get(name))}


def _outcome(loss: Tensor, gradients: Mapping[str, Tensor] | None = None) -> Outcome:
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
    """Say whether the call left the tensors that it was given as they were (INP-25)."""
    labels = arguments["labels"]
    found = None if labels is None else labels.numpy()
    return replace(outcome, intact=intact(case, _array(arguments["embeddings"]), found))


def _array(value: Tensor) -> Float64:
    return np.asarray(tf.cast(value, tf.float64).numpy())


Function = Callable[..., Tensor]
Values = tuple[Tensor, ...]


def _vectorized_map(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Map over three orders of the rows, three scales of each scalar."""
    rows, *scalars = values
    batch = [tf.stack([tf.roll(rows, step, 0) for step in range(3)])]
    batch += [tf.stack([value * factor for factor in (1, 2, 3)]) for value in scalars]
    plain = [function(*(values[sample] for values in batch)) for sample in range(3)]
    # A fall back to a loop would hide an operation that cannot be vectorised.
    found = tf.vectorized_map(
        lambda sample: function(*sample), tuple(batch), fallback_to_while_loop=False
    )
    return _array(found), _array(tf.stack(plain))


def _jvp(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Compare forward mode with the plain gradient along the same direction."""
    along = _direction(values)
    with tf.autodiff.ForwardAccumulator(values, along) as forward:
        loss = function(*values)
    gradient = _gradient(function, values)
    plain = sum(tf.reduce_sum(g * v) for g, v in zip(gradient, along, strict=True))
    return _array(forward.jvp(loss)), _array(plain)


def _jacobian(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Compare all anchors' gradients, which are vectorised, with those of one at a time."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        losses = function(*values)
    found = tape.jacobian(losses, values, experimental_use_pfor=True)
    one_hot = tf.unstack(tf.eye(len(losses), dtype=losses.dtype))
    plain = [_flat(_gradient(function, values, arriving)) for arriving in one_hot]
    rows = [_flat([block[anchor] for block in found]) for anchor in range(len(losses))]
    return np.stack(rows), np.stack(plain)


def _hessian_vector(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Compare forward over reverse with reverse over reverse."""
    along = _direction(values)
    with tf.autodiff.ForwardAccumulator(values, along) as forward:
        gradient = _gradient(function, values)
    found = [forward.jvp(part) for part in gradient]
    with tf.GradientTape() as tape:
        tape.watch(values)
        gradient = _gradient(function, values)
    return _flat(found), _flat(tape.gradient(gradient, values, along))


def _gradient(function: Function, values: Values, arriving: Tensor | None = None) -> Values:
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = function(*values)
    found: Values = tape.gradient(loss, values, arriving)
    return found


def _direction(values: Values) -> Values:
    steps = [tf.range(1, tf.size(v) + 1) for v in values]
    flat = [tf.cos(tf.cast(step, v.dtype)) for step, v in zip(steps, values, strict=True)]
    return tuple(tf.reshape(part, v.shape) for part, v in zip(flat, values, strict=True))


def _flat(values: Any) -> Float64:
    return np.concatenate([_array(value).ravel() for value in values])


TRANSFORMS = {
    "vectorized-map": _vectorized_map,
    "jvp": _jvp,
    "jacobian": _jacobian,
    "hessian-vector": _hessian_vector,
}
