"""What a terminal gets beside the report: colours, and how far a run is."""

import os
import re
import sys
import time
from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0
INTERRUPTED = 130
"""The exit status after ctrl-C."""
TOLD_INTERRUPTED = "the run was interrupted"
COLOURS = {"pass": 32, "conforming": 32, "FAIL": 31, "ERROR": 31, "not conforming": 31, "known": 33}
"""The codes of what stands for a status; all else keeps the terminal's own colour."""

_STATUS = re.compile(r"(?<![\w.-])(not conforming|conforming|pass|FAIL|ERROR|known)(?![\w.-])")


def say(text: str) -> None:
    """Write a part of the report; what the stream's encoding lacks is written as its code."""
    if text.strip():
        line = f"{coloured(text) if has_colours(sys.stdout) else text}\n"
        encoding = sys.stdout.encoding or "utf-8"  # a stream in memory has none
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose user has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str) -> str:
    """Return text with the words for a status in colour."""
    return _STATUS.sub(lambda word: f"\x1b[{COLOURS[word[1]]}m{word[1]}\x1b[0m", text)


class Progress:
    """Tells how far a run is: a line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.began = self.told = time.monotonic()
        self._stands = False  # a line that is to be overwritten

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *ended: object) -> None:
        """End a line that was to be overwritten: what follows begins a new one."""
        if self._stands:
            sys.stderr.write("\n")
            self._stands = False

    def __call__(self, test: str, done: int, total: int) -> None:
        """Tell that one more test has ended."""
        now = time.monotonic()
        line = f"{self.target}: {done}/{total} tests, {now - self.began:.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}")
            self._stands = True
        elif done == total or now - self.told > SECONDS_BETWEEN_LINES:
            sys.stderr.write(f"{line}\n")
            self.told = now
        sys.stderr.flush()
