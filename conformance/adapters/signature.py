"""Reads the signature of a bare function or class: what can be chosen, what is fixed."""

import inspect
from collections.abc import Mapping
from typing import Any

from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.spec import contract

UNKNOWN = None
"""The value of a parameter that an implementation lacks."""

Parameters = dict[str, inspect.Parameter]


def read_signatures(target: Any) -> tuple[Parameters, Parameters]:
    """Return the named parameters of the constructor and of the call."""
    if not callable(target):
        raise TargetError(f"a bare target must be a function or a class, got {target!r}")
    constructor: Parameters = {}
    called = getattr(target, "forward", target)
    try:
        if inspect.isclass(target):
            constructor = _named(inspect.signature(target))
            called = getattr(target, "forward", target.__call__)
        call = _named(inspect.signature(called))
    except (TypeError, ValueError) as error:
        raise TargetError(f"the signature of {target!r} cannot be read") from error
    call.pop("self", None)
    if len(call) < 2:
        raise TargetError(f"a bare target must take embeddings and labels, got ({', '.join(call)})")
    return constructor, call


def _named(signature: inspect.Signature) -> Parameters:
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: p for name, p in signature.parameters.items() if p.kind not in stars}


def fixed_parameters(
    loss: str, signature: Mapping[str, Any], set_to: Mapping[str, Any], assume: str | None
) -> dict[str, Any]:
    """Return the parameters that cannot be chosen, with their values, UNKNOWN where they are so."""
    relevant = ["temperature", "reduction", *(["k1", "k2"] if loss == "tcl" else [])]
    fixed: dict[str, Any] = {name: UNKNOWN for name in relevant if name not in signature}
    if "reduction" in fixed:
        fixed["reduction"] = "mean"
    if "normalize" not in signature and "normalize" not in set_to:
        if assume is None:
            raise TargetError(
                "its signature has no normalize: say --assume normalizes or --assume unit-input"
            )
        if assume == "normalizes":
            fixed["normalize"] = True
    elif assume is not None:
        raise TargetError("--assume is for a signature without normalize that is not --set")
    return fixed | {name: value for name, value in set_to.items() if name in DEFAULTS}


def refuse_unknown(signature: Mapping[str, Any], set_to: Mapping[str, Any]) -> None:
    """Refuse a value for a parameter that neither the signature nor the spec has."""
    unknown = sorted(set(set_to) - set(signature) - set(DEFAULTS))
    if unknown:
        raise TargetError(f"its signature has no {unknown[0]}, it has {', '.join(signature)}")


def refuse_required(signature: Mapping[str, Any], set_to: Mapping[str, Any]) -> None:
    """Refuse a parameter without a default that nobody gives a value."""
    for name, parameter in signature.items():
        if parameter.default is parameter.empty and name not in {*set_to, *DEFAULTS}:
            raise TargetError(f"its parameter {name} has no default: it needs --set {name}=VALUE")


def refuse_wrong(set_to: Mapping[str, Any]) -> None:
    """Refuse a value that the spec does not allow for its parameter."""
    given = {name: value for name, value in set_to.items() if name in DEFAULTS}
    try:
        contract.check_parameters(lambda value: None, **{**DEFAULTS, **given})
    except (TypeError, ValueError) as error:
        raise TargetError(f"--set: {error}") from error


def notes(
    fixed: Mapping[str, Any], set_to: Mapping[str, Any], framework: str, assume: str | None
) -> tuple[str, ...]:
    """Return what a report has to say about the parameters."""
    told = [f"{name} is always {value}" for name, value in fixed.items() if value is not UNKNOWN]
    told += [f"{n} is set to {v}" for n, v in set_to.items() if n not in fixed]
    told += [
        f"it has no parameter {name}: vectors that need it are not applicable, unless "
        f"--set {name}=VALUE says what it always is"
        for name, value in fixed.items()
        if value is UNKNOWN
    ]
    if assume == "unit-input":
        told.append("with normalize=True its rows are normalised before the call, not by it")
    told.append("gradients in temperature, k1 and k2 are not judged")
    if framework == "numpy":
        told.append("only values are judged: a bare NumPy function has no gradients")
    return tuple(told)
