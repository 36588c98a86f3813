"""One test per definition of the losses that sees it whatever the others do (SUP-1 to TCL-5).

The vectors say whether the numbers are right, and cite every definition that their batch computes.
Here a fault in any other definition cancels between two calls, leaves 0 or an order as it is, or
vanishes beside exp(1/T), so that the failing test names what is wrong. NUM-5, NUM-9 and NUM-10,
which the vectors cite only with others, are told apart in the same way.
"""

import numpy as np
import pytest

from tuned_contrastive.conformance.judge import value_share
from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.suite.calls import sample
from tuned_contrastive.conformance.suite.definitions import (
    COLD,
    FULL,
    LEFT,
    NORMS,
    PAIRS,
    RIGHT,
    TINY,
    UNIT,
    UP,
    batch,
    rise_share,
    same_share,
    zero_share,
)
from tuned_contrastive.conformance.suite.laws import strictly_positive
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF


@pytest.mark.clause("SUP-1")
@pytest.mark.needs(
    dtypes=FULL, flat=True, pairs=True, parameters={"temperature": 0.5}, free=("normalize",)
)
def test_rows_lose_what_their_directions_lose(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    unit = batch(implementation, loss, UNIT, PAIRS, temperature=0.5, normalize=False)
    longer = unit.with_rows(NORMS * UNIT).with_parameters(normalize=True)
    accept(same_share(implementation, unit, longer, dtype))


@pytest.mark.clause("SUP-3")
@pytest.mark.needs(
    dtypes=FULL, flat=True, pairs=True, parameters={"temperature": 0.5, "normalize": False}
)
def test_length_of_a_row_counts(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Beside exp(128) a negative at exp(0) or exp(-128) is nothing; between unit rows it is not."""
    given = {"temperature": 0.5, "normalize": False}
    across = batch(implementation, loss, 8 * np.array([RIGHT, RIGHT, UP, UP]), PAIRS, **given)
    opposite = across.with_rows(8 * np.array([RIGHT, RIGHT, LEFT, LEFT]))
    accept(same_share(implementation, across, opposite, dtype))


@pytest.mark.clause("SUP-4")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, parameters={"temperature": COLD})
def test_two_rows_of_one_class_lose_nothing(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    call = batch(implementation, loss, [RIGHT, RIGHT], [0, 0], temperature=COLD)
    accept(zero_share(implementation, call, dtype))


@pytest.mark.clause("SUP-5")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"temperature": COLD})
def test_far_positive_counts_beside_a_near_one(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Inside the logarithm a positive at s = 1 hides the others, at s = 0 or at s = -1."""
    e, labels = np.eye(3), [0, 0, 0, 0, 1, 1]
    far = batch(implementation, loss, e[[0, 0, 1, 1, 2, 2]], labels, temperature=COLD)
    farther = far.with_rows(np.array([e[0], e[0], -e[0], -e[0], e[2], e[2]]))
    accept(rise_share(implementation, far, farther, dtype))


@pytest.mark.clause("SUP-6")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, free=("temperature",))
def test_equal_rows_lose_the_same_at_every_temperature(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    cold = batch(implementation, loss, [RIGHT] * 4, PAIRS, temperature=COLD)
    accept(same_share(implementation, cold, cold.with_parameters(temperature=1.5 * COLD), dtype))


@pytest.mark.clause("SUP-7")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "none", "temperature": 0.5})
def test_row_without_a_positive_is_a_negative_like_others(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    given = {"temperature": 0.5, "reduction": "none"}
    paired = batch(implementation, loss, sample(loss, 4, 3).embeddings, PAIRS, **given)
    lonely = paired.with_labels(np.array([0, 0, 1, 2]))
    before, after = (implementation.loss(call.case(dtype)).loss for call in (paired, lonely))
    allowed = (paired.bounds()["loss"] + lonely.bounds()["loss"])[:2]
    accept(value_share(after[:2], before[:2], allowed, dtype), "the loss of an anchor")
    assert not after[2:].any()


@pytest.mark.clause("SUP-8")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "mean", "temperature": COLD})
def test_row_without_a_positive_is_not_counted(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """The further row is too far away to be seen as a negative."""
    given = {"temperature": COLD, "reduction": "mean"}
    classes, labels = [*[RIGHT] * 3, *[LEFT] * 3], [0, 0, 0, 1, 1, 1]
    six = batch(implementation, loss, classes, labels, **given)
    seven = six.with_rows(np.array([*classes, UP]), np.array([*labels, 2]))
    accept(same_share(implementation, six, seven, dtype))


@pytest.mark.clause("SUP-9")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "mean", "temperature": 0.5})
def test_mean_over_no_anchors_is_0(implementation: Implementation, loss: str, dtype: str) -> None:
    call = batch(implementation, loss, UNIT, range(4), temperature=0.5, reduction="mean")
    assert implementation.loss(call.case(dtype)).loss == 0


