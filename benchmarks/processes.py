"""Starts workers, hears their answers, and goes on where one of them broke down."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.conformance.targets import missing

Answer = dict[str, Any]
WORKER = [sys.executable, "-m", "tuned_contrastive.benchmarks.worker"]
MOST_BREAKDOWNS = 8


class UsageError(Exception):
    """What was asked for cannot be measured; nothing has been."""


def require(*packages: str) -> None:
    """Refuse to begin where one of some packages is not installed."""
    if told := missing(*packages):
        raise UsageError(told)


def ask(request: Answer, hear: Callable[[Answer], None], seconds: float | None = None) -> str:
    """Run one worker on a request; return why it broke down, or nothing.

    After `seconds` it is killed, whatever it is at.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        worker = subprocess.Popen(
            WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            env=own_environment(),
        )  # fmt: skip
        assert worker.stdin is not None
        assert worker.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            worker.kill()

        clock = threading.Timer(seconds or 0.0, end)
        try:
            if seconds is not None:
                clock.start()
            worker.stdin.write(json.dumps(request))
            worker.stdin.close()
            for line in worker.stdout:
                if not line.endswith("\n"):
                    break  # killed while it wrote
                answer = json.loads(line)
                if "usage" in answer:
                    raise UsageError(answer["usage"])
                hear(answer)
            code = worker.wait()
        finally:
            clock.cancel()
            worker.stdout.close()
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        if late.is_set():
            return f"its process was not done in {seconds:.0f} s"
        said.seek(0)
        return "" if code == 0 else _breakdown(code, said.read())


def ask_in_order(
    request: Answer, cases: Sequence[Case], hear: Callable[[int, Answer], None]
) -> None:
    """Have every case measured; a candidate that ends its process is excused from its case.

    `hear` gets the number of a case and its measurement, or the begun candidate's name.
    """
    excused: list[tuple[int, str, str]] = []
    done = 0
    for _ in range(MOST_BREAKDOWNS):
        begun: list[Any] = []
        start = done

        def each(answer: Answer, start: int = start, begun: list[Any] = begun) -> None:
            nonlocal done
            if "begun" in answer:
                begun[:] = answer["begun"]
                hear(start + begun[0], answer)
            else:
                done = start + answer["number"] + 1
                begun.clear()
                hear(start + answer["number"], answer)

        rest = [case.as_request() for case in cases[start:]]
        left = [(at - start, name, why) for at, name, why in excused if at >= start]
        why = ask(request | {"cases": rest, "excused": left}, each)
        if not why and done == len(cases):
            return
        why = why or "it ended the process without an error"
        if not begun:
            raise RuntimeError(f"the worker of {request['framework']} broke down: {why}")
        excused.append((start + begun[0], begun[1], why))
    raise RuntimeError(f"the worker of {request['framework']} broke down too often: {why}")


def own_environment() -> dict[str, str]:
    """Return the environment of what is started.

    It has no cache of compiled programs, whose time is measured; and JAX takes of a device's memory
    what it needs, not most of it at once.
    """
    kept = {name: value for name, value in os.environ.items() if "COMPILATION_CACHE" not in name}
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": kept.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    }
    return {**kept, **quiet, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def _breakdown(code: int, said: str) -> str:
    lines = said.strip().splitlines() or ["it said nothing"]
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    telling = [line for line in lines if "alloc" in line] or lines[-1:]
    return f"its process {how}: {telling[-1][:160]}"
