"""Reads the first line of a program: what it is called, and what it claims."""

import json
from collections.abc import Mapping
from typing import Any

from tuned_contrastive.conformance.adapters.answer import (
    QUOTED,
    check_fields,
    listed,
    told,
)
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import (
    DTYPES,
    GRADIENTS,
    AnswerError,
    Capabilities,
    LostError,
)
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
    check_fields(answer, FIELDS)
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


def check_same(first: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    """Refuse claims that are not those of the first start, for which the cases were chosen."""
    for field in dict.fromkeys((*first, *again)):
        was, now = first.get(field), again.get(field)
        if was != now:
            was, now = (json.dumps(value)[:QUOTED] for value in (was, now))
            raise LostError(f"{field} must be {was} at every start, as at the first, got {now}")


def _chosen(answer: dict[str, Any], field: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return some of a field's choices: at least one, unless there may be no gradients."""
    value, choices = answer.get(field, list(default)), CHOICES[field]
    wrong = told(value)
    if isinstance(value, list) and (value or field == "gradients"):
        strange = [entry for entry in value if entry not in choices]
        if not strange:
            return tuple(dict.fromkeys(value))
        wrong = f"{told(strange[0])} in it"
    raise AnswerError(f"{field} must be a list of some of {listed(choices)}, got {wrong}")


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
