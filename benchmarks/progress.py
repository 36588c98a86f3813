"""Tells how far a run is: a bar on a terminal, a line for each step elsewhere."""

import sys
import time
from typing import Any


class Progress:
    """One step after the other, on standard error; tqdm's bar where it is installed."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.began = time.monotonic()
        self.bar: Any = _bar(what, total) if sys.stderr.isatty() else None

    def at(self, told: str) -> None:
        """Tell what is being done."""
        if self.bar is not None:
            self.bar.set_postfix_str(told)

    def step(self, told: str) -> None:
        """Tell that one more step has ended."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
            return
        seconds = time.monotonic() - self.began
        left = seconds / self.done * (self.total - self.done)
        line = (
            f"{self.what} {self.done}/{self.total}: {told} ({seconds:.0f} s, {left:.0f} s left)\n"
        )
        sys.stderr.write(line)
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()


def _bar(what: str, total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=what, unit="case", file=sys.stderr, dynamic_ncols=True)
