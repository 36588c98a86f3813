"""What is measured: one loss on one batch, told without a framework."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.spec import contract

FRAMEWORKS = ("torch", "tensorflow", "jax")
LOSSES = ("supcon", "tcl")
SIZES = (256, 1024, 4096, 16384, 65536)
VARIANTS_AT = 4096
VIEWS_UP_TO = 1024
"""Where a rival that holds N x N x D (optax's) still fits."""

MANY_CLASSES_AT = 16384
"""Where 10,000 classes still leave positives."""


@dataclass(frozen=True)
class Batch:
    """One input: unit rows in storage dtype float32, and the class of each row."""

    embeddings: NDArray[np.float32]
    """(N, D)."""
    labels: NDArray[np.int64]
    """(N,); for views the number of the sample."""


@dataclass(frozen=True)
class Case:
    """One loss on one batch; `variant` names what differs from the base case of the targets."""

    loss: str
    N: int
    D: int = 128
    classes: int = 100
    temperature: float = contract.TEMPERATURE
    learnable: bool = False
    views: bool = False
    dtype: str = "float32"
    variant: str = "base"
    rivals: bool = True
    """Whether candidates that hold N x N take part; ours and the floor always do."""

    @property
    def parameters(self) -> dict[str, float]:
        """The scalars of the loss by name."""
        weights = {"k1": contract.K1, "k2": contract.K2} if self.loss == "tcl" else {}
        return {"temperature": self.temperature, **weights}

    @property
    def base(self) -> "Case":
        """The base case of the same loss and size."""
        return Case(self.loss, self.N, dtype=self.dtype)

    @property
    def told(self) -> str:
        """The case in a few words, for a line of progress."""
        return f"{self.loss}, N = {self.N}" + (
            "" if self.variant == "base" else f", {self.variant}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return what identifies the measurement in a result."""
        names = ("loss", "N", "D", "classes", "temperature", "learnable", "views", "dtype")
        return {name: getattr(self, name) for name in (*names, "variant")}

    def as_request(self) -> dict[str, Any]:
        """Return what a worker makes the same case of."""
        return self.as_json() | {"rivals": self.rivals}

    def batch(self) -> Batch:
        """Draw unit rows and a shuffle of arange(N) mod classes, always the same."""
        random = np.random.default_rng(self.N + self.D)
        rows = random.standard_normal((self.N, self.D), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if self.dtype == "bfloat16":
            rows = _rounded_to_bfloat16(rows)
        if self.views:
            return Batch(rows, np.arange(self.N) // 2)
        return Batch(rows, random.permutation(np.arange(self.N) % self.classes))


def variants(loss: str, sizes: Sequence[int]) -> list[Case]:
    """Return the further cases of the targets: no cliff anywhere. Ours alone, but for few views."""
    N = VARIANTS_AT if VARIANTS_AT in sizes else max(sizes)
    base = Case(loss, N, rivals=False)
    found = [
        replace(base, D=512, variant="D = 512"),
        replace(base, D=2048, variant="D = 2048"),
        replace(base, classes=2, variant="2 classes"),
        replace(base, temperature=0.01, variant="T = 0.01"),
    ]
    found += [
        replace(base, N=size, views=True, rivals=few, variant="(B, 2, D), no labels")
        for size, few in ((size, size <= VIEWS_UP_TO) for size in sizes)
        if few or size == N
    ]
    found += [
        replace(base, N=size, classes=10_000, variant="10,000 classes")
        for size in sizes
        if size == MANY_CLASSES_AT
    ]
    return found


def learnable(loss: str, sizes: Sequence[int]) -> list[Case]:
    """Return the cases of learnable T, k1 and k2; above `VARIANTS_AT` ours take part alone."""
    return [
        Case(loss, N, learnable=True, variant="learnable", rivals=N <= VARIANTS_AT) for N in sizes
    ]


def _rounded_to_bfloat16(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest bfloat16 numbers, ties to even, still stored as float32."""
    bits = rows.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32)
