"""Where and with what a measurement was taken."""

import math
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "tuned-contrastive", "numpy", "torch", "tensorflow", "keras", "jax", "jaxlib", "triton",
    "pytorch-metric-learning", "optax", "scikit-learn", "scipy",
)  # fmt: skip


def environment(threads: int) -> dict[str, Any]:
    """Return the machine, the versions and the date, as every result records them."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": threads,
        "memory_gib": _gib(memory_bytes("MemTotal")),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "revision": revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def versions() -> dict[str, str]:
    """Return the versions of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def revision() -> str | None:
    """Return the commit of the checkout that this package is in; None where it is in none."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """Return the processor's name, with its vector extensions, which matter more here."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return platform.processor() or platform.machine()
    text = file.read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(known.get("flags", "").split())
    best = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return " ".join(filter(None, (known.get("model name", platform.machine()), best)))


def memory_bytes(name: str) -> float:
    """Return a field of /proc/meminfo (MemTotal, MemAvailable) in bytes; infinite elsewhere."""
    file = Path("/proc/meminfo")
    if not file.is_file():
        return float("inf")
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    return float("inf")


def _gib(count: float) -> float | None:
    return round(count / 2**30, 1) if math.isfinite(count) else None
