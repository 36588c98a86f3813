"""The PyTorch backend as an implementation: eager, compiled, under autocast and as modules."""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuned_contrastive.backends.torch import SupConLoss, TCLLoss, supcon_loss, tcl_loss
from tuned_contrastive.conformance.adapters import intact, native
from tuned_contrastive.conformance.performance import growth_in_new_process, large_case
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
MODULES: dict[str, Callable[..., nn.Module]] = {"supcon": SupConLoss, "tcl": TCLLoss}
SCALARS = {
    "supcon": {"temperature": contract.TEMPERATURE},
    "tcl": {"temperature": contract.TEMPERATURE, "k1": contract.K1, "k2": contract.K2},
}
COMPILER = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
Arguments = dict[str, Any]


class Torch:
    """`tuned_contrastive.backends.torch` on one device, called as a user calls it."""

    name = "torch"
    capabilities = Capabilities(
        dtypes=("float64", "float32", "bfloat16", "float16"),
        modes=("eager", "compiled", "mixed", "module", *TILES),
        errors="text",
        features=frozenset(FEATURES) - {"keras", "32-bit-integers", "precision"},
        not_run={} if COMPILER else {"compiled": "torch.compile needs a C++ compiler"},
    )
    transforms = ("vmap", "jvp", "grad", "hessian-vector")

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.empty(0, device=device).device  # raises where there is none
        # NUM-4: the process's own switch decides whether float32 products use TensorFloat-32.
        torch.set_float32_matmul_precision("highest")
        self.notes = (f"on {self.device}, float32 products at precision highest",)

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        arguments = self._arguments(case)
        return _checked(_outcome(self._loss(case, arguments)), case, arguments)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradients."""
        arguments = self._arguments(case)
        loss = self._loss(case, arguments)
        variables = _variables(arguments)
        arriving = torch.tensor(upstream, dtype=loss.dtype, device=self.device)
        found = torch.autograd.grad(loss, list(variables.values()), arriving)
        outcome = _outcome(loss, dict(zip(variables, found, strict=True)))
        return _checked(outcome, case, arguments)

    def hessian_vector_product(self, case: Case, direction: Mapping[str, Float64]) -> Outcome:
        """Return H v of the reduced loss, by differentiating twice backwards."""
        arguments = self._arguments(replace(case, learnable=True))
        loss = self._loss(case, arguments)
        variables = _variables(arguments)
        inputs = list(variables.values())
        gradients = torch.autograd.grad(loss, inputs, create_graph=True)
        along = [torch.tensor(direction[name], dtype=torch.float64) for name in variables]
        products = torch.autograd.grad(gradients, inputs, [v.to(inputs[0]) for v in along])
        return _outcome(loss, dict(zip(variables, products, strict=True)))

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call with arguments made from portable descriptions."""
        given = {name: native(value, self._ones) for name, value in arguments.items()}
        return LOSSES[loss](**given)

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as a tensor, a NumPy array or a list."""
        arguments = self._arguments(case)
        if case.labels is not None and kind != "array":
            arguments["labels"] = case.labels.tolist() if kind == "list" else case.labels
        return _outcome(self._loss(case, arguments))

    def transformed(self, name: str, case: Case) -> tuple[Float64, Float64]:
        """Return what a transform of `torch.func` gives and what plain calls give."""
        arguments = self._arguments(replace(case, learnable=True))
        values = tuple(value.detach() for value in _variables(arguments).values())

        def function(*variables: Tensor) -> Tensor:
            given = {**arguments, **dict(zip(_variables(arguments), variables, strict=True))}
            return self._loss(case, given).sum()

        with _without_torch_warnings():
            return TRANSFORMS[name](function, values)

    def peak_memory(self, loss: str, rows: int) -> int:
        """Return the growth of memory in a call and its gradient."""
        if self.device.type == "cpu":
            return growth_in_new_process(self.name, loss, rows)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.gradients(large_case(loss, rows), np.ones(()))
        return torch.cuda.max_memory_allocated(self.device) - before

    def _arguments(self, case: Case) -> Arguments:
        """Return a case's arguments, those to be differentiated requiring a gradient."""
        rows = torch.tensor(case.embeddings, dtype=getattr(torch, case.dtype), device=self.device)
        labels = case.labels
        arguments: Arguments = {"embeddings": rows.requires_grad_(), **case.parameters}
        arguments["labels"] = None if labels is None else torch.tensor(labels, device=self.device)
        if case.learnable:
            dtype = getattr(torch, contract.COMPUTE_DTYPES[case.dtype])
            for name, default in SCALARS[case.loss].items():
                value = torch.tensor(
                    float(case.parameters.get(name, default)), dtype=dtype, device=self.device
                )
                arguments[name] = nn.Parameter(value)
        if case.mode in TILES:
            arguments["block_size"] = TILES[case.mode]
        return arguments

    def _loss(self, case: Case, arguments: Arguments) -> Tensor:
        if case.mode == "module":
            rest = dict(arguments)
            called = (rest.pop("embeddings"), rest.pop("labels"))
            value: Tensor = MODULES[case.loss](**rest)(*called)
            return value
        function = LOSSES[case.loss]
        if case.mode == "compiled":
            torch.compiler.reset()  # what a case gives is independent of the cases before it
            with _without_torch_warnings():
                return torch.compile(function, fullgraph=True)(**arguments)
        mixed = torch.autocast(self.device.type, torch.bfloat16)
        with mixed if case.mode == "mixed" else nullcontext():
            return function(**arguments)

    def _ones(self, shape: tuple[int, ...], *, dtype: str, device: str | None = None) -> Tensor:
        place = self.device
        if device is not None:
            place = torch.device("meta" if self.device.type == "cpu" else "cpu")
        return torch.ones(shape, dtype=getattr(torch, dtype), device=place)


