"""Peak memory of one value and gradient, in a fresh process, over what its inputs need already.

The process runs the same code at a small N, makes the inputs, and compiles without running (JAX
ahead of time; a TensorFlow graph is traced): libraries, thread pools and workspaces are then there.
It returns free memory to the system, resets the peak that the kernel keeps (VmHWM), takes one step
at the full N, and reads the peak: what grew is the step's own, its result included. Only then the
result is compared with the truth. Where the peak cannot be reset, its growth over the peak before
the step is taken instead: of VmHWM, or of `ru_maxrss` where there is no /proc.
"""

import ctypes
import gc
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.frameworks import Candidate, Framework
from tuned_contrastive.benchmarks.speed import (
    Settings,
    contestants,
    first_line,
    told_failure,
    told_wrong,
    too_large,
)
from tuned_contrastive.benchmarks.truth import truth

WARM_UP_AT = 256


def candidate_names(framework: Framework, case: Case, rival: Candidate | None) -> list[str]:
    """Return whose memory can be measured."""
    return [candidate.name for candidate, _ in contestants(framework, case, rival)]


def measure_memory(
    framework: Framework,
    case: Case,
    name: str,
    settings: Settings,
    rival: Candidate | None = None,
) -> dict[str, Any]:
    """Return the growth of one candidate's peak memory, in bytes; once in a process's life."""
    found: dict[str, Any] = {"framework": framework.name, **case.as_json(), "name": name}
    candidates = {each.name: each for each, _ in contestants(framework, case, rival)}
    if name not in candidates:
        return found | {"status": "failed", "reason": "does not take this case"}
    candidate = candidates[name]
    reason = too_large(candidate, case, settings)
    if reason:
        return found | {"status": "out of memory", "reason": reason}
    try:
        return found | _growth(framework, candidate, case, settings)
    except Exception as error:  # whatever a rival raises, the run goes on
        return found | {"status": told_failure(error), "reason": first_line(error)}


def _growth(
    framework: Framework, candidate: Candidate, case: Case, settings: Settings
) -> dict[str, Any]:
    small = replace(case, N=WARM_UP_AT)
    framework.step(candidate, small, small.batch())()
    if candidate.is_ours and candidate.name != frameworks.OURS_DENSE:
        # At a small N ours is dense: tiles bring modules of their own.
        tiled = frameworks.with_block_size(candidate.loss, 64)
        framework.step(replace(candidate, loss=tiled), small, small.batch())()
    batch = case.batch()
    step, compiled = framework.compiled_step(candidate, case, batch)
    gc.collect()
    _return_free_memory()
    reset = reset_peak()
    before = resident_bytes() if reset else peak_bytes()
    kept = step()
    after = peak_bytes()
    numbers = framework.numbers(kept, case)
    why = told_wrong(truth(case, batch, settings.folder), numbers, case)
    if why:
        return {"status": "wrong", "reason": why}
    return {"status": "measured", "bytes": max(after - before, 0), "compiled_bytes": compiled}


def reset_peak() -> bool:
    """Make the kernel's peak the present size; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return peak_bytes() - resident_bytes() < 2**22


def peak_bytes() -> int:
    """Return the peak resident size of this process."""
    found = status_bytes("VmHWM")
    if found is None:
        kilo = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo
    return found


def resident_bytes() -> int:
    """Return the present resident size of this process."""
    return status_bytes("VmRSS") or 0


def status_bytes(name: str) -> int | None:
    """Return a field of /proc/self/status in bytes; None where there is no such file."""
    file = Path("/proc/self/status")
    if not file.is_file():
        return None
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _return_free_memory() -> None:
    """Hand free memory back, which the step would use again without growing."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
