"""The gradient responses of one anchor, read from the gradients (LAW-12 to LAW-15).

With `normalize=False`, `reduction="none"` and an upstream gradient of 1 for anchor i alone,
dL/dz_j = dl_i/ds_ij z_i for every j != i.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.suite.calls import LAW
from tuned_contrastive.conformance.suite.responses import (
    Anchor,
    anchors,
    difference_share,
    sum_share,
)

Data = st.DataObject
NEEDS = pytest.mark.needs(
    losses=("supcon", "tcl"),
    flat=True,
    dtypes=("float64", "float32"),
    gradient=("embeddings",),
    parameters={"normalize": False, "reduction": "none"},
    free=("k1", "k2"),
)


@NEEDS
@pytest.mark.clause("LAW-12")
@LAW
@given(data=st.data())
def test_responses_sum_to_the_share_of_k1(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor: Anchor = data.draw(anchors(implementation.capabilities))
    tcl, supcon = anchor.call, anchor.supcon
    q = anchor.exact.k1_share[anchor.row]
    T = tcl.parameters["temperature"]
    accept(sum_share(implementation, anchor, tcl, -q * (1 + 1 / T), dtype), "the sum for TCL")
    accept(sum_share(implementation, anchor, supcon, 0.0, dtype), "the sum for SupCon")


@NEEDS
@pytest.mark.clause("LAW-13")
@LAW
@given(data=st.data())
def test_tcl_pulls_positives_harder(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k1=(0.5, 3.0, 64.0), k2=(1.0, 4.0)))
    share = difference_share(
        implementation, anchor, anchor.supcon, anchor.call, anchor.positives, dtype
    )
    accept(share, "SupCon's response less TCL's")


@NEEDS
@pytest.mark.clause("LAW-13")
@LAW
@given(data=st.data())
def test_positives_are_pulled_harder_with_k1(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k1=(0.5, 3.0, 64.0), k2=(0.25, 1.0)))
    more = anchor.call.with_parameters(k1=4 * anchor.call.parameters["k1"])
    share = difference_share(implementation, anchor, anchor.call, more, anchor.positives, dtype)
    accept(share, "fall with k1")


@NEEDS
@pytest.mark.clause("LAW-14")
@LAW
@given(data=st.data())
def test_negatives_push_harder_with_k2(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k2=(0.25, 1.0)))
    more = anchor.call.with_parameters(k2=4 * anchor.call.parameters["k2"])
    share = difference_share(implementation, anchor, more, anchor.call, anchor.negatives, dtype)
    accept(share, "growth with k2")


@NEEDS
@pytest.mark.clause("LAW-14")
@LAW
@given(data=st.data())
def test_negatives_push_less_with_k1(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k1=(0.5, 3.0, 64.0), k2=(0.25, 1.0)))
    more = anchor.call.with_parameters(k1=4 * anchor.call.parameters["k1"])
    share = difference_share(implementation, anchor, anchor.call, more, anchor.negatives, dtype)
    accept(share, "fall with k1")


@NEEDS
@pytest.mark.clause("LAW-14")
@LAW
@given(data=st.data())
def test_negatives_push_less_than_in_supcon(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k1=(0.5, 3.0, 64.0), k2=(1.0,)))
    share = difference_share(
        implementation, anchor, anchor.supcon, anchor.call, anchor.negatives, dtype
    )
    accept(share, "SupCon's response less TCL's")


@NEEDS
@pytest.mark.clause("LAW-15")
@LAW
@given(data=st.data())
def test_crossover_of_the_negatives(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    anchor = data.draw(anchors(implementation.capabilities, k1=(0.5, 3.0, 64.0), k2=(1.0,)))
    crossover = float(anchor.exact.crossover[anchor.row])
    at = anchor.call.with_parameters(k2=crossover)
    above = anchor.call.with_parameters(k2=2 * crossover)
    pairs = anchor.negatives
    accept(difference_share(implementation, anchor, at, anchor.supcon, pairs, dtype), "below")
    accept(difference_share(implementation, anchor, anchor.supcon, at, pairs, dtype), "above")
    accept(difference_share(implementation, anchor, above, anchor.supcon, pairs, dtype), "beyond")
