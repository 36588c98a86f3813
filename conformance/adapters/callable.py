"""A bare loss function or module class as an implementation: its parameters are its signature's."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.adapters.signature import (
    fixed_parameters,
    notes,
    read_signatures,
    refuse_unknown,
)
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import (
    Capabilities,
    Case,
    Float64,
    Implementation,
    Outcome,
)
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.spec import contract

DTYPES = {"torch": ("float64", "float32"), "numpy": ("float64",)}


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
    framework : {"torch", "numpy"}
    loss : {"supcon", "tcl"}
    set_to : mapping, optional
        Arguments that always have the same value.
    assume : {"normalizes", "unit-input"}, optional
        What holds of a signature without `normalize`: it normalises its rows, or takes unit rows.
    views : bool
        Whether it takes (B, V, D); rows (N, D) are then handed over as (N, 1, D).
    device : str
    dtypes : tuple of str
        What to judge; float64 and float32 for torch, float64 for NumPy if empty.
    """
    constructor, call = read_signatures(target)
    fixed = fixed_parameters(loss, {**constructor, **call}, set_to or {}, assume)
    refuse_unknown({**constructor, **call}, set_to or {})
    labels = list(call.values())[1]
    claims = Capabilities(
        losses=frozenset({loss}),
        dtypes=dtypes or DTYPES[framework],
        reductions=contract.REDUCTIONS if "reduction" not in fixed else (fixed["reduction"],),
        inputs=frozenset({"flat", "views"} if views else {"flat"}),
        unlabelled=views and labels.default is None,
        fixed=fixed,
        gradients=frozenset({"embeddings"} if framework == "torch" else ()),
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
    if framework == "numpy" and (bare.device != "cpu" or "bfloat16" in bare.capabilities.dtypes):
        raise TargetError("a bare NumPy function is judged on the cpu, and has no bfloat16")
    if framework == "numpy":
        return BareNumpy(bare)
    try:
        from tuned_contrastive.conformance.adapters.callable_torch import BareTorch
    except ModuleNotFoundError as error:
        raise TargetError(
            f"{error.name} is not installed: pip install 'tuned-contrastive[torch]'"
        ) from error
    try:
        return BareTorch(bare)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"{bare.name} does not run on {bare.device}: {error}") from error


class BareNumpy:
    """A NumPy function: its values alone can be judged."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.name = bare.name
        self.capabilities = bare.capabilities
        self.notes = bare.notes

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        rows = given = self.bare.rows(case).astype(case.dtype)
        labels = None if case.labels is None else case.labels.copy()
        if self.bare.unit_input and case.parameters.get("normalize", True):
            given = _unit_rows(rows)
        value = np.asarray(self.bare(case, given, labels))
        losses = self.bare.losses(value.astype(np.float64), case)
        left = intact(case, rows, labels)
        return Outcome(losses, loss_dtype=str(value.dtype), intact=left)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Refuse: a bare NumPy function has no gradients."""
        raise NotImplementedError(f"{self.name} offers no gradients")


def _unit_rows(rows: Any) -> Any:
    """Return SUP-1 and SUP-2, scaled so that squares neither overflow nor underflow."""
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    short = norms * largest < contract.MIN_NORM
    return np.where(short, 0, scaled / np.where(short, 1, norms))
