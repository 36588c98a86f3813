"""The floor: the least time for value and gradient, from rates measured in the same run.

4 N^2 D flops at the rate of the framework's own 4096-cubed float32 product, and N^2 exponentials
at its own rate on a block that stays in cache. What keeps pairs for the gradient may be faster.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from tuned_contrastive.benchmarks.frameworks import Framework, Step

SIDE = 4096
"""Of the product whose rate is taken; a quick run, which judges nothing, takes a smaller one."""


@dataclass
class Floor:
    """The two rates of a framework, and every sample of them."""

    product: Step
    exponents: Step
    exponentials: int
    """How many one call of `exponents` computes."""
    side: int = SIDE
    product_seconds: list[float] = field(default_factory=list)
    exponents_seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, framework: Framework, side: int = SIDE, samples: int = 3) -> "Floor":
        """Warm up, then take some samples."""
        found = cls(*framework.floor_steps(side), side)
        found.product()
        found.exponents()
        for _ in range(samples):
            found.sample()
        return found

    def sample(self) -> None:
        """Time each once more; the exponentials' block has to be in the cache again first."""
        self.product_seconds.append(timed(self.product))
        self.exponents()
        self.exponents_seconds.append(timed(self.exponents))

    def afresh(self) -> "Floor":
        """Return the same without its samples."""
        return Floor(self.product, self.exponents, self.exponentials, self.side)

    def as_json(self, N: int, D: int) -> dict[str, Any]:
        """Return the floor of a size, and the rates it comes from."""
        flops = 2 * self.side**3 / median(self.product_seconds)
        per_exponential = median(self.exponents_seconds) / self.exponentials
        taken = zip(self.product_seconds, self.exponents_seconds, strict=True)  # by rounds
        each = [
            floor_seconds(N, D, 2 * self.side**3 / product, exponents / self.exponentials)
            for product, exponents in taken
        ]
        return {
            "seconds": floor_seconds(N, D, flops, per_exponential),
            "quartiles": quartiles(each),
            "rounds": each,
            "flops_per_second": flops,
            "seconds_per_exponential": per_exponential,
            "side": self.side,
            "samples": len(self.product_seconds),
        }


def floor_seconds(N: int, D: int, flops: float, per_exponential: float) -> float:
    """Return 4 N^2 D flops and N^2 exponentials in seconds."""
    return 4 * N * N * D / flops + N * N * per_exponential


def quartiles(samples: Sequence[float]) -> list[float]:
    """Return the lower and the upper quartile; of one sample, twice that."""
    several = samples if len(samples) > 1 else [samples[0]] * 2
    low, _, high = quantiles(several, n=4, method="inclusive")
    return [low, high]


def timed(step: Step) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began
