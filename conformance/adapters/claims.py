"""Reads the first line of a program: what it is called, and what it claims."""

from collections.abc import Sequence
from typing import Any

from tuned_contrastive.conformance.adapters.answer import told
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import DTYPES, GRADIENTS, AnswerError, Capabilities
from tuned_contrastive.spec import contract

PROTOCOL = 1

CHOICES = {
    "losses": ("supcon", "tcl"),
    "dtypes": DTYPES,
    "reductions": contract.REDUCTIONS,
    "inputs": ("flat", "views"),
    "gradients": GRADIENTS,
}
REQUIRED = ("protocol", "name", "losses")
FIELDS = (*REQUIRED, "dtypes", "reductions", "inputs", "unlabelled", "gradients", "fixed")


def read_claims(answer: dict[str, Any]) -> tuple[str, Capabilities]:
    """Return name and claims; AnswerError for what is not in the protocol."""
    for field in REQUIRED:
        if field not in answer:
            raise AnswerError(f"{field} must be given, got none")
    for field in answer:
        if field not in FIELDS:
            raise AnswerError(f"a field must be one of {_quoted(FIELDS)}, got {told(field)}")
    protocol, name = answer["protocol"], answer["name"]
    if protocol != PROTOCOL or isinstance(protocol, bool):
        raise AnswerError(f"protocol must be {PROTOCOL}, got {told(protocol)}")
    if not isinstance(name, str) or not name:
        raise AnswerError(f"name must be a string that is not empty, got {told(name)}")
    unlabelled = answer.get("unlabelled", True)
    if not isinstance(unlabelled, bool):
        raise AnswerError(f"unlabelled must be true or false, got {told(unlabelled)}")
    return name, Capabilities(
        losses=frozenset(_chosen(answer, "losses")),
        dtypes=_chosen(answer, "dtypes", ("float64",)),
        reductions=_chosen(answer, "reductions", CHOICES["reductions"]),
        inputs=frozenset(_chosen(answer, "inputs", CHOICES["inputs"])),
        unlabelled=unlabelled,
        fixed=_fixed(answer.get("fixed", {})),
        gradients=frozenset(_chosen(answer, "gradients")),
    )


def _chosen(answer: dict[str, Any], field: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return some of a field's choices: at least one, unless there may be no gradients."""
    value, choices = answer.get(field, list(default)), CHOICES[field]
    wrong = told(value)
    if isinstance(value, list) and (value or field == "gradients"):
        strange = [entry for entry in value if entry not in choices]
        if not strange:
            return tuple(dict.fromkeys(value))
        wrong = f"{told(strange[0])} in it"
    raise AnswerError(f"{field} must be a list of some of {_quoted(choices)}, got {wrong}")


def _fixed(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AnswerError(f"fixed must be an object, got {told(value)}")
    for name in value:
        if name not in DEFAULTS:
            raise AnswerError(f"fixed must be of {', '.join(DEFAULTS)}, got {told(name)}")
    try:
        contract.check_parameters(lambda value: None, **{**DEFAULTS, **value})
    except (TypeError, ValueError) as error:
        raise AnswerError(f"fixed: {error}") from error
    return value


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(map(told, words))
