"""Writes a file all at once: an interrupt or a full disk leaves what was there before."""

import os
import shutil
from pathlib import Path


class NotWrittenError(Exception):
    """A file that could not be written, in a sentence."""


def write_text(file: Path, text: str) -> None:
    """Write a file, or what a link leads to; NotWrittenError where that cannot be."""
    try:
        if _can_be_replaced(file):
            _replace(Path(os.path.realpath(file)), text)
        else:
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise NotWrittenError(f"{file} could not be written: {why}") from error


def _can_be_replaced(file: Path) -> bool:
    """Return whether it is no pipe or device, and a file can be made beside it."""
    regular = file.is_file() or not file.exists()
    return regular and os.access(os.path.dirname(os.path.realpath(file)), os.W_OK)


def _replace(place: Path, text: str) -> None:
    beside = place.with_name(f".part-{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
