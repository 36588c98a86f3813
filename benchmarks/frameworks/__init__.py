"""What a benchmark needs of a framework; each module makes its own, under the same names."""

import importlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.conformance.targets import TargetError, load_attribute

OURS = "ours"
OURS_XLA = "ours, XLA"
OURS_COMPILED = "ours, torch.compile"
OURS_DENSE = "ours, block_size=0"
OURS_BASE = "ours, base case"
"""Ours on the base case's input, in the run of a variant: whether there is a cliff."""

ALL_OURS = frozenset({OURS, OURS_XLA, OURS_COMPILED, OURS_DENSE, OURS_BASE})

LEAN = "lean dense"
LEAN_XLA = "lean dense, XLA"
LEAN_COMPILED = "lean dense, torch.compile"
SUPCONTRAST = "dense as in SupContrast"
RELEASED = "dense as in the released TCL"
PML = "pytorch-metric-learning"
OPTAX = "optax ntxent"

Step = Callable[[], Any]
"""One value and gradient; returns when both are there."""


@dataclass(frozen=True)
class Candidate:
    """One implementation of a case's loss."""

    name: str
    loss: Callable[..., Any]
    """Called as loss(embeddings, labels, **parameters)."""
    copies: float = 0.0
    """About how many N x N arrays of float32 it holds at its peak; 0: not dense."""
    mode: str = "eager"
    is_ours: bool = False

    def bytes_for(self, N: int) -> float:
        """Return what it will hold beside O(N D)."""
        return self.copies * 4.0 * N * N


class Framework(Protocol):
    """Runs candidates on one device of one framework."""

    name: str

    def candidates(self, case: Case) -> list[Candidate]:
        """Return what can compute the case's loss, ours first."""

    def rival(self, name: str, loss: Callable[..., Any]) -> Candidate:
        """Return a user's callable (embeddings, labels) -> loss as a candidate."""

    def step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call of value and gradient on that input, not yet compiled."""

    def numbers(self, found: Any, case: Case) -> dict[str, NDArray[np.float64]]:
        """Return a step's result by name: ``loss`` and its gradients."""

    def floor_steps(self, side: int) -> tuple[Step, Step, int]:
        """Return a (side, side) product, exponentials in cache, and how many those are."""

    def compiled_step(
        self, candidate: Candidate, case: Case, batch: Batch
    ) -> tuple[Step, int | None]:
        """Return a step compiled already, and the compiler's own figure for its memory if any."""

    def operations(
        self, candidate: Candidate, case: Case, batch: Batch, calls: int
    ) -> dict[str, float]:
        """Return the seconds of each operation in some steps, by the framework's profiler."""


def load(name: str, threads: int, device: str = "cpu") -> Framework:
    """Import a framework and return its runner."""
    module = importlib.import_module(f"tuned_contrastive.benchmarks.frameworks.{name}")
    found: Framework = module.make(threads, device)
    return found


def load_rival(framework: Framework, place: str | None) -> Candidate | None:
    """Return what a user named as FILE.py:attribute; TargetError where it cannot be called."""
    if not place:
        return None
    found = load_attribute(place)
    found = found() if isinstance(found, type) else found
    if not callable(found):
        raise TargetError(f"{place} must be callable as (embeddings, labels)")
    return framework.rival(Path(place).name, found)


def with_block_size(loss: Callable[..., Any], size: int) -> Callable[..., Any]:
    """Return our loss with a block_size, 0 for dense."""
    return lambda *arguments, **given: loss(*arguments, block_size=size, **given)


def shaped(candidate: Candidate, case: Case, batch: Batch) -> tuple[NDArray[Any], Any]:
    """Return embeddings and labels as a candidate takes them: only ours takes views."""
    if case.views and candidate.is_ours:
        return batch.embeddings.reshape(case.N // 2, 2, case.D), None
    return batch.embeddings, batch.labels


def own_seconds(spans: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Return the time of each name without that of what ran inside of it; spans of one thread.

    A span is a name, its begin and its end, in seconds.
    """
    found: defaultdict[str, float] = defaultdict(float)
    open_spans: list[tuple[str, float]] = []
    for name, begin, end in sorted(spans, key=lambda span: (span[1], -span[2])):
        while open_spans and open_spans[-1][1] <= begin:
            open_spans.pop()
        if open_spans:
            found[open_spans[-1][0]] -= end - begin
        found[name] += end - begin
        open_spans.append((name, end))
    return found
