"""Runs candidates in PyTorch: eager and `torch.compile`, on a CPU or a CUDA device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuned_contrastive.backends.torch import supcon_loss, tcl_loss
from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.benchmarks.frameworks import Candidate, Step
from tuned_contrastive.benchmarks.peers import torch as peers

OURS: dict[str, Callable[..., Any]] = {"supcon": supcon_loss, "tcl": tcl_loss}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
REPEATS = 32
COMPILED_AT = (256, 1024)
"""Where `torch.compile` of ours is timed: one program for every N, by tiles."""


class Torch:
    """PyTorch on one device."""

    name = "torch"

    def __init__(self, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self.device = torch.device(device)

    def candidates(self, case: Case) -> list[Candidate]:
        """Return ours and the rivals, which compute the same function of the same rows."""
        dense = frameworks.with_block_size(OURS[case.loss], 0)
        found = [
            Candidate(frameworks.OURS, OURS[case.loss], is_ours=True),
            Candidate(frameworks.OURS_DENSE, dense, 9, is_ours=True),
            Candidate(frameworks.LEAN, peers.LEAN[case.loss], 6),
        ]
        if case.variant == "base" and case.N in COMPILED_AT and self.device.type == "cpu":
            compiled = torch.compile(OURS[case.loss], fullgraph=True, dynamic=True)
            found.append(Candidate(frameworks.OURS_COMPILED, compiled, 9, "compile", is_ours=True))
        if case.loss == "supcon":
            found.append(Candidate(frameworks.SUPCONTRAST, peers.as_in_supcontrast, 8))
            if not case.learnable:  # its temperature is a number
                pml = peers.pytorch_metric_learning(case.temperature)
                found += [Candidate(frameworks.PML, pml, 12)] if pml else []
        else:
            found.append(Candidate(frameworks.RELEASED, peers.as_in_released_tcl, 9))
        return found

    def compiled(self, case: Case) -> list[Candidate]:
        """Return what `torch.compile` makes of the dense formula, one program for every N."""
        lean = torch.compile(peers.LEAN[case.loss], dynamic=True)
        return [Candidate(frameworks.LEAN_COMPILED, lean, 3, mode="compile")]

    def rival(self, name: str, loss: Callable[..., Any]) -> Candidate:
        """Return a user's callable as a candidate."""
        return Candidate(name, lambda embeddings, labels, **_: loss(embeddings, labels))

    def step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call of value and gradient."""
        rows, classes = frameworks.shaped(candidate, case, batch)
        x = torch.tensor(rows, dtype=DTYPES[case.dtype], device=self.device, requires_grad=True)
        labels = None if classes is None else torch.tensor(classes, device=self.device)
        parameters: dict[str, Any] = dict(case.parameters)
        variables = [x]
        if case.learnable:
            for name, value in parameters.items():
                parameters[name] = torch.tensor(value, device=self.device, requires_grad=True)
                variables.append(parameters[name])

        def step() -> tuple[Tensor, ...]:
            loss = candidate.loss(x, labels, **parameters)
            return loss.detach(), *torch.autograd.grad(loss, variables)

        return step

    def numbers(self, found: Any, case: Case) -> dict[str, NDArray[np.float64]]:
        """Return a step's result by name."""
        names = ("loss", "embeddings", *(case.parameters if case.learnable else ()))
        return {
            name: value.double().cpu().numpy() for name, value in zip(names, found, strict=True)
        }

    def floor_steps(self, side: int) -> tuple[Step, Step, int]:
        """Return a product and exponentials, both into memory that is there already."""
        on_card = self.device.type == "cuda"
        a, b = torch.randn(2, side, side, device=self.device)
        product = torch.empty_like(a)
        cached = 2048 if on_card else 512  # a launch takes as long as 512 x 512 exponentials
        block = torch.rand(cached, cached, device=self.device)
        exponentials = torch.empty_like(block)

        def exponents() -> None:
            for _ in range(REPEATS):
                torch.exp(block, out=exponentials)

        return lambda: torch.matmul(a, b, out=product), exponents, REPEATS * cached**2

    def compiled_step(
        self, candidate: Candidate, case: Case, batch: Batch
    ) -> tuple[Step, int | None]:
        """Return the step: nothing is compiled, and there is no figure."""
        return self.step(candidate, case, batch), None

    def operations(
        self, candidate: Candidate, case: Case, batch: Batch, calls: int
    ) -> dict[str, float]:
        """Return the seconds of each operation in some steps, autograd's own nodes among them."""
        step = self.step(candidate, case, batch)
        step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for _ in range(calls):
                step()
        return {
            event.key.removeprefix("aten::"): event.self_cpu_time_total / 1e6
            for event in found.key_averages()
        }

    def device_step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call that only queues its work on the device."""
        return self.step(candidate, case, batch)

    def device_seconds(self, step: Step, calls: int) -> float:
        """Return the seconds of one of some calls, by the device's own events."""
        event: Any = torch.cuda.Event  # untyped
        began, ended = event(enable_timing=True), event(enable_timing=True)
        began.record()
        for _ in range(calls):
            step()
        ended.record()
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1e3 / calls

    def device_peak(self, candidate: Candidate, case: Case, batch: Batch, step: Step) -> int:
        """Return the growth of the allocator's peak in one call."""
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        step()
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device) - before

    def free_device_bytes(self) -> int:
        """Return what is free on the device, after giving back what is cached."""
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self.device)[0]


make = Torch
