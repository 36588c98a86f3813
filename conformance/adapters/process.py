"""One start of a program: a line is written to it, and one comes back in time."""

import os
import select
import selectors
import signal
import subprocess
import time
from contextlib import suppress

from tuned_contrastive.conformance.adapters.answer import told
from tuned_contrastive.conformance.protocol import LostError

LONGEST_LINE = 2**26
KEPT_OF_STANDARD_ERROR = 2**16
READ_AT_ONCE = 2**16


class Process:
    """A program in a process group of its own, which ends together with all that it started."""

    def __init__(self, words: list[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        )
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (each.fileno() for each in pipes if each)
        self._unwritten = memoryview(b"")
        self._read = {self._stdout: bytearray(), self._stderr: bytearray()}
        self._open = selectors.DefaultSelector()
        for place in self._read:
            self._open.register(place, selectors.EVENT_READ)

    def talk(self, line: str, seconds: float) -> str:
        """Return the answer to a line; LostError where none comes in time, or none can come."""
        deadline = time.monotonic() + seconds
        self.refuse_more()
        self._unwritten = memoryview(f"{line}\n".encode())
        self._open.register(self._stdin, selectors.EVENT_WRITE)
        answers = self._read[self._stdout]
        while self._unwritten or not _has_line(answers):
            if not self._is_open(self._stdout):
                raise LostError(self._last_words(deadline))
            if len(answers) > LONGEST_LINE:
                raise LostError(f"answered with a line of more than {LONGEST_LINE} bytes")
            if not self._attend(deadline):
                raise LostError(f"no answer within {seconds:g} s (--time-limit)")
        answer, _, self._read[self._stdout] = answers.partition(b"\n")
        return answer.decode(errors="replace")

    def refuse_more(self) -> None:
        """Raise LostError where more than an answer has come: it would pass for the next one."""
        for key, _ in self._open.select(0):
            self._hear(key.fd)
        more = self._read[self._stdout].decode(errors="replace").strip()
        if more:
            raise LostError(f"wrote more than one line in answer: {told(more)}")

    def end(self) -> None:
        """Kill it with all that it started, and close our ends of its pipes."""
        self._open.close()
        # of a group that has ended already, macOS says that it may not be killed
        with self._process, suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _attend(self, deadline: float) -> bool:
        """Write and read what can be; return whether there was time left for it."""
        left = deadline - time.monotonic()
        for key, _ in self._open.select(left) if left > 0 else ():
            if key.fd == self._stdin:
                self._write()
            else:
                self._hear(key.fd)
        return left > 0

    def _write(self) -> None:
        """Write as much as a pipe that is ready takes without waiting."""
        try:
            written = os.write(self._stdin, self._unwritten[: select.PIPE_BUF])
        except BrokenPipeError:  # it reads no more, and may have answered before
            written = len(self._unwritten)
        self._unwritten = self._unwritten[written:]
        if not self._unwritten:
            self._open.unregister(self._stdin)

    def _hear(self, place: int) -> None:
        """Read what there is; all of it but the end of standard error is kept."""
        heard = os.read(place, READ_AT_ONCE)
        self._read[place] += heard
        del self._read[self._stderr][:-KEPT_OF_STANDARD_ERROR]
        if not heard:
            self._open.unregister(place)

    def _is_open(self, place: int) -> bool:
        return place in self._open.get_map()

    def _last_words(self, deadline: float) -> str:
        """Return how it ended, and what it said last."""
        while self._is_open(self._stderr) and self._attend(deadline):
            pass
        try:
            status = self._process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return "closed its standard output"
        said = self._read[self._stderr].decode(errors="replace").split("\n")
        last = [line.strip() for line in said if line.strip()][-1:]
        return ": ".join((f"ended with status {status}", *map(told, last)))


def _has_line(heard: bytearray) -> bool:
    """Return whether a line has come; blank ones answer nothing, and are dropped."""
    while (end := heard.find(b"\n")) >= 0 and not heard[:end].strip():
        del heard[: end + 1]
    return end >= 0
