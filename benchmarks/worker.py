"""One framework's process: reads a request as JSON, answers with lines of JSON.

PyTorch and TensorFlow never meet in one process, and a candidate that brings its process down
takes nothing with it but its own figure.
"""

import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.memory import status_bytes

SHARE_OF_MEMORY = 0.92
LEAST_MEMORY = 2**30
"""The inputs, the truth and the floor need some, however little candidates are allowed."""

Tell = Callable[[dict[str, Any]], None]


def main() -> int:
    """Do what the request on standard input asks for."""
    request = json.loads(sys.stdin.read())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    on_cores(int(request["threads"]))
    with tempfile.TemporaryDirectory() as empty:
        # Or a first call would find what an earlier run has compiled.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        serve(request, tell)
    return 0


def on_cores(threads: int) -> None:
    """Run on so many cores: the only number of threads that every framework heeds."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["OMP_NUM_THREADS"] = str(threads)


def limit_memory(free: float) -> None:
    """Let an allocation fail that the machine does not have: better than being killed."""
    data = status_bytes("VmData")
    if data is not None and free != float("inf"):
        most = data + int(max(free, LEAST_MEMORY))
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def serve(request: dict[str, Any], tell: Tell) -> None:
    """Load the framework and the rival, then measure case by case."""
    # Only now: a framework starts as many threads as there are cores.
    from tuned_contrastive.benchmarks import gpu_timing, memory, profiling, speed
    from tuned_contrastive.benchmarks.floor import Floor
    from tuned_contrastive.benchmarks.frameworks import load, load_rival
    from tuned_contrastive.conformance.targets import TargetError

    framework = load(request["framework"], int(request["threads"]), request["device"])
    if request["device"] == "cpu":
        limit_memory(float(request["memory_bytes"]))
    try:
        rival = load_rival(framework, request.get("rival"))
    except TargetError as error:
        return tell({"usage": str(error)})
    cases = [Case(**given) for given in request["cases"]]
    if request["what"] == "gpu":
        return gpu_timing.measure_all(framework, cases, request, tell)
    settings = speed.Settings(
        **request["settings"],
        memory_bytes=float(request["memory_bytes"]) * SHARE_OF_MEMORY,
        folder=Path(request["folder"]),
    )
    if request["what"] == "names":
        names = {case.loss: memory.candidate_names(framework, case, rival) for case in cases}
        return tell({"names": names})
    if request["what"] == "memory":
        name = request["candidate"]
        return tell({"done": memory.measure_memory(framework, cases[0], name, settings, rival)})
    floor = Floor.of(framework, int(request["side"]))
    for number, case in enumerate(cases):
        excused = {name: why for at, name, why in request["excused"] if at == number}

        def begun(name: str, number: int = number) -> None:
            tell({"begun": [number, name]})

        if request["what"] == "profile":
            done = profiling.profile(framework, case, settings, floor, excused=excused, tell=begun)
        else:
            done = speed.measure(
                framework, case, settings, floor, rival=rival, excused=excused, tell=begun
            )
        tell({"done": done, "number": number})
    return None


if __name__ == "__main__":
    sys.exit(main())
