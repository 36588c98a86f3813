"""What an implementation answers, before it is judged: that it is an answer, and whole."""

from collections.abc import Callable
from typing import Any

from tuned_contrastive.conformance.protocol import (
    AnswerError,
    Case,
    Float64,
    Implementation,
    LostError,
    Outcome,
)


class HeardLostError(BaseException):
    """A `LostError` that Hypothesis does not see.

    It would look for a smaller call that is lost, too, and wait for each up to the time limit.
    """


class Hearing:
    """An implementation whose answers are looked at; all else of it is as it is."""

    def __init__(self, subject: Implementation) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject, name)

    def loss(self, case: Case) -> Outcome:
        """Return what the implementation does."""
        return _answer("loss", self._hear(self._subject.loss, case))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return what the implementation does; AnswerError where a gradient it claims is absent."""
        outcome = _answer("gradients", self._hear(self._subject.gradients, case, upstream))
        scalars = ("temperature",) if case.loss == "supcon" else ("temperature", "k1", "k2")
        for name in ("embeddings", *(scalars if case.learnable else ())):
            claimed = name in self._subject.capabilities.gradients
            if claimed and getattr(outcome, name) is None:
                raise AnswerError(f"gradients must give that in {name}, as claimed, got None")
        return outcome

    def _hear(self, method: Callable[..., Any], *asked: Any) -> Any:
        try:
            return method(*asked)
        except LostError as error:
            raise HeardLostError from error


def _answer(method: str, value: Any) -> Outcome:
    if not isinstance(value, Outcome):
        raise AnswerError(f"{method} must return an Outcome, got {type(value).__name__}")
    return value
