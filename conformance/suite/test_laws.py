"""The laws as properties of drawn calls (LAW-1 to LAW-11)."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.suite.calls import (
    K1,
    K2,
    LAW,
    calls,
    gradient_share,
    gradients,
    loss_share,
    ones,
)
from tuned_contrastive.conformance.suite.laws import (
    MANY,
    MANY_PARAMETERS,
    equal_rows,
    growth_share,
    many_orthonormal_rows,
    nt_xent,
    orthogonality_share,
    orthonormal_rows,
    rotation,
)

NAMES = (3, -(2**40), 2**33 + 3, 1003, 1_000_003)
"""What a cast, or a table of a customary size, would take for one another."""
SCALES = (0.25, 0.75, 1.5, 2.0, 6.0)
Data = st.DataObject


@pytest.mark.clause("LAW-1")
@pytest.mark.needs(losses=("supcon", "tcl"), dtypes=("float64", "float32"), free=("k1", "k2"))
@LAW
@given(data=st.data())
def test_supcon_is_tcl_without_k1(implementation: Implementation, dtype: str, data: Data) -> None:
    supcon = data.draw(calls(implementation.capabilities, "supcon"))
    tcl = supcon.with_parameters(k1=0.0, k2=1.0).of("tcl")
    got = implementation.loss(supcon.case(dtype)).loss
    assert got.tobytes() == implementation.loss(tcl.case(dtype)).loss.tobytes()


@pytest.mark.clause("LAW-2")
@pytest.mark.needs(
    views=True, unlabelled=True, pairs=True, loss="supcon", dtypes=("float64", "float32"),
    parameters={"normalize": True, "reduction": "mean"},
)  # fmt: skip
@LAW
@given(data=st.data())
def test_two_views_are_nt_xent(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    drawn = calls(
        implementation.capabilities, "supcon", rows=(4, 6, 8), normalize=True, reduction="mean"
    )
    call = data.draw(drawn).as_two_views()
    exact = nt_xent(call.embeddings, call.parameters["temperature"])
    accept(loss_share(implementation.loss(call.case(dtype)).loss, exact, call, dtype), "NT-Xent")


@pytest.mark.clause("LAW-3")
@pytest.mark.needs(gradient=("embeddings",), flat=True, dtypes=("float64", "float32"))
@LAW
@given(data=st.data())
def test_permutation_of_the_rows(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    call = data.draw(calls(implementation.capabilities, loss, reduction="mean"))
    order = np.array(data.draw(st.permutations(range(len(call.embeddings)))))
    moved = call.with_rows(call.embeddings[order], call.labels[order])
    before = gradients(implementation, call, dtype)
    after = gradients(implementation, moved, dtype)
    accept(loss_share(after[0], before[0], call, dtype), "the loss")
    allowed = call.bounds()["embeddings"][order] + moved.bounds()["embeddings"]
    accept(gradient_share(after[1], before[1][order], allowed, dtype), "a row")


@pytest.mark.clause("LAW-4")
@pytest.mark.needs(gradient=("embeddings",), flat=True, dtypes=("float64", "float32"))
@LAW
@given(data=st.data())
def test_renaming_of_the_labels(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    call = data.draw(calls(implementation.capabilities, loss))
    names = np.array(data.draw(st.permutations(NAMES)))
    renamed = call.with_rows(call.embeddings, names[call.labels])
    before = gradients(implementation, call, dtype)
    after = gradients(implementation, renamed, dtype)
    accept(loss_share(after[0], before[0], call, dtype), "the loss")
    allowed = 2 * call.bounds(ones(call))["embeddings"]
    accept(gradient_share(after[1], before[1], allowed, dtype), "a row")


@pytest.mark.clause("LAW-5")
@pytest.mark.needs(gradient=("embeddings",), flat=True, dtypes=("float64", "float32"))
@LAW
@given(data=st.data())
def test_rotation_of_the_space(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    call = data.draw(calls(implementation.capabilities, loss, columns=4))
    Q = rotation(data.draw(st.permutations(range(4))), data.draw(st.integers(0, 15)))
    turned = call.with_rows(call.embeddings @ Q)
    before = gradients(implementation, call, dtype)
    after = gradients(implementation, turned, dtype)
    accept(loss_share(after[0], before[0], call, dtype), "the loss")
    allowed = 2 * call.bounds(ones(call))["embeddings"]
    accept(gradient_share(after[1], before[1] @ Q, allowed, dtype), "a row")


@pytest.mark.clause("LAW-6")
@pytest.mark.needs(
    gradient=("embeddings",), flat=True, dtypes=("float64", "float32"),
    parameters={"normalize": True},
)  # fmt: skip
@LAW
@given(data=st.data())
def test_positive_scaling_of_the_rows(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    call = data.draw(calls(implementation.capabilities, loss, normalize=True))
    rows = len(call.embeddings)
    drawn = data.draw(st.lists(st.sampled_from(SCALES), min_size=rows, max_size=rows))
    scales = np.array(drawn)[:, None]
    scaled = call.with_rows(scales * call.embeddings)
    before = gradients(implementation, call, dtype)
    after = gradients(implementation, scaled, dtype)
    accept(loss_share(after[0], before[0], call, dtype), "the loss")
    allowed = 2 * scaled.bounds(ones(scaled))["embeddings"]
    accept(gradient_share(after[1], before[1] / scales, allowed, dtype), "a row")


@pytest.mark.clause("LAW-7")
@pytest.mark.needs(
    gradient=("embeddings",), flat=True, dtypes=("float64", "float32"),
    parameters={"normalize": True},
)  # fmt: skip
@LAW
@given(data=st.data())
def test_gradient_is_orthogonal_to_its_row(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    call = data.draw(calls(implementation.capabilities, loss, normalize=True))
    got = gradients(implementation, call, dtype)
    accept(orthogonality_share(got[1], call, dtype), "<dL/dx_i, x_i>")


@pytest.mark.clause("LAW-8")
@pytest.mark.needs(
    loss="tcl", flat=True, dtypes=("float64", "float32"),
    parameters={"reduction": "none"}, free=("k1",),
)  # fmt: skip
@LAW
@given(data=st.data())
def test_loss_grows_with_k1(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    small, large = data.draw(st.sampled_from(list(pairwise(K1))))
    call = data.draw(calls(implementation.capabilities, "tcl", reduction="none", k1=small))
    accept(growth_share(implementation, call, call.with_parameters(k1=large), dtype), "growth")


@pytest.mark.clause("LAW-9")
@pytest.mark.needs(
    loss="tcl", flat=True, dtypes=("float64", "float32"),
    parameters={"reduction": "none"}, free=("k2",),
)  # fmt: skip
@LAW
@given(data=st.data())
def test_loss_grows_with_k2(
    implementation: Implementation, dtype: str, accept: Accept, data: Data
) -> None:
    small, large = data.draw(st.sampled_from(list(pairwise(K2))))
    call = data.draw(calls(implementation.capabilities, "tcl", reduction="none", k2=small))
    accept(growth_share(implementation, call, call.with_parameters(k2=large), dtype), "growth")


@pytest.mark.clause("LAW-10")
@pytest.mark.needs(flat=True, dtypes=("float64", "float32"), parameters={"normalize": True})
@LAW
@given(data=st.data())
def test_equal_rows(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    drawn = data.draw(calls(implementation.capabilities, loss, normalize=True))
    assume(np.any(drawn.embeddings[0]))
    call, exact = equal_rows(drawn)
    accept(loss_share(implementation.loss(call.case(dtype)).loss, exact, call, dtype), "the loss")


@pytest.mark.clause("LAW-11")
@pytest.mark.needs(flat=True, dtypes=("float64", "float32"))
@LAW
@given(data=st.data())
def test_orthonormal_rows(
    implementation: Implementation, loss: str, dtype: str, accept: Accept, data: Data
) -> None:
    drawn = data.draw(calls(implementation.capabilities, loss))
    call, exact = orthonormal_rows(drawn, data.draw(st.permutations(range(8))))
    accept(loss_share(implementation.loss(call.case(dtype)).loss, exact, call, dtype), "the loss")


@pytest.mark.clause("LAW-11")
@pytest.mark.needs(flat=True, dtypes=("float64", "float32"), parameters=MANY_PARAMETERS, rows=MANY)
@pytest.mark.parametrize("classes", [7, MANY // 2])
def test_many_orthonormal_rows(
    implementation: Implementation, loss: str, dtype: str, classes: int, accept: Accept
) -> None:
    call, exact = many_orthonormal_rows(loss, classes)
    accept(loss_share(implementation.loss(call.case(dtype)).loss, exact, call, dtype), "the loss")
