"""A bare loss function or module class as an implementation: its parameters are its signature's."""

import inspect
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tuned_contrastive.conformance.adapters.signature import (
    fixed_parameters,
    notes,
    read_signatures,
    refuse_required,
    refuse_unknown,
    refuse_wrong,
)
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import (
    AnswerError,
    Capabilities,
    Case,
    Float64,
    Implementation,
)
from tuned_contrastive.conformance.targets import ADAPTERS, TargetError, require
from tuned_contrastive.spec import contract

FULL = ("float64", "float32")
DTYPES = {"numpy": ("float64",), "torch": FULL, "tensorflow": FULL, "jax": FULL}
"""The frameworks of bare functions, and what is judged of them unless one chooses."""


@dataclass(frozen=True)
class Bare:
    """What is known of a bare function or class: how it is called, and what it claims."""

    name: str
    target: Callable[..., Any]
    constructor: Mapping[str, inspect.Parameter]
    """Empty for a function."""
    call: Mapping[str, inspect.Parameter]
    given: Mapping[str, Any]
    """Arguments that always have the same value."""
    unit_input: bool
    views: bool
    device: str
    capabilities: Capabilities
    notes: tuple[str, ...]
    instances: dict[str, Any] = field(default_factory=dict)
    """One per parameter set, used again and again: what it keeps from call to call is judged."""

    def __call__(self, case: Case, embeddings: Any, labels: Any) -> Any:
        """Call with native embeddings and labels, and the parameters that the signature has."""
        parameters = {**DEFAULTS, **case.parameters, **self.given}
        target: Any = self.target
        if self.constructor or inspect.isclass(target):
            chosen = {n: v for n, v in parameters.items() if n in self.constructor}
            if repr(chosen) not in self.instances:
                self.instances[repr(chosen)] = target(**chosen)
            target = self.instances[repr(chosen)]
        rest = list(self.call)[2:]
        return target(embeddings, labels, **{n: v for n, v in parameters.items() if n in rest})

    def returned(self, value: Any, allowed: str, *kinds: type) -> Any:
        """Return what a call gave back; AnswerError where it is of none of these kinds."""
        if not isinstance(value, kinds):
            got = f"{type(value).__name__}: {reprlib.repr(value)}"
            raise AnswerError(f"{self.name} must return {allowed}, got {got}")
        return value

    def arriving(self, upstream: Float64, shape: Sequence[int]) -> Float64:
        """Return the gradient in a loss in its shape; AnswerError where it is of another size."""
        if math.prod(shape) != upstream.size:
            told = f"{self.name} must return a loss of shape {upstream.shape}, got {tuple(shape)}"
            raise AnswerError(told)
        return upstream.reshape(shape)

    def rows(self, case: Case) -> Float64:
        """Return the embeddings in the shape that the function takes."""
        flat = self.views and case.embeddings.ndim == 2
        return case.embeddings[:, None, :] if flat else case.embeddings

    def losses(self, value: Float64, case: Case) -> Float64:
        """Return the loss in the shape of the spec, for rows that were handed over as one view."""
        one_view = self.views and case.embeddings.ndim == 2 and value.ndim == 2
        return value.reshape(-1) if one_view else value


def bare_implementation(
    target: Any,
    *,
    name: str,
    framework: str,
    loss: str,
    set_to: Mapping[str, Any] | None = None,
    assume: str | None = None,
    views: bool = False,
    device: str = "cpu",
    dtypes: tuple[str, ...] = (),
) -> Implementation:
    """Return an implementation that calls `target` as ``f(embeddings, labels, temperature=...)``.

    Parameters
    ----------
    target : function, module class or callable object
    name : str
        What the report calls it.
    framework : {"numpy", "torch", "tensorflow", "jax"}
    loss : {"supcon", "tcl"}
    set_to : mapping, optional
        Arguments that always have the same value.
    assume : {"normalizes", "unit-input"}, optional
        What holds of a signature without `normalize`: it normalises its rows, or takes unit rows.
    views : bool
        Whether it takes (B, V, D); rows (N, D) are then handed over as (N, 1, D).
    device : str
    dtypes : tuple of str
        What to judge; if empty float64, and float32 unless for NumPy.
    """
    constructor, call = read_signatures(target)
    fixed = fixed_parameters(loss, {**constructor, **call}, set_to or {}, assume)
    refuse_unknown({**constructor, **call}, set_to or {})
    refuse_wrong(set_to or {})
    refuse_required({**constructor, **dict(list(call.items())[2:])}, set_to or {})
    labels = list(call.values())[1]
    claims = Capabilities(
        losses=frozenset({loss}),
        dtypes=dtypes or DTYPES[framework],
        reductions=contract.REDUCTIONS if "reduction" not in fixed else (fixed["reduction"],),
        inputs=frozenset({"flat", "views"} if views else {"flat"}),
        unlabelled=views and labels.default is None,
        fixed=fixed,
        gradients=frozenset(() if framework == "numpy" else {"embeddings"}),
    )
    bare = Bare(
        name,
        target,
        constructor,
        call,
        dict(set_to or {}),
        assume == "unit-input",
        views,
        device,
        claims,
        notes(fixed, set_to or {}, framework, assume),
    )
    return _adapter(framework, bare)


def _adapter(framework: str, bare: Bare) -> Implementation:
    """Return the adapter of a framework, which is imported only here."""
    if framework != "numpy":
        require(framework)
    module = import_module(f"{ADAPTERS}.callable_{framework}")
    try:
        made: Implementation = module.implementation(bare)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise TargetError(f"{bare.name} does not run on {bare.device}: {error}") from error
    return made
