"""A program of any language as an implementation: one line of JSON per case (spec/protocol.md)."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tuned_contrastive.conformance.adapters.answer import Shape, read_answer, read_line
from tuned_contrastive.conformance.adapters.claims import PROTOCOL, check_same, read_claims
from tuned_contrastive.conformance.adapters.process import Process
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import (
    GRADIENTS,
    AnswerError,
    Case,
    Float64,
    LostError,
    Outcome,
)
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.reference.portable import portable
from tuned_contrastive.spec import contract


class Program:
    """A subprocess that is asked case by case, and started anew after a line that is no answer."""

    def __init__(self, command: str, seconds: float = 10.0) -> None:
        self._command, self._words, self._seconds = command, _words(command), seconds
        self._process: Process | None = None
        self.notes = ("dtypes are those that the program tells",)
        self._asked = 0
        try:
            self._claims = self._start()
            self.name, self.capabilities = read_claims(self._claims)
        except AnswerError as error:
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
        if self._process is not None:
            self._process.end()
            self._process = None

    def _outcome(self, case: Case, upstream: Float64 | None) -> Outcome:
        self._asked += 1
        asked = {"id": self._asked, **_portable(case)}
        if upstream is not None:
            asked["upstream"] = portable(upstream)
        shapes = self._shapes(case, with_gradients=upstream is not None)
        try:
            if self._process is None:
                check_same(self._claims, self._start())
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

    def _start(self) -> dict[str, Any]:
        """Start the program, and return what it answers to the first line."""
        try:
            self._process = Process(self._words)
        except (OSError, ValueError) as error:
            why = f"--program must name what can be started, got {self._command!r}: {error}"
            raise TargetError(why) from error
        return self._exchange({"hello": True, "protocol": PROTOCOL})

    def _exchange(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Write a line, and return the one that comes back in time."""
        assert self._process is not None
        try:
            line = self._process.talk(json.dumps(asked, allow_nan=False), self._seconds)
            answer = read_line(line)
            self._process.refuse_more()
            return answer
        except BaseException:  # ctrl-C, too, which does not reach a group of its own
            self.close()
            raise


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
