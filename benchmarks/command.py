"""What `speed`, `memory` and `profile` do: choose cases, ask workers, write results."""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks import cases as every_case
from tuned_contrastive.benchmarks import frameworks, kept, profiling, tables
from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.environment import environment, memory_bytes
from tuned_contrastive.benchmarks.floor import SIDE
from tuned_contrastive.benchmarks.processes import UsageError, ask, ask_in_order
from tuned_contrastive.benchmarks.progress import Progress
from tuned_contrastive.benchmarks.speed import told_breakdown
from tuned_contrastive.conformance.writing import write_text

Document = dict[str, Any]
INTERRUPTED = 130
MEMORY_SIZES = (4096, 16384, 65536)
NOT_IN_MEMORY = (
    frameworks.OURS_XLA,
    frameworks.OURS_COMPILED,
    frameworks.OURS_DENSE,
    frameworks.LEAN_XLA,
)
"""Compiled at their first call, whose memory is not the step's; and the same formula again."""


def speed(options: argparse.Namespace) -> int:
    """Time every case, and return the exit status."""
    chosen = _cases(options, every_case.SIZES)
    if options.variants:
        # A quick run shows that they work, with two of them, not how they do.
        sizes = options.sizes[:1] if options.quick else options.sizes or every_case.SIZES
        for loss in options.losses:
            chosen += every_case.learnable(loss, sizes)
            chosen += every_case.variants(loss, sizes)[-2 if options.quick else 0 :]
    found = _document("speed", options)
    _in_order(dict.fromkeys(options.frameworks, chosen), found, options)
    return _conclude(found, options)


def memory(options: argparse.Namespace) -> int:
    """Measure the peak memory of every candidate in processes of its own; return the status."""
    chosen = _cases(options, MEMORY_SIZES)
    found = _document("memory", options)
    with tempfile.TemporaryDirectory() as folder, _kept_if_interrupted(found, options):
        jobs = [
            (name, case, candidate)
            for name in options.frameworks
            for case, candidate in _candidates(name, chosen, options, folder)
        ]
        progress = Progress("memory", len(jobs))
        for name, case, candidate in jobs:
            told = f"{name}: {case.told}, {candidate}"
            progress.at(told)
            kept.put(found, peak_memory(name, case, candidate, options, folder))
            progress.step(told)
        progress.close()
    return _conclude(found, options)


def peak_memory(
    name: str, case: Case, candidate: str, options: argparse.Namespace, folder: str
) -> Document:
    """Return what one candidate's step takes in a process of its own, as its measurement."""
    request = _request("memory", name, options, folder)
    request |= {"cases": [case.as_request()], "candidate": candidate}
    heard: list[Document] = []
    why = ask(request, heard.append)
    failed = {"framework": name, **case.as_json(), "name": candidate,
              "status": told_breakdown(why), "reason": why}  # fmt: skip
    return heard[0]["done"] if heard else failed


def profile(options: argparse.Namespace) -> int:
    """Tell the operations of every case's step, and return the status."""
    chosen = profiling.watched_cases(_cases(options, every_case.SIZES))
    found = _document("profile", options)
    _in_order(dict.fromkeys(options.frameworks, chosen), found, options)
    return _conclude(found, options)


def _in_order(by_name: dict[str, list[Case]], found: Document, options: argparse.Namespace) -> None:
    """Have the cases of each framework measured in one process of its own."""
    progress = Progress(found["what"], sum(map(len, by_name.values())))
    with tempfile.TemporaryDirectory() as folder, _kept_if_interrupted(found, options):
        for name, cases in by_name.items():

            def hear(
                number: int, answer: Document, name: str = name, cases: list[Case] = cases
            ) -> None:
                told = f"{name}: {cases[number].told}"
                if "begun" in answer:
                    progress.at(f"{told}, {answer['begun'][1]}")
                    return
                kept.put(found, answer["done"])
                progress.step(told)

            ask_in_order(_request(found["what"], name, options, folder), cases, hear)
    progress.close()


def _cases(options: argparse.Namespace, sizes: tuple[int, ...]) -> list[Case]:
    """Return one case for each loss, size and setting, losses together, sizes ascending."""
    if options.quick and not options.sizes:
        options.sizes = [1024] if options.command == "memory" else [256, 1024]
    found = []
    for loss, D, classes, N in itertools.product(
        options.losses, options.dims, options.classes, options.sizes or sizes
    ):
        base = Case(loss, N)
        case = Case(loss, N, D, classes, options.temperature, options.learnable)
        differs = {
            f"D = {D}": base.D != D,
            f"{classes} classes": base.classes != classes,
            f"T = {options.temperature}": base.temperature != options.temperature,
            "learnable": options.learnable,
        }
        variant = ", ".join(name for name, does in differs.items() if does) or "base"
        found.append(replace(case, variant=variant))
    return found


def _candidates(
    name: str, chosen: list[Case], options: argparse.Namespace, folder: str
) -> Iterator[tuple[Case, str]]:
    """Yield each case with each candidate whose memory is measured."""
    if options.quick and not options.rival:
        yield from ((case, frameworks.OURS) for case in chosen)
        return
    names: dict[str, list[str]] = {}
    request = _request("names", name, options, folder)
    request |= {"cases": [case.as_request() for case in chosen]}
    why = ask(request, lambda answer: names.update(answer["names"]))
    if why:
        raise RuntimeError(f"the worker of {name} broke down: {why}")
    for case in chosen:
        yield from (
            (case, each)
            for each in names[case.loss]
            if each not in (*NOT_IN_MEMORY, frameworks.OURS_BASE)
        )


def _request(what: str, name: str, options: argparse.Namespace, folder: str) -> Document:
    seconds = 0.2 if options.quick else options.seconds
    return {
        "what": what,
        "framework": name,
        "device": "cpu",
        "threads": options.threads,
        "rival": options.rival,
        "folder": folder,
        "memory_bytes": options.memory_limit * 2**30 or memory_bytes("MemAvailable"),
        "settings": {"seconds": seconds},
        "side": 1024 if options.quick else SIDE,
        "excused": [],
    }


def _document(what: str, options: argparse.Namespace) -> Document:
    found: Document = {
        "schema": 1,
        "what": what,
        "partial": False,
        "quick": bool(options.quick),
        "environment": environment(options.threads),
        "measurements": [],
    }
    if options.keep:
        kept.begin(found, options)
    return found


@contextmanager
def _kept_if_interrupted(found: Document, options: argparse.Namespace) -> Iterator[None]:
    """Write what was measured, marked as partial, before an interrupt or a breakdown goes on."""
    try:
        yield
    except UsageError:
        raise
    except BaseException:
        found["partial"] = True
        if found["measurements"]:
            _conclude(found, options)
        raise


def _conclude(found: Document, options: argparse.Namespace) -> int:
    """Write the results and say them."""
    try:
        if options.json:
            write_json(Path(options.json), found)
        if options.plot:
            from tuned_contrastive.benchmarks import figures

            figures.draw(found, Path(options.plot))
    finally:  # where a file cannot be written, this is all there is
        sys.stdout.write(tables.document(found))
        sys.stdout.flush()
    return 0


def write_json(file: Path, found: Document) -> None:
    """Write a result, one measurement's samples on few lines."""
    write_text(file, json.dumps(found, indent=1, allow_nan=False) + "\n")