implementation = Torch


@contextmanager
def _without_torch_warnings() -> Iterator[None]:
    """Let torch 2.13 load its compiler and forward mode, which use its own deprecated torch.jit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning, "torch")
        yield


def _variables(arguments: Arguments) -> dict[str, Tensor]:
    """Return the arguments to differentiate in: embeddings, and scalars that are parameters."""
    names = ("embeddings", "temperature", "k1", "k2")
    return {name: arguments[name] for name in names if isinstance(arguments.get(name), Tensor)}


def _outcome(loss: Tensor, gradients: Mapping[str, Tensor] | None = None) -> Outcome:
    found = gradients or {}
    rows = found.get("embeddings")
    arrays: dict[str, Any] = {name: _array(value) for name, value in found.items()}
    return Outcome(
        _array(loss),
        **arrays,
        loss_dtype=_name(loss),
        gradient_dtype=None if rows is None else _name(rows),
    )


def _checked(outcome: Outcome, case: Case, arguments: Arguments) -> Outcome:
    """Say whether the call left the tensors that it was given as they were (INP-25)."""
    labels = arguments["labels"]
    found = None if labels is None else labels.cpu().numpy()
    return replace(outcome, intact=intact(case, _array(arguments["embeddings"]), found))


def _array(value: Tensor) -> Float64:
    return np.asarray(value.detach().to("cpu", torch.float64).numpy())


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


Function = Callable[..., Tensor]
Values = tuple[Tensor, ...]


def _vmap(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Map over three orders of the rows, three scales of each scalar."""
    rows, *scalars = values
    batch = [torch.stack([rows.roll(step, 0) for step in range(3)])]
    batch += [torch.stack([value * factor for factor in (1, 2, 3)]) for value in scalars]
    plain = [function(*(values[sample] for values in batch)) for sample in range(3)]
    return _array(torch.func.vmap(function)(*batch)), _array(torch.stack(plain))


def _jvp(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Compare forward mode with the plain gradient along the same direction."""
    along = _direction(values)
    forward = torch.func.jvp(function, values, along)[1]
    plain = sum((g * v).sum() for g, v in zip(_gradient(function, values), along, strict=True))
    return _array(forward), _array(torch.as_tensor(plain))


def _grad(function: Function, values: Values) -> tuple[Float64, Float64]:
    found = torch.func.grad(function, tuple(range(len(values))))(*values)
    return _flat(found), _flat(_gradient(function, values))


def _hessian_vector(function: Function, values: Values) -> tuple[Float64, Float64]:
    """Compare forward over reverse with reverse over reverse."""
    along = _direction(values)
    gradient = torch.func.grad(function, tuple(range(len(values))))
    found = torch.func.jvp(gradient, values, along)[1]
    inputs = tuple(value.requires_grad_() for value in values)
    first = torch.autograd.grad(function(*inputs), inputs, create_graph=True)
    return _flat(found), _flat(torch.autograd.grad(first, inputs, along))


def _gradient(function: Function, values: Values) -> Values:
    inputs = tuple(value.detach().requires_grad_() for value in values)
    return torch.autograd.grad(function(*inputs), inputs)


def _direction(values: Values) -> Values:
    return tuple(torch.arange(1, v.numel() + 1).to(v).cos().reshape(v.shape) for v in values)


def _flat(values: Values) -> Float64:
    return np.concatenate([_array(value).ravel() for value in values])


TRANSFORMS = {"vmap": _vmap, "jvp": _jvp, "grad": _grad, "hessian-vector": _hessian_vector}
