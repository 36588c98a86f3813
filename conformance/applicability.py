"""Decides what an implementation's claims make applicable, and says why the rest is not (CNF-2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuned_contrastive.conformance.protocol import Capabilities
from tuned_contrastive.spec import contract

NOT_RUN = "not run: "
"""How the reason begins where something is claimed, but cannot run on this machine."""

LACKS = "has no parameter "
"""How the reason begins where a parameter cannot be chosen."""

DEFAULTS = {
    "temperature": contract.TEMPERATURE,
    "k1": contract.K1,
    "k2": contract.K2,
    "normalize": True,
    "reduction": "mean",
}
ERRORS = ("none", "category", "text")


@dataclass(frozen=True)
class Needs:
    """What one test asks of an implementation; None and empty ask for nothing."""

    loss: str | None = None
    losses: tuple[str, ...] = ()
    dtype: str | None = None
    mode: str = "eager"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values that the call hands over."""
    free: tuple[str, ...] = ()
    """Parameters that the test varies."""
    views: bool = False
    unlabelled: bool = False
    flat: bool = False
    pairs: bool = False
    """Whether every class of the batch has two rows."""
    rows: int = 0
    """How many rows the batch has, where they are many."""
    gradient: tuple[str, ...] = ()
    feature: str | None = None
    errors: str = "none"


def why_not(needs: Needs, claims: Capabilities) -> str | None:
    """Return why a test does not apply, or None where it does."""
    return (
        _abilities(needs, claims)
        or _structure(needs, claims)
        or _parameters(needs, claims)
        or _machine(needs, claims)
    )


def _structure(needs: Needs, claims: Capabilities) -> str | None:
    for loss in (needs.loss, *needs.losses):
        if loss is not None and loss not in claims.losses:
            return f"offers no {loss} loss"
    if needs.dtype is not None and needs.dtype not in claims.dtypes:
        return f"does not claim dtype {needs.dtype}"
    if needs.views and "views" not in claims.inputs:
        return "takes no (B, V, D) input"
    if needs.flat and "flat" not in claims.inputs:
        return "takes no (N, D) input"
    if needs.unlabelled and not claims.unlabelled:
        return "needs labels"
    if claims.pairs_only and not needs.pairs:
        return "takes two rows of every class, no more and no fewer"
    return None


def _parameters(needs: Needs, claims: Capabilities) -> str | None:
    relevant = {"temperature", "normalize", "reduction"}
    relevant |= {"k1", "k2"} if "tcl" in (needs.loss, *needs.losses) else set()
    relevant |= set(needs.free)
    fixed = {name: value for name, value in sorted(claims.fixed.items()) if name in relevant}
    lacking = [name for name, value in fixed.items() if value is None]
    if lacking:
        return LACKS + ", ".join(lacking)
    for name, value in fixed.items():
        if name in needs.free:
            return LACKS + name
        if name in needs.parameters and needs.parameters[name] != value:
            return f"{LACKS}{name}, it is always {value}"
    reduction = needs.parameters.get("reduction")
    if reduction is not None and reduction not in claims.reductions:
        return f"does not claim reduction {reduction!r}"
    return None


def _abilities(needs: Needs, claims: Capabilities) -> str | None:
    missing = [name for name in needs.gradient if name not in claims.gradients]
    if missing:
        return f"offers no gradient in {', '.join(missing)}"
    if needs.feature is not None and needs.feature not in claims.features:
        return f"does not claim {needs.feature}"
    if needs.mode not in claims.modes:
        return f"does not claim mode {needs.mode}"
    if ERRORS.index(needs.errors) > ERRORS.index(claims.errors):
        return "does not claim the specification's errors"
    return None


def _machine(needs: Needs, claims: Capabilities) -> str | None:
    if claims.most_rows is not None and needs.rows > claims.most_rows:
        return f"{NOT_RUN}more than {claims.most_rows} rows would need gigabytes"
    for name in (needs.mode, needs.feature):
        if name is not None and name in claims.not_run:
            return f"{NOT_RUN}{claims.not_run[name]}"
    return None
