"""What PRF-1 and PRF-2 measure: the memory of a large call, in a process of its own, and its time.

``python -m tuned_contrastive.conformance.performance TARGET LOSS ROWS`` prints bytes.
"""

import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from tuned_contrastive.conformance.protocol import Case, Implementation
from tuned_contrastive.conformance.targets import load_target

COLUMNS = 32
CLASSES = 100
WARM = 2048
"""Rows of the call before the measured one, which loads what a first call loads."""

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def large_case(loss: str, rows: int, columns: int = COLUMNS, mode: str = "eager") -> Case:
    """Return an ordinary call of many rows, float32, in 100 classes."""
    drawn = np.random.default_rng(rows).normal(size=(rows, columns))
    embeddings = drawn.astype(np.float32).astype(np.float64)
    labels = np.random.default_rng(0).permutation(rows) % CLASSES
    return Case(loss, embeddings, labels, dtype="float32", mode=mode)


def growth_in_new_process(target: str, loss: str, rows: int) -> int:
    """Return by how many bytes a process grows in one call and its gradient."""
    words = [sys.executable, "-m", "tuned_contrastive.conformance.performance"]
    done = subprocess.run(
        [*words, target, loss, str(rows)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{target} could not be measured: {done.stderr.strip()[-500:]}")
    return int(done.stdout.split()[-1])


def seconds(implementation: Implementation, case: Case) -> float:
    """Return how long one call and its gradient take."""
    began = perf_counter()
    implementation.gradients(case, np.ones(()))
    return perf_counter() - began


def _growth(target: str, loss: str, rows: int) -> int:
    implementation, case = load_target(target), large_case(loss, rows)
    implementation.gradients(large_case(loss, WARM), np.ones(()))
    if STATUS.is_file():
        CLEAR.write_text("5", encoding="ascii")  # or the peak of loading, and of whoever forked
    before = _peak()
    implementation.gradients(case, np.ones(()))
    return max(0, _peak() - before)


def _peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    if STATUS.is_file():
        lines = STATUS.read_text(encoding="ascii").splitlines()
        (found,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return 1024 * int(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    name, loss, count = sys.argv[1:]
    sys.stdout.write(f"{_growth(name, loss, int(count))}\n")
