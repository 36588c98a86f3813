"""The records of finished runs: one line of JSON each, on the disk before the next one counts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
"""One line: of a run, or of where the runs after it were made."""


class Records:
    """A file of records that a run killed in the middle leaves fit to go on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_half_a_line(path)
        self.lines = read(path)
        self.keys = {line["key"] for line in self.lines if "key" in line}

    def append(self, line: Record) -> None:
        """Write a line and wait until the disk has it."""
        with self.path.open("a", encoding="utf-8") as file:
            kept = {name: value for name, value in line.items() if name != "key"}
            file.write(json.dumps(kept) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(dict(line))
        if "key" in line:
            self.keys.add(line["key"])

    def runs(self) -> list[Record]:
        """Return the records of runs."""
        return [line for line in self.lines if "key" in line]


def read(path: Path) -> list[Record]:
    """Return all lines of a file, those of runs with their key; none where there is no file.

    Raises
    ------
    ValueError
        For a line that is no JSON object.
    """
    if not path.is_file():
        return []
    found: list[Record] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} of {path} must be JSON: {error}") from error
        if not isinstance(line, dict):
            raise ValueError(f"line {number} of {path} must be a JSON object, got {text[:40]}")
        if "run" in line:
            line["key"] = json.dumps(line["run"], sort_keys=True)  # as `Run.key`
        found.append(line)
    return found


def _drop_half_a_line(path: Path) -> None:
    """Cut what a killed run wrote after the last end of a line."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
