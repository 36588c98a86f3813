"""Wrong arguments are refused: by type, and by text where that is claimed (INP-7 to INP-24)."""

import re

import pytest

from tuned_contrastive.conformance.protocol import WithErrors
from tuned_contrastive.conformance.vectors import Reject

ERRORS = {"TypeError": TypeError, "ValueError": ValueError}
OTHER = {"TypeError": ValueError, "ValueError": TypeError}


@pytest.mark.needs(errors="category")
def test_wrong_argument_is_refused(implementation: WithErrors, reject: Reject) -> None:
    with pytest.raises(ERRORS[reject.error]) as caught:
        implementation.call(reject.loss, reject.arguments)
    assert not isinstance(caught.value, OTHER[reject.error])


@pytest.mark.clause("INP-21")
@pytest.mark.needs(errors="text")
def test_text_of_the_error(implementation: WithErrors, reject: Reject) -> None:
    with pytest.raises(ERRORS[reject.error], match=f"^{re.escape(reject.text)}$"):
        implementation.call(reject.loss, reject.arguments)
