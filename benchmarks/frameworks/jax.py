"""Runs candidates in JAX: `jax.jit` of value and gradient, on a CPU or a GPU."""

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.backends.jax import supcon_loss, tcl_loss
from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.benchmarks.frameworks import Candidate, Step
from tuned_contrastive.benchmarks.peers import jax as peers

OURS: dict[str, Callable[..., Any]] = {"supcon": supcon_loss, "tcl": tcl_loss}
REPEATS = 32
_wait: Callable[[Any], Any] = jax.block_until_ready


class Jax:
    """JAX on one device; its threads are those that the process may run on."""

    name = "jax"

    def __init__(self, threads: int, device: str) -> None:
        self.device = jax.devices(device)[0]
        jax.config.update("jax_default_device", self.device)  # type: ignore[no-untyped-call]

    def candidates(self, case: Case) -> list[Candidate]:
        """Return ours, the lean formula, and optax where it computes the same."""
        ours, lean = OURS[case.loss], peers.LEAN[case.loss]
        dense = frameworks.with_block_size(ours, 0)
        found = [
            Candidate(frameworks.OURS, ours, mode="jit", is_ours=True),
            Candidate(frameworks.OURS_DENSE, dense, 4, "jit", is_ours=True),
            Candidate(frameworks.LEAN, lean, 4, "jit"),
        ]
        optax = peers.optax_ntxent() if case.views and case.loss == "supcon" else None
        # It broadcasts (N, N, D) before it sums.
        found += [Candidate(frameworks.OPTAX, optax, 3 * case.D, "jit")] if optax else []
        return found

    def compiled(self, case: Case) -> list[Candidate]:
        """Return nothing: the candidates are compiled already."""
        return []

    def rival(self, name: str, loss: Callable[..., Any]) -> Candidate:
        """Return a user's callable as a candidate, jitted."""
        return Candidate(name, lambda embeddings, labels, **_: loss(embeddings, labels), 0, "jit")

    def step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call of value and gradient as one program."""
        compiled, x, varied, labels = self._program(candidate, case, batch)
        return lambda: _wait(compiled(x, varied, labels))

    def numbers(self, found: Any, case: Case) -> dict[str, NDArray[np.float64]]:
        """Return a step's result by name."""
        loss, (rows, varied) = found
        given = {"loss": loss, "embeddings": rows, **varied}
        return {name: np.asarray(value, np.float64) for name, value in given.items()}

    def floor_steps(self, side: int) -> tuple[Step, Step, int]:
        """Return a product and exponentials, both jitted."""
        first, second = jax.random.split(jax.random.key(0))
        a, b = (jax.random.normal(key, (side, side)) for key in (first, second))
        cached = 512 if self.device.platform == "cpu" else 2048
        block = jax.random.uniform(first, (cached, cached))
        product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST))
        exponential = jax.jit(jnp.exp)

        def exponents() -> None:
            for _ in range(REPEATS):
                found = exponential(block)
            found.block_until_ready()

        return lambda: product(a, b).block_until_ready(), exponents, REPEATS * cached**2

    def compiled_step(
        self, candidate: Candidate, case: Case, batch: Batch
    ) -> tuple[Step, int | None]:
        """Return the compiled step and what it takes beside its input, by `memory_analysis`."""
        program, x, varied, labels = self._program(candidate, case, batch)
        compiled = program.lower(x, varied, labels).compile()
        found = compiled.memory_analysis()
        size = found and int(found.temp_size_in_bytes + found.output_size_in_bytes)
        return lambda: _wait(compiled(x, varied, labels)), size

    def operations(
        self, candidate: Candidate, case: Case, batch: Batch, calls: int
    ) -> dict[str, float]:
        """Return the seconds of each operation in some steps; a fusion has the name of its last."""
        program, *arguments = self._program(candidate, case, batch)
        compiled = program.lower(*arguments).compile()
        told = re.findall(r'%([\w.-]+) = .*op_name="(?:[^"]*/)?([^"]*)"', compiled.as_text())
        names = dict(told)
        _wait(compiled(*arguments))
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                for _ in range(calls):
                    _wait(compiled(*arguments))
            (file,) = Path(folder).rglob("*.xplane.pb")
            profile = jax.profiler.ProfileData.from_file(str(file))
        found: defaultdict[str, float] = defaultdict(float)
        for line in (line for plane in profile.planes for line in plane.lines):
            events = list(line.events)
            first = min((e.start_ns for e in events), default=0)  # else digits are lost
            spans = [(e.name, (e.start_ns - first) / 1e9, (e.end_ns - first) / 1e9) for e in events]
            for name, seconds in frameworks.own_seconds(spans).items():
                if name in names:
                    found[names[name]] += seconds
        return dict(found)

    def _program(self, candidate: Candidate, case: Case, batch: Batch) -> tuple[Any, Any, Any, Any]:
        rows, classes = frameworks.shaped(candidate, case, batch)
        x = jax.device_put(jnp.asarray(rows, case.dtype), self.device)
        labels = None if classes is None else jnp.asarray(classes, jnp.int32)
        fixed: dict[str, Any] = {} if case.learnable else dict(case.parameters)
        given = case.parameters.items() if case.learnable else ()
        varied = {name: jnp.float32(value) for name, value in given}

        def loss(x: Any, varied: Any, labels: Any) -> Any:
            return candidate.loss(x, labels, **fixed, **varied)

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), x, varied, labels

    def device_step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call that only queues its work on the device."""
        compiled, x, varied, labels = self._program(candidate, case, batch)
        return lambda: compiled(x, varied, labels)

    def device_seconds(self, step: Step, calls: int) -> float:
        """Return the seconds of one of some queued calls; JAX offers no events of the device."""
        began = time.perf_counter()
        for _ in range(calls):
            found = step()
        _wait(found)
        return (time.perf_counter() - began) / calls

    def device_peak(self, candidate: Candidate, case: Case, batch: Batch, step: Step) -> int:
        """Return the compiler's figure: the peak that JAX keeps cannot be reset."""
        return self.compiled_step(candidate, case, batch)[1] or 0

    def free_device_bytes(self) -> int:
        """Return what is free on the device."""
        found = self.device.memory_stats() or {}
        return int(found.get("bytes_limit", 0)) - int(found.get("bytes_in_use", 0))


make = Jax
