"""What an implementation must offer to be judged: NumPy in, NumPy out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
DTYPES = ("float64", "float32", "bfloat16", "float16")
GRADIENTS = ("embeddings", "temperature", "k1", "k2")
TILES = {"dense": 0, "tiles of 1": 1, "tiles of 3": 3, "one tile": 10**6}
"""Modes in which the pairs are visited by tiles of so many rows (0: all at once)."""


class AnswerError(AssertionError):
    """What came back is no answer; the message says what was allowed, and what came."""


class LostError(AnswerError):
    """After which the next line may not be the answer to the next case."""


@dataclass(frozen=True)
class Case:
    """One call of a loss.

    Parameters
    ----------
    loss : {"supcon", "tcl"}
    embeddings : float64 array, (N, D) or (B, V, D)
        Every number is exactly representable in `dtype`, which the implementation is to be given.
    labels : integer or boolean array, (N,) or (B,), or None
    parameters : mapping
        Some of temperature, k1, k2, normalize, reduction; what is absent takes its default.
    dtype : {"float64", "float32", "bfloat16", "float16"}
    mode : str
        One of the implementation's modes; "eager" is the plain call, those of `TILES` choose how
        many rows a tile has.
    learnable : bool
        Whether temperature, k1 and k2 are handed over as differentiable scalars.
    """

    loss: str
    embeddings: Float64
    labels: NDArray[Any] | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    mode: str = "eager"
    learnable: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came out, as float64 arrays; a quantity that was not asked for or is not there is None.

    `loss` has shape (), (N,) or (B, V); `embeddings` that of the input; the others (). `loss_dtype`
    and `gradient_dtype` name what they were before they became float64 here, as in `DTYPES`.
    """

    loss: Float64
    embeddings: Float64 | None = None
    temperature: Float64 | None = None
    k1: Float64 | None = None
    k2: Float64 | None = None
    loss_dtype: str | None = None
    gradient_dtype: str | None = None
    intact: bool = True
    """Whether the call left the native embeddings and labels as they were."""


@dataclass(frozen=True)
class Capabilities:
    """What an implementation claims; whatever it does not claim is "not applicable".

    `fixed` holds the values of spec parameters that cannot be chosen (temperature, k1, k2,
    normalize, reduction): vectors with other values are not applicable. `errors` is "none",
    "category" (TypeError or ValueError) or "text". `features` are names that tests ask for.
    """

    losses: frozenset[str] = frozenset({"supcon", "tcl"})
    dtypes: tuple[str, ...] = ("float64", "float32")
    reductions: tuple[str, ...] = ("mean", "sum", "none")
    inputs: frozenset[str] = frozenset({"flat", "views"})
    unlabelled: bool = True
    pairs_only: bool = False
    """Whether it takes two rows of every class, no more and no fewer, as losses of two views do."""
    most_rows: int | None = None
    """The rows of the largest batch that it has the memory for, if it cannot have any."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    gradients: frozenset[str] = frozenset(GRADIENTS)
    modes: tuple[str, ...] = ("eager",)
    errors: str = "none"
    features: frozenset[str] = frozenset()
    not_run: Mapping[str, str] = field(default_factory=dict)
    """Modes or features that are claimed but cannot run on this machine, and why."""


FEATURES = {
    "learnable": "temperature, k1 and k2 may be differentiable scalars",
    "second-derivatives": "hessian_vector_product is offered",
    "native-labels": "labels as framework array, NumPy array, list: `loss_with_labels_as`",
    "mixed-precision": "mode 'mixed' runs under the framework's automatic mixed precision",
    "transforms": "per-sample maps, forward mode and functional gradients: `transformed`",
    "defaults": "absent parameters take the spec's defaults",
    "devices": "labels may be put on another device",
    "keras": "in mode 'restored' Keras' own loop calls a module that was saved and loaded",
    "32-bit-integers": "may run without 64-bit integers: `call_in_32_bits`",
    "precision": "the precision of matrix products may be chosen: `product_precisions`",
    "performance": "memory is measured, and mode 'dense' holds all pairs: `peak_memory`",
}


@runtime_checkable
class Implementation(Protocol):
    """An object that the suite can judge.

    `gradients` is called where gradients are claimed; the methods of the other protocols are
    needed where their feature is claimed.
    """

    name: str
    capabilities: Capabilities

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        ...

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradients; `upstream` has the shape of the loss."""
        ...


class WithSecondDerivatives(Protocol):
    """Feature "second-derivatives"."""

    def hessian_vector_product(self, case: Case, direction: Mapping[str, Float64]) -> Outcome:
        """Return H v of the reduced loss.

        `direction` has embeddings, temperature and, for TCL, k1 and k2.
        """
        ...


class WithErrors(Protocol):
    """Capability `errors`: the call with arguments as a must-reject vector describes them."""

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call with native arguments made from portable descriptions (spec/vectors/README.md)."""
        ...


class WithLabelKinds(Protocol):
    """Feature "native-labels"."""

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as "array" (the framework's), "numpy" or "list"."""
        ...


class WithNarrowIntegers(Protocol):
    """Feature "32-bit-integers"."""

    def call_in_32_bits(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call as `WithErrors` does, in a process without 64-bit integers."""
        ...


class WithPrecision(Protocol):
    """Feature "precision"."""

    def product_precisions(self, case: Case, precision: str | None) -> frozenset[str]:
        """Return the precisions that products ask for, given one or (None) left at the default."""
        ...


class WithPerformance(Protocol):
    """Feature "performance"."""

    def peak_memory(self, loss: str, rows: int) -> int:
        """Return by how many bytes memory grows, at most, in a call with its gradient.

        For `rows` rows of 32 float32 columns, `performance.COLUMNS`.
        """
        ...


class WithTransforms(Protocol):
    """Feature "transforms"."""

    def transformed(self, name: str, case: Case) -> tuple[Float64, Float64]:
        """Return (what the transform gives, what plain calls give) for one of `transforms`."""
        ...

    transforms: tuple[str, ...]
