"""The files that a report is written to: whether they can be, before a run, and what is in them."""

import argparse
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance import report
from tuned_contrastive.conformance.compared import facts_beside
from tuned_contrastive.conformance.junit import junit
from tuned_contrastive.conformance.page import page
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.conformance.writing import NotWrittenError, write_text

SCALARS = (str, int, float, bool, type(None))
TOLD_WRITTEN = "written: {}"
PRINTED = (1, 2)
"""The descriptors of standard output and of standard error, where progress goes."""


def check(options: argparse.Namespace) -> None:
    """Refuse a report that could not be written before anything is judged, or over another."""
    known: dict[str, str] = {}
    for name, file in _places(options).items():
        other = known.setdefault(os.path.realpath(file), name)
        if other != name:
            raise TargetError(f"{other} and {name} are the same file, {file}")
    for name, file in _places(options).items():
        try:
            _check_place(name, file)
        except OSError as error:
            why = f"{file} cannot be written, and {name} needs it: {error.strerror}"
            raise TargetError(why) from error


def write(options: argparse.Namespace, document: dict[str, Any]) -> Iterator[Path]:
    """Write every report that was asked for, and give their places; then tell what failed."""
    asked = {kind: Path(getattr(options, kind)) for kind in KINDS if getattr(options, kind)}
    failed = []
    for kind, file in asked.items():
        try:
            write_text(file, KINDS[kind](document))
        except NotWrittenError as error:
            failed.append(str(error))
        else:
            yield file.absolute()
    if failed:
        raise NotWrittenError("; ".join(failed))


def _places(options: argparse.Namespace) -> dict[str, Path]:
    """Return the files that will be written, by what asks for them."""
    given = {f"--{kind}": getattr(options, kind) for kind in (*KINDS, "compared")}
    places = {name: Path(file) for name, file in given.items() if file}
    if options.compared:
        places["--compared, for its facts,"] = facts_beside(places["--compared"])
    return places


def _check_place(name: str, file: Path) -> None:
    """Open a file as if to write it, and leave all as it was; OSError where that cannot be."""
    place = Path(os.path.realpath(file))
    if not place.parent.is_dir():
        raise TargetError(f"{file} is in no folder that exists")
    try:
        found = os.stat(file)  # a pipe may have no path: what leads to it is asked
    except FileNotFoundError:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        place.unlink()
        return
    if stat.S_ISDIR(found.st_mode):
        raise TargetError(f"{file} is a folder, and {name} needs a file")
    if stat.S_ISREG(found.st_mode):  # to open a pipe or a device may wait for a reader
        os.close(os.open(place, os.O_WRONLY))
        if _is_printed_to(found):
            raise TargetError(f"{name} would replace {file}, to which the command prints")


def _is_printed_to(found: os.stat_result) -> bool:
    """Return whether a file is where standard output or standard error goes."""
    for printed in PRINTED:
        with suppress(OSError):  # one that is closed goes nowhere
            if os.path.samestat(found, os.fstat(printed)):
                return True
    return False


def as_json(document: dict[str, Any]) -> str:
    """Return the document as JSON that can be read and compared: a clause or a case is a line."""
    return f"{_lines(document, '')}\n"


def _lines(value: Any, margin: str) -> str:
    inner = f"{margin}  "
    if _fits_a_line(value):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_lines(item, inner)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [_lines(item, inner) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(f"{inner}{item}" for item in items)
    return f"{opening}\n{body}\n{margin}{closing}"


def _fits_a_line(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(isinstance(item, SCALARS) for item in inside)


KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": as_json,
    "markdown": report.markdown,
    "junit": junit,
    "html": page,
}
"""What is written for each option, from the document alone."""
