"""A program of any language as an implementation: one line of JSON per case (spec/protocol.md)."""

import json
import shlex
import subprocess
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Any

from tuned_contrastive.conformance.adapters.answer import (
    QUOTED,
    LostError,
    Shape,
    read_answer,
    read_line,
)
from tuned_contrastive.conformance.adapters.claims import PROTOCOL, read_claims
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import (
    GRADIENTS,
    AnswerError,
    Case,
    Float64,
    Outcome,
)
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.reference.portable import portable
from tuned_contrastive.spec import contract

LONGEST_LINE = 2**26


class Program:
    """A subprocess that is asked case by case, and started anew after a line that is no answer."""

    def __init__(self, command: str, seconds: float = 10.0) -> None:
        self._words, self._seconds = _words(command), seconds
        self._running: _Running | None = None
        self.notes = ("dtypes are those that the program tells",)
        self._asked = 0
        try:
            claims = self._exchange({"hello": True, "protocol": PROTOCOL})
            self.name, self.capabilities = read_claims(claims)
        except (AnswerError, OSError, ValueError) as error:
            self.close()
            raise TargetError(f"{command!r} does not follow the protocol: {error}") from error

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return self._outcome(case, None)

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and the gradients that are claimed."""
        return self._outcome(case, upstream)

    def close(self) -> None:
        """End the program; the next case starts it anew."""
        if self._running is not None:
            self._running.end()
            self._running = None

    def _outcome(self, case: Case, upstream: Float64 | None) -> Outcome:
        self._asked += 1
        asked = {"id": self._asked, **_portable(case)}
        if upstream is not None:
            asked["upstream"] = portable(upstream)
        try:
            shapes = self._shapes(case, with_gradients=upstream is not None)
            found = read_answer(self._exchange(asked), self._asked, shapes)
        except LostError:
            self.close()
            raise
        loss_dtype = contract.COMPUTE_DTYPES[case.dtype]
        return Outcome(**{"loss_dtype": loss_dtype, "gradient_dtype": case.dtype, **found})

    def _shapes(self, case: Case, with_gradients: bool) -> dict[str, Shape]:
        """Return what the answer has to have, and in which shapes."""
        rows: Shape = case.embeddings.shape
        of_loss = GRADIENTS if case.loss == "tcl" else GRADIENTS[:2]
        asked = [name for name in of_loss if name in self.capabilities.gradients]
        is_reduced = case.parameters.get("reduction", DEFAULTS["reduction"]) != "none"
        gradients = {name: rows if name == "embeddings" else () for name in asked}
        return {"loss": () if is_reduced else rows[:-1], **(gradients if with_gradients else {})}

    def _exchange(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Write a line, and return the one that comes back in time."""
        running = self._running = self._running or _Running(self._words)
        with ThreadPoolExecutor(1) as pool:
            talk = pool.submit(running.talk, json.dumps(asked, allow_nan=False))
            try:
                line = talk.result(self._seconds)
            except TimeoutError:
                running.process.kill()  # which ends the talk, too
                raise LostError(f"no answer within {self._seconds:g} s") from None
        if not line:
            raise LostError(running.last_words(self._seconds))
        return read_line(line)


class _Running:
    """One start of the program: its pipes, and the last line of its standard error."""

    def __init__(self, words: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace"
        )
        self._said: deque[str] = deque(maxlen=1)
        self._listener = Thread(target=self._listen, daemon=True)  # a full pipe would stop it
        self._listener.start()

    def talk(self, line: str) -> str:
        """Return the answer to a line; nothing where the program has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self.process.stdout.readline(LONGEST_LINE)

    def last_words(self, seconds: float) -> str:
        """Return how it ended, and what it said last."""
        try:
            status = f"ended with status {self.process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            return "closed its standard output"
        self._listener.join()
        return ": ".join((status, *self._said))

    def end(self) -> None:
        """Kill it, and close its pipes."""
        self.process.kill()
        self._listener.join()
        with suppress(BrokenPipeError):
            self.process.__exit__(None, None, None)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self._said.extend(line.strip()[:QUOTED] for line in self.process.stderr if line.strip())


def _words(command: str) -> list[str]:
    """Return the program and its arguments; TargetError where there is none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise TargetError(
            f"--program must be quoted as in a shell, got {command!r}: {error}"
        ) from error
    if not words:
        raise TargetError(f"--program must name a program, got {command!r}")
    return words


def _portable(case: Case) -> dict[str, Any]:
    relevant = [name for name in DEFAULTS if case.loss == "tcl" or name not in ("k1", "k2")]
    labels = None if case.labels is None else [str(label) for label in case.labels.tolist()]
    return {
        "loss": case.loss,
        "dtype": case.dtype,
        "embeddings": portable(case.embeddings),
        "labels": labels,
        "parameters": {name: case.parameters.get(name, DEFAULTS[name]) for name in relevant},
    }
