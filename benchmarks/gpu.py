"""What `gpu` does: conformance on CUDA, then time and memory there, within a time for it all."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks import figures, gpu_tables
from tuned_contrastive.benchmarks.cases import LOSSES, Case
from tuned_contrastive.benchmarks.command import write_json
from tuned_contrastive.benchmarks.environment import cores, environment
from tuned_contrastive.benchmarks.processes import UsageError, ask, own_environment, require
from tuned_contrastive.benchmarks.progress import Progress
from tuned_contrastive.conformance.targets import SUITE_NEEDS, missing

SIZES = (1024, 4096, 16384, 65536, 262144)
DIMS = (128, 512)
DTYPES = ("float32", "bfloat16")
SHARE_OF_CONFORMANCE = 0.4
"""Of the time for all: what the suites may take, both at once."""

GRACE = 0.04
"""Of the time for all: what a worker that plans its own end may take beyond its share."""

CARD = {
    "torch": "import torch; print(torch.cuda.get_device_name(0))",
    "jax": "import jax; print(jax.devices('cuda')[0].device_kind)",
}
Document = dict[str, Any]


def run(options: argparse.Namespace) -> int:
    """Judge and measure on the first CUDA device, and return the exit status."""
    if not 0 < options.seconds < 3600:
        raise UsageError("--seconds must be above 0 and below 3600")
    require(*SUITE_NEEDS)
    if all(missing(name) for name in CARD):
        require(*CARD)
    began = time.monotonic()
    cards = {name: card for name in CARD if (card := _card(name))}
    if not cards:
        raise UsageError("no CUDA device is visible to torch or jax: nothing was measured")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    found: Document = {"schema": 1, "what": "gpu", "partial": False, "quick": False}
    found |= {"environment": environment(cores()) | {"card": next(iter(cards.values()))}}
    found |= {"conformance": [], "measurements": []}
    found["missing"] = sorted(set(CARD) - set(cards))
    try:
        limit = options.seconds * SHARE_OF_CONFORMANCE
        found["conformance"] = _conformance(list(cards), folder, limit)
        _measure(list(cards), found, began + options.seconds * (1 - GRACE), options.seconds * GRACE)
    except BaseException:
        found["partial"] = True
        raise
    finally:
        write_json(folder / "gpu.json", found)
    lacking = missing("matplotlib")
    if not lacking and found["measurements"]:
        figures.draw(found, folder / "gpu.svg", folder / "gpu.png")
    if lacking:
        sys.stdout.write(f"No figure, which `report --results` draws elsewhere: {lacking}\n\n")
    sys.stdout.write(gpu_tables.document(found))
    passed = all(each["status"] == "conforms" for each in found["conformance"])
    return 0 if passed and found["measurements"] and not found.get("broken") else 1


def cases() -> list[Case]:
    """Return what is measured, in that order: small first, so that time runs out at the end."""
    return [
        Case(loss, N, D, dtype=dtype, variant=variant(D, dtype))
        for N in SIZES
        for D in DIMS
        for dtype in DTYPES
        for loss in LOSSES
    ]


def variant(D: int, dtype: str) -> str:
    """Return how a case differs from float32 at D = 128."""
    parts = [f"D = {D}"] * (D != 128) + [dtype] * (dtype != "float32")
    return ", ".join(parts) or "base"


def _card(name: str) -> str:
    """Return the name of a framework's CUDA device; nothing where it has none."""
    if missing(name):
        return ""
    done = subprocess.run(
        [sys.executable, "-c", CARD[name]], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _conformance(cards: list[str], folder: Path, seconds: float) -> list[Document]:
    """Run the suite on the device, all frameworks at once, and return how each ended."""
    ends = time.monotonic() + seconds
    running = {}
    for name in cards:
        file = folder / f"conformance-{name}.json"
        file.unlink(missing_ok=True)
        words = ["-m", "tuned_contrastive.conformance", name, "--device", "cuda", "--json"]
        with (folder / f"conformance-{name}.txt").open("w", encoding="utf-8") as log:
            running[name] = subprocess.Popen(
                [sys.executable, *words, str(file)], stdout=log, stderr=subprocess.STDOUT,
                env=own_environment(),  # at once on one device: none may take all of its memory
            )  # fmt: skip
    found = []
    progress = Progress("conformance", len(running))
    for name, process in running.items():
        try:
            code = process.wait(max(ends - time.monotonic(), 1))
            status = "conforms" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = f"not finished in {seconds:.0f} s"
        found.append({"framework": name, "status": status} | _clauses(folder, name))
        progress.step(f"{name}: {status}")
    progress.close()
    return found


def _clauses(folder: Path, name: str) -> Document:
    """Return how many clauses ended how."""
    file = folder / f"conformance-{name}.json"
    if not file.is_file():
        return {"clauses": {}}
    counts: dict[str, int] = {}
    (entry,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    for clause in entry["clauses"]:
        counts[clause["status"]] = counts.get(clause["status"], 0) + 1
    return {"clauses": counts}


def _measure(cards: list[str], found: Document, ends: float, grace: float) -> None:
    """Measure one framework after the other; a call that outlasts the end is killed."""
    chosen = cases()
    progress = Progress("gpu", len(cards) * len(chosen))
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(cards):
            seconds = (ends - time.monotonic()) / (len(cards) - number)

            def hear(answer: Document, name: str = name) -> None:
                done = answer["done"]
                found["measurements"].append(done)
                progress.step(f"{name}: {done['loss']}, N = {done['N']}, {done['variant']}")

            request = {
                "what": "gpu", "framework": name, "device": "cuda", "threads": cores(),
                "folder": folder,
                "seconds": max(seconds, 1.0), "cases": [case.as_request() for case in chosen],
            }  # fmt: skip
            why = ask(request, hear, max(seconds, 1.0) + grace)
            if why:
                found.setdefault("broken", []).append(f"{name}: {why}")
    progress.close()