@pytest.mark.clause("SUP-10")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "sum", "temperature": COLD})
def test_sum_grows_with_the_anchors(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Of classes too far apart to see each other, three lose 3/2 of what two lose."""
    given = {"temperature": COLD, "reduction": "sum"}
    classes, labels = [*[RIGHT] * 3, *[LEFT] * 3], [0, 0, 0, 1, 1, 1]
    two = batch(implementation, loss, classes, labels, **given)
    three = two.with_rows(np.array([*classes, *[UP] * 3]), np.array([*labels, 2, 2, 2]))
    accept(same_share(implementation, two, three, dtype, times=1.5))


@pytest.mark.clause("SUP-11")
@pytest.mark.needs(dtypes=FULL, flat=True, parameters={"reduction": "none", "temperature": 0.5})
def test_every_row_has_a_loss(implementation: Implementation, loss: str, dtype: str) -> None:
    call = batch(implementation, loss, UNIT, [0, 0, 1, 2], temperature=0.5, reduction="none")
    shape = implementation.loss(call.case(dtype)).loss.shape
    assert shape == (4,), f"the losses must have shape (4,), got {shape}"


@pytest.mark.clause("TCL-1")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, parameters={"temperature": 2.0, "k1": 4096.0}
)
def test_k1_term_falls_with_the_similarity(
    implementation: Implementation, dtype: str, accept: Accept
) -> None:
    """Where it fills D_i, l rises by 1 + 1/T as a pair parts; with exp(s) it falls by 1 - 1/T."""
    given = {"temperature": 2.0, "k1": 4096.0}
    near = batch(implementation, "tcl", [RIGHT, RIGHT], [0, 0], **given)
    accept(rise_share(implementation, near, near.with_rows(np.array([RIGHT, UP])), dtype))


@pytest.mark.clause("TCL-2")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, parameters={"temperature": 0.25, "k2": TINY}, free=("k1",)
)
def test_k1_term_has_no_temperature(
    implementation: Implementation, dtype: str, accept: Accept
) -> None:
    """To part a pair to s = -1 is worth k1 times exp(1 + 4), less than 2^9; not exp(4 + 4)."""
    given = {"temperature": 0.25, "k2": TINY}
    parted = batch(implementation, "tcl", [RIGHT, LEFT], [0, 0], k1=2.0**13, **given)
    across = batch(implementation, "tcl", [RIGHT, UP], [0, 0], k1=2.0**22, **given)
    accept(rise_share(implementation, parted, across, dtype))


@pytest.mark.clause("TCL-3")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, parameters={"reduction": "none", "temperature": 0.125}
)
def test_denominator_is_that_of_the_row(
    implementation: Implementation, dtype: str, accept: Accept
) -> None:
    """Of two rows at the same s from each other, the one with near negatives loses more."""
    given = {"temperature": 0.125, "reduction": "none"}
    call = batch(implementation, "tcl", [RIGHT, UP, RIGHT, RIGHT], PAIRS, **given)
    got, exact = implementation.loss(call.case(dtype)).loss, call.exact().per_anchor
    allowed = call.bounds()["loss"][:1] + call.bounds()["loss"][1:2]
    more = strictly_positive(
        got[:1] - got[1:2], exact[:1] - exact[1:2], allowed * UNIT_ROUNDOFF[dtype]
    )
    accept(more, "the loss of the row with near negatives")


@pytest.mark.clause("TCL-4")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, parameters={"temperature": 0.5, "k1": 3.0, "k2": TINY}
)
def test_k1_weighs_no_negative(implementation: Implementation, dtype: str, accept: Accept) -> None:
    """A negative that k2 all but removes may lie anywhere."""
    given = {"temperature": 0.5, "k1": 3.0, "k2": TINY}
    near = batch(implementation, "tcl", [RIGHT, UP, RIGHT], [0, 0, 1], **given)
    accept(same_share(implementation, near, near.with_rows(np.array([RIGHT, UP, LEFT])), dtype))


@pytest.mark.clause("TCL-5")
@pytest.mark.needs(
    loss="tcl", dtypes=FULL, flat=True, parameters={"temperature": 0.0625, "k1": 0.0, "k2": 0.0}
)
def test_weights_of_0_remove_their_terms(
    implementation: Implementation, dtype: str, accept: Accept
) -> None:
    """Alone in D_i, exp(-16) leaves a loss of 0; the least of the other terms would outweigh it."""
    given = {"temperature": 0.0625, "k1": 0.0, "k2": 0.0}
    call = batch(implementation, "tcl", [RIGHT, LEFT, UP], [0, 0, 1], **given)
    accept(zero_share(implementation, call, dtype))


@pytest.mark.clause("NUM-5")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, free=("temperature",))
def test_small_temperature_is_taken_as_it_is(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """Negatives a little farther than the positive are felt less at a smaller temperature."""
    rows = [[1.0, 2.0**-5], [1.0, 2.0**-5], [1.0, -(2.0**-5)], [1.0, -(2.0**-5)]]
    small = batch(implementation, loss, rows, PAIRS, temperature=2.0**-9)
    accept(rise_share(implementation, small, small.with_parameters(temperature=2.0**-7), dtype))


@pytest.mark.clause("NUM-9")
@pytest.mark.needs(
    dtypes=FULL, flat=True, pairs=True, parameters={"temperature": 0.5, "normalize": False}
)
def test_large_similarities_are_taken_as_they_are(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    """A negative at s = 1600 is felt more than one at s = 800."""
    given = {"temperature": 0.5, "normalize": False}
    pair = [[20.0, 0.0, 0.0], [0.0, 20.0, 0.0]]
    near = batch(implementation, loss, [*pair, *[[40.0, 0.0, 20.0]] * 2], PAIRS, **given)
    nearer = near.with_rows(np.array([*pair, *[[80.0, 0.0, 20.0]] * 2]))
    accept(rise_share(implementation, near, nearer, dtype))


@pytest.mark.clause("NUM-10")
@pytest.mark.needs(dtypes=FULL, flat=True, pairs=True, parameters={"temperature": 5 * 2.0**-12})
def test_own_similarity_hides_no_other(
    implementation: Implementation, loss: str, dtype: str
) -> None:
    """All others, at s = 0, lie 819 below the anchor's own 1/T: exp(-819) is 0."""
    call = batch(implementation, loss, np.eye(4), PAIRS, temperature=5 * 2.0**-12)
    assert np.isfinite(implementation.loss(call.case(dtype)).loss).all()
