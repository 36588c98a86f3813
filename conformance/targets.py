"""Finds what a target names: an own backend, a known library, or anyone's object."""

import importlib
import importlib.util
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance.adapters.claims import CHOICES
from tuned_contrastive.conformance.applicability import ERRORS
from tuned_contrastive.conformance.protocol import FEATURES, Capabilities, Implementation
from tuned_contrastive.spec.clauses import load_clauses

OWN = {"numpy": "numpy", "torch": "torch", "tensorflow": "tensorflow", "jax": "jax"}
"""Our own targets, and the package that each of them needs."""

THIRD_PARTY = {
    "pytorch_metric_learning": "pytorch_metric_learning",
    "pytorch_metric_learning_ntxent": "pytorch_metric_learning",
    "optax": "optax",
    "monai": "monai",
    "info_nce": "info_nce",
    "info_nce_paired": "info_nce",
    "lightly": "lightly",
}
"""Libraries' losses, and the package that each of them needs."""

MAY_NOT_LOAD = {"lightly": "it needs a torchvision that was built for the same torch"}
"""What can be installed and still not be imported, and why."""

ADAPTERS = "tuned_contrastive.conformance.adapters"
SUITE_NEEDS = ("pytest", "hypothesis", "mpmath")
"""The packages without which nothing is judged."""

IN_CHECKOUT = Path(__file__).resolve().parents[1].joinpath("pyproject.toml").is_file()


def _extra(name: str) -> str:
    """Return what pip needs to be told for what one of our extras names."""
    return f'-e ".[{name}]"' if IN_CHECKOUT else f'"tuned-contrastive[{name}]"'


INSTALL = {
    "torch": _extra("torch"),
    "tensorflow": _extra("tensorflow"),
    "keras": _extra("tensorflow"),
    "jax": _extra("jax"),
    **dict.fromkeys(SUITE_NEEDS, _extra("conformance")),
    **dict.fromkeys(("matplotlib", "scipy", "sklearn"), _extra("benchmarks")),
    "pytorch_metric_learning": "pytorch-metric-learning",
    "optax": "optax",
    "monai": "monai",
    "info_nce": "info-nce-pytorch",
    "lightly": "lightly",
}
"""What pip needs to be told for each package."""


class TargetError(Exception):
    """A target that is unknown, cannot be loaded, or whose framework is not installed."""


def distribution(target: str) -> str:
    """Return the distribution that a named target comes from; empty for any other target."""
    return OWN.get(target) or INSTALL.get(THIRD_PARTY.get(target, ""), "")


def known_targets() -> tuple[str, ...]:
    """Return the targets that have a name, installed or not."""
    return tuple(name for name in (*OWN, *THIRD_PARTY) if _exists(f"{ADAPTERS}.{name}"))


def installed_targets() -> tuple[str, ...]:
    """Return the targets with a name that can be judged on this machine."""
    return tuple(name for name in known_targets() if not missing_package(name))


def missing_package(target: str) -> str:
    """Return the sentence that says what a named target lacks here; empty if nothing."""
    package = {**OWN, **THIRD_PARTY}.get(target, "")
    if package and not _exists(package):
        return missing(package)
    if target in MAY_NOT_LOAD:
        try:
            importlib.import_module(f"{ADAPTERS}.{target}")
        except Exception as error:  # whatever stops it from loading
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            return f"{package} does not load here ({told}): {MAY_NOT_LOAD[target]}"
    return ""


def missing(*packages: str) -> str:
    """Return the sentence that says which of some packages is not installed; empty if none."""
    for package in packages:
        if not _exists(package):
            return f"{package} is not installed: pip install {INSTALL[package]}"
    return ""


def require(*packages: str) -> None:
    """Raise TargetError where one of some packages is not installed."""
    if told := missing(*packages):
        raise TargetError(told)


def load_target(
    target: str, device: str | None = None, dtypes: tuple[str, ...] = ()
) -> Implementation:
    """Return the implementation that a target names, on a device and for some dtypes only.

    TargetError where there is no such implementation, device or dtype.
    """
    if target in known_targets():
        if missing_package(target):
            raise TargetError(missing_package(target))
        found = importlib.import_module(f"{ADAPTERS}.{target}").implementation
    else:
        found = load_attribute(target)
    if isinstance(found, type) and hasattr(found, "capabilities"):
        found = _on_device(found, target, device)
    elif device is not None:
        raise TargetError(f"{target} does not let one choose a device")
    if not isinstance(found, Implementation):
        raise TargetError(
            f"{target} must be an object with name, capabilities, loss and gradients, or a bare "
            "loss named by --framework and --losses"
        )
    _check_claims(found.capabilities, target)
    if not set(dtypes) <= set(found.capabilities.dtypes):
        raise TargetError(f"{target} has dtypes {', '.join(found.capabilities.dtypes)}")
    if dtypes:
        found.capabilities = replace(found.capabilities, dtypes=dtypes)
    return found


def _check_claims(claims: Any, target: str) -> None:
    """Refuse claims that no test could ever meet."""
    if not isinstance(claims, Capabilities):
        got = type(claims).__name__
        raise TargetError(f"{target} must have capabilities of class Capabilities, got {got}")
    known = {**CHOICES, "features": tuple(FEATURES)}
    for name, allowed in known.items():
        if wrong := set(getattr(claims, name)) - set(allowed):
            got = ", ".join(sorted(map(str, wrong)))
            raise TargetError(f"{target} must claim {name} of {', '.join(allowed)}, got {got}")
    if claims.errors not in ERRORS:
        told = ", ".join(ERRORS)
        raise TargetError(f"{target} must claim errors of {told}, got {claims.errors}")


def _on_device(implementation: Any, target: str, device: str | None) -> Any:
    try:
        return implementation() if device is None else implementation(device)
    except (RuntimeError, TypeError, AssertionError) as error:
        what = "cannot be made" if device is None else f"does not run on {device}"
        raise TargetError(f"{target} {what}: {error}") from error


def load_attribute(target: str) -> Any:
    """Return what `package.module:attribute` or `path/file.py:attribute` names."""
    place, _, attribute = target.rpartition(":")
    if not place or not attribute:
        known = ", ".join((*known_targets(), "all"))
        raise TargetError(
            f"{target!r} is no target: known are {known}, package.module:attribute and "
            "path/file.py:attribute"
        )
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    for name in attribute.split("."):
        if not hasattr(module, name):
            raise TargetError(f"{place} has no attribute {attribute!r}")
        module = getattr(module, name)
    return module


def committed_not_applicable(target: str) -> frozenset[str] | None:
    """Return the clauses that must be not applicable to an own target, None for any other.

    ValueError for a clause that does not exist or an unknown field.
    """
    if target not in OWN:
        return None
    text = Path(__file__).with_name("expected.toml").read_text(encoding="utf-8")
    clauses: set[str] = set()
    for entry in tomllib.loads(text).get(target, ()):
        if set(entry) != {"clauses", "reason"} or not set(entry["clauses"]) <= set(load_clauses()):
            raise ValueError(
                f"expected.toml must have clauses of the spec and a reason, got {entry}"
            )
        clauses |= set(entry["clauses"])
    return frozenset(clauses)


def _file(path: Path) -> Any:
    if not path.is_file():
        raise TargetError(f"{path} is no file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise TargetError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if Path(name).is_file():
            why = f"{name} is no Python file: path/file.py:attribute is what a target may name"
            raise TargetError(why) from error
        raise TargetError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
