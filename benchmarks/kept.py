"""Measurements of an earlier run that stay in its file, each told with the run that it is from."""

import argparse
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.cases import Case
from tuned_contrastive.benchmarks.processes import UsageError
from tuned_contrastive.benchmarks.report import read

Document = dict[str, Any]
IDENTITY = ("framework", "name", *Case("supcon", 2).as_json())
"""What tells one measurement from another; memory has one for each candidate, by name."""

ALIKE = ("cores", "memory_gib", "threads", "python", "versions")
"""Of the environment: what both runs have to share."""

APART = ("date", "revision", "cpu")
"""Of the environment: what is told of a run whose measurements are kept."""


def begin(found: Document, options: argparse.Namespace) -> None:
    """Put the measurements in the file of --json into a document that is to replace it.

    Raises
    ------
    UsageError
        If --json names no file, or one of another kind of run, or of other versions.
    """
    if not options.json or not Path(options.json).is_file():
        raise UsageError("--keep needs --json with a file that is there")
    before = read(Path(options.json))
    for field in ("schema", "what", "quick"):
        _compare(field, before.get(field), found[field], options.json)
    for field in ALIKE:
        _compare(field, before["environment"].get(field), found["environment"][field], options.json)
    run = {name: before["environment"][name] for name in APART}
    found["measurements"] = [
        each | {"run": run | each.get("run", {})} for each in before["measurements"]
    ]
    found["partial"] = before["partial"]


def put(found: Document, measured: Document) -> None:
    """Add a measurement, in the place of what is kept of it from an earlier run."""
    every = found["measurements"]
    old = [each for each in every if "run" in each and _identity(each) == _identity(measured)]
    place = next((place for place, each in enumerate(every) if each in old), len(every))
    every[place : place + 1] = [measured]
    found["measurements"] = [each for each in every if each not in old]


def _compare(field: str, before: object, now: object, file: str) -> None:
    if before != now:
        raise UsageError(f"--keep needs {field} to be {now} in {file}, got {before}")


def _identity(measured: Document) -> tuple[Any, ...]:
    return tuple(measured.get(name) for name in IDENTITY)
