"""Wrong arguments are refused: by type, and by text where that is claimed.

States INP-7, INP-9 to INP-24 and INP-29.
"""

import re
from typing import Any

import pytest

from tuned_contrastive.conformance.protocol import WithErrors
from tuned_contrastive.conformance.vectors import Reject

ERRORS = {"TypeError": TypeError, "ValueError": ValueError}
OTHER = {"TypeError": ValueError, "ValueError": TypeError}
ROWS = {"array": "float32", "shape": [8, 4]}
LABELS = {"array": "int64", "shape": [8]}
FIRST: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "rows": ({"embeddings": {**ROWS, "array": "int32"}, "labels": [0, 1]}, TypeError),
    "labels": ({"embeddings": ROWS, "labels": [0, 1], "temperature": "0.1"}, ValueError),
    "temperature": (
        {"embeddings": ROWS, "labels": LABELS, "temperature": -1.0, "reduction": 3}, ValueError
    ),
}  # fmt: skip
"""Two wrong arguments each, of which the later one asks for the other error."""


@pytest.mark.needs(errors="category")
def test_wrong_argument_is_refused(implementation: WithErrors, reject: Reject) -> None:
    with pytest.raises(ERRORS[reject.error]) as caught:
        implementation.call(reject.loss, reject.arguments)
    assert not isinstance(caught.value, OTHER[reject.error])


@pytest.mark.clause("INP-22")
@pytest.mark.needs(errors="category")
@pytest.mark.parametrize("first", FIRST)
def test_first_of_two_faults_is_reported(implementation: WithErrors, loss: str, first: str) -> None:
    arguments, error = FIRST[first]
    with pytest.raises(error) as caught:
        implementation.call(loss, arguments)
    assert type(caught.value) is error


@pytest.mark.clause("INP-21")
@pytest.mark.needs(errors="text")
def test_text_of_the_error(implementation: WithErrors, reject: Reject) -> None:
    with pytest.raises(ERRORS[reject.error], match=f"^{re.escape(reject.text)}$"):
        implementation.call(reject.loss, reject.arguments)
