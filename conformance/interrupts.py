"""Ctrl-C: it ends what is being judged, and waits while a result is concluded and written."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Keeps whether there was one, even where a callback loses its KeyboardInterrupt."""

    def __init__(self) -> None:
        self.came = False
        self.held = False
        """Whether it is only kept, and raises nothing from now on."""
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        """Listen, unless nobody is to hear one, as in the background, or another thread does."""
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *ended: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def raise_lost(self) -> None:
        """Raise the KeyboardInterrupt that came, and did not arrive."""
        if self.came and not self.held:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if not self.held:
            raise KeyboardInterrupt
