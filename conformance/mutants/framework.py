"""Faults of a framework's own machinery, in the PyTorch backend (INP-14, GRD-13 to GRD-15)."""

# ruff: noqa: D102 -- a mutant's docstring says what its one method does

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from tuned_contrastive.conformance.adapters.torch import Torch
from tuned_contrastive.conformance.mutants.plain import claims
from tuned_contrastive.conformance.protocol import Capabilities, Case

NOWHERE = frozenset[str]()


def only(*features: str, **given: Any) -> Capabilities:
    """Return the claims of a mutant that shows its fault in one feature of the framework."""
    one = {"reductions": ("sum",), "inputs": NOWHERE}
    return claims(features=frozenset(features), **one, **given)


class LabelsMoved(Torch):
    """Labels from another device are moved to that of the rows."""

    breaks: ClassVar[str] = "INP-14"
    capabilities = only("devices", errors="category")

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        labels = arguments["labels"]
        if isinstance(labels, dict):
            arguments = {**arguments, "labels": {k: labels[k] for k in labels if k != "device"}}
        return super().call(loss, arguments)


class Once(torch.autograd.Function):
    """The identity, whose derivative is a constant to a second derivative and to forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return x."""
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient as a number."""
        return gradient.detach()


class Forgetful(torch.autograd.Function):
    """The identity, whose forward derivative is 0."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return x."""
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient."""
        return gradient

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        """Return 0."""
        return tangent * 0


class GradientIsConstant(Torch):
    """The gradient in the rows is a constant to the second derivative."""

    breaks: ClassVar[str] = "GRD-13"
    capabilities = only("second-derivatives")

    def _loss(self, case: Case, arguments: dict[str, Any]) -> Tensor:
        rows: Tensor = Once.apply(arguments["embeddings"])  # type: ignore[no-untyped-call]
        return super()._loss(case, {**arguments, "embeddings": rows})


class NoForwardMode(Torch):
    """Forward mode takes the rows for a constant."""

    breaks: ClassVar[str] = "GRD-14"
    capabilities = only("transforms")

    def _loss(self, case: Case, arguments: dict[str, Any]) -> Tensor:
        rows: Tensor = Forgetful.apply(arguments["embeddings"])  # type: ignore[no-untyped-call]
        return super()._loss(case, {**arguments, "embeddings": rows})


class NoForwardModeByTiles(Torch):
    """Forward mode takes the rows for a constant where there are several tiles."""

    breaks: ClassVar[str] = "GRD-15"
    capabilities = only("transforms", modes=("eager", "tiles of 3"))

    def _loss(self, case: Case, arguments: dict[str, Any]) -> Tensor:
        if case.mode == "eager":
            return super()._loss(case, arguments)
        rows: Tensor = Forgetful.apply(arguments["embeddings"])  # type: ignore[no-untyped-call]
        return super()._loss(case, {**arguments, "embeddings": rows})
