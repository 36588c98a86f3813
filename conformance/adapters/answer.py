"""Reads what a program wrote: a line as a JSON object, and that as the answer to a case."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tuned_contrastive.conformance.protocol import (
    DTYPES,
    GRADIENTS,
    AnswerError,
    Float64,
    LostError,
)

QUOTED = 200
"""Characters of what a program said that a message quotes."""

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
EXACT_DIGITS = 18
"""Longer integers are read as float64: Python refuses to convert those of thousands of digits."""

TOLD_DTYPES = ("loss_dtype", "gradient_dtype")
FIELDS = ("id", "loss", *GRADIENTS, *TOLD_DTYPES, "error")

Shape = tuple[int, ...]


def read_line(line: str) -> dict[str, Any]:
    """Return the JSON object of a line; LostError where it has none."""
    quoted = repr(line.strip()[:QUOTED])
    try:
        answer = json.loads(
            line, parse_int=_integer, parse_constant=_refuse, object_pairs_hook=_object
        )
    except RecursionError:
        raise LostError(f"answered with JSON that is nested too deeply: {quoted}") from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise LostError(f"answered with what is no JSON object: {quoted}")
    return answer


def read_answer(answer: dict[str, Any], asked: int, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Return the arrays of these names and shapes, and the dtypes that are told.

    AnswerError where the protocol has no such answer to the case with the id `asked`.
    """
    given = answer.get("id")
    if given != asked or isinstance(given, bool):
        raise LostError(f"answered case {told(given)} where {asked} was asked")
    check_fields(answer, FIELDS)
    if "error" in answer:
        raise AnswerError(f"answered with an error: {told(_string(answer, 'error'))}")
    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        if name not in answer:
            raise AnswerError(f"the answer has no {name}")
        found[name] = _array(name, answer[name], shape)
    dtypes = (name for name in TOLD_DTYPES if name in answer)
    return found | {name: _dtype(answer, name) for name in dtypes}


def check_fields(answer: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse a field that the protocol does not know: it may be another's name, misspelt."""
    for field in answer:
        if field not in allowed:
            raise AnswerError(f"a field must be one of {listed(allowed)}, got {told(field)}")


def listed(words: Iterable[str]) -> str:
    """Return how a message names the words that are allowed."""
    return ", ".join(map(told, words))


def told(value: Any) -> str:
    """Return what a message says of a JSON value."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, float) and math.isinf(value):
        return "a number beyond float64"
    return json.dumps(value)[:QUOTED]


def _array(name: str, value: Any, shape: Shape) -> Float64:
    return np.array(list(_numbers(name, value, shape)), np.float64).reshape(shape)


def _numbers(name: str, value: Any, shape: Shape) -> Iterator[float]:
    """Yield the numbers of nested lists; `name` becomes the place of what is none."""
    if not shape:
        yield _number(name, value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise AnswerError(f"{name} must be a list of {shape[0]}, got {told(value)}")
    for place, entry in enumerate(value):
        yield from _numbers(f"{name}[{place}]", entry, shape[1:])


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        words = '"NaN", "Infinity" or "-Infinity"'
        raise AnswerError(f"{name} must be a number that float64 holds, {words}, got {told(value)}")
    return float(value)


def _string(answer: dict[str, Any], name: str) -> str:
    value = answer[name]
    if not isinstance(value, str):
        raise AnswerError(f"{name} must be a string, got {told(value)}")
    return value


def _dtype(answer: dict[str, Any], name: str) -> str:
    value = _string(answer, name)
    if value not in DTYPES:
        raise AnswerError(f"{name} must be one of {listed(DTYPES)}, got {told(value)}")
    return value


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= EXACT_DIGITS else float(digits)


def _refuse(word: str) -> float:
    """Refuse NaN and infinities without quotes, which Python would read and JSON lacks."""
    raise LostError(f'answered with the bare word {word}, allowed is the string "{word}"')


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a field that is there twice, of which Python would keep the last."""
    found: dict[str, Any] = {}
    for name, value in fields:
        if name in found:
            raise LostError(f"answered with {told(name)} twice in an object")
        found[name] = value
    return found
