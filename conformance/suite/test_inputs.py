"""Shapes, labels, defaults and arguments (INP-1 to INP-8, INP-25, INP-27, INP-28, NUM-12)."""

from itertools import product
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from tuned_contrastive.conformance.judging import Accept
from tuned_contrastive.conformance.protocol import (
    Implementation,
    WithLabelKinds,
    WithNarrowIntegers,
)
from tuned_contrastive.conformance.suite.calls import Call, loss_share, ones, sample, weights

DEFAULTS: dict[str, Any] = {"temperature": 0.1, "normalize": True, "reduction": "mean"}
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
CLASSES = np.array([1, 0, 1, 2, 2, 0])
BEYOND_24_BITS = 2**24 + np.array([0, 1, 0, 2, 3, 1])
BEYOND_32_BITS = np.array([1, 2**32 + 1, 1, 2**53, 2**53 + 1, 2**32 + 1])
BEYOND_63_BITS = np.array([1, 2**63 + 1, 1, 2**63, 2**64 - 1, 2**63 + 1], dtype=np.uint64)
Labels = NDArray[Any]


class LabelKinds(Implementation, WithLabelKinds, Protocol):
    """An implementation with the feature "native-labels"."""


PLAIN: dict[str, Any] = {"temperature": 0.5, "normalize": True, "reduction": "mean"}
FURTHER = [
    pytest.param(given, marks=pytest.mark.needs(parameters=given), id=f"{reduction}-{rows}")
    for reduction, (rows, normalize) in product(
        ("mean", "sum", "none"), (("unit", True), ("raw", False))
    )
    if (given := {**PLAIN, "normalize": normalize, "reduction": reduction}) != PLAIN
]


@pytest.mark.clause("INP-1")
@pytest.mark.needs(loss="supcon", feature="defaults")
def test_defaults_of_supcon(implementation: Implementation, dtype: str) -> None:
    call = Call("supcon", sample("supcon").embeddings, CLASSES)
    got = implementation.loss(call.case(dtype)).loss
    same = implementation.loss(call.with_parameters(**DEFAULTS).case(dtype))
    assert np.array_equal(got, same.loss)


@pytest.mark.clause("INP-2")
@pytest.mark.needs(loss="tcl", feature="defaults")
def test_defaults_of_tcl(implementation: Implementation, dtype: str) -> None:
    call = Call("tcl", sample("tcl").embeddings, CLASSES)
    got = implementation.loss(call.case(dtype)).loss
    same = implementation.loss(call.with_parameters(**DEFAULTS, k1=5000.0, k2=1.0).case(dtype))
    assert np.array_equal(got, same.loss)


@pytest.mark.clause("INP-3")
@pytest.mark.needs(flat=True, parameters={**PLAIN, "reduction": "none"})
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (9, 3)])
def test_every_shape_of_rows_is_accepted(
    implementation: Implementation, loss: str, dtype: str, shape: tuple[int, int]
) -> None:
    call = sample(loss, *shape, **{**PLAIN, "reduction": "none"})
    got = implementation.loss(call.case(dtype)).loss
    assert got.shape == shape[:1]
    assert np.all(np.isfinite(got))


@pytest.mark.clause("INP-3")
@pytest.mark.needs(flat=True, parameters=PLAIN)
def test_every_dtype_of_rows_is_accepted(
    implementation: Implementation, loss: str, dtype: str
) -> None:
    assert np.isfinite(implementation.loss(sample(loss, **PLAIN).case(dtype)).loss)


@pytest.mark.clause("INP-4")
@pytest.mark.needs(views=True, flat=True, parameters=PLAIN)
@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_views_are_rows_in_row_major_order(
    implementation: Implementation, loss: str, dtype: str, views: int, accept: Accept
) -> None:
    rows = sample(loss, 4 * views, 3, **PLAIN)
    labels = np.array([5, 2, 5, 2])
    folded = rows.with_rows(rows.embeddings.reshape(4, views, 3), labels)
    flat = rows.with_rows(rows.embeddings, labels.repeat(views))
    got = implementation.loss(folded.case(dtype)).loss
    accept(loss_share(got, implementation.loss(flat.case(dtype)).loss, flat, dtype))


@pytest.mark.clause("INP-4")
@pytest.mark.needs(views=True, flat=True)
@pytest.mark.parametrize("other", [2, 5], ids=["two classes", "one class"])
@pytest.mark.parametrize("parameters", FURTHER)
def test_views_are_rows_whatever_else_is_asked(
    implementation: Implementation,
    loss: str,
    dtype: str,
    parameters: dict[str, Any],
    other: int,
    accept: Accept,
) -> None:
    rows = sample(loss, 12, 3, **parameters)
    labels = np.array([5, other, 5, other])
    folded = rows.with_rows(rows.embeddings.reshape(4, 3, 3), labels)
    flat = rows.with_rows(rows.embeddings, labels.repeat(3))
    got = implementation.loss(folded.case(dtype)).loss
    same = implementation.loss(flat.case(dtype)).loss
    assert got.shape == ((4, 3) if parameters["reduction"] == "none" else ())
    accept(loss_share(got.reshape(same.shape), same, flat, dtype))


@pytest.mark.clause("INP-5")
@pytest.mark.needs(flat=True, parameters=PLAIN)
@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_labels_of_every_width(
    implementation: Implementation, loss: str, dtype: str, kind: str, accept: Accept
) -> None:
    most, least, half = np.iinfo(kind).max, np.iinfo(kind).min, np.iinfo(kind).bits // 2
    # Merged if a sign, or the upper half of the bits, is lost.
    values = np.array([1, most, least, *((-1, -most) if least else (most >> half, most - 1))], kind)
    classes = np.arange(10) % 5
    same = sample(loss, 10, 3, **PLAIN).with_labels(classes)
    got = implementation.loss(same.with_labels(values[classes]).case(dtype)).loss
    accept(loss_share(got, implementation.loss(same.case(dtype)).loss, same, dtype))


@pytest.mark.clause("INP-5")
@pytest.mark.needs(flat=True, parameters=PLAIN)
def test_boolean_labels(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    same = sample(loss, **PLAIN).with_labels((CLASSES > 0).astype(np.int64))
    got = implementation.loss(same.with_labels(CLASSES > 0).case(dtype)).loss
    accept(loss_share(got, implementation.loss(same.case(dtype)).loss, same, dtype))


@pytest.mark.clause("INP-5")
@pytest.mark.needs(parameters=PLAIN)
def test_no_label_is_set_aside(
    implementation: Implementation, loss: str, dtype: str, accept: Accept
) -> None:
    call = sample(loss, **PLAIN)
    customary = np.array([-100, 255, -1])  # what others read as "ignore"
    got = implementation.loss(call.with_rows(call.embeddings, customary[CLASSES]).case(dtype))
    same = call.with_rows(call.embeddings, CLASSES)
    accept(loss_share(got.loss, implementation.loss(same.case(dtype)).loss, same, dtype))


@pytest.mark.clause("INP-6")
@pytest.mark.needs(feature="native-labels", parameters=PLAIN)
@pytest.mark.parametrize("kind", ["array", "numpy", "list"])
@pytest.mark.parametrize("labels", [CLASSES, CLASSES > 0, CLASSES - 1], ids=["int", "bool", "neg"])
def test_labels_of_every_kind(
    implementation: LabelKinds, loss: str, dtype: str, kind: str, labels: Labels, accept: Accept
) -> None:
    call = sample(loss, **PLAIN).with_labels(labels)
    got = implementation.loss_with_labels_as(kind, call.case(dtype)).loss
    accept(loss_share(got, implementation.loss(call.case(dtype)).loss, call, dtype))


@pytest.mark.clause("INP-7")
@pytest.mark.needs(flat=True, parameters=PLAIN)
@pytest.mark.parametrize("labels", [BEYOND_32_BITS, BEYOND_63_BITS], ids=["int64", "uint64"])
def test_labels_of_64_bits_are_not_merged(
    implementation: Implementation, loss: str, dtype: str, labels: Labels, accept: Accept
) -> None:
    same = sample(loss, **PLAIN).with_labels(np.array([0, 1, 0, 2, 3, 1]))
    got = implementation.loss(same.with_labels(labels).case(dtype)).loss
    accept(loss_share(got, implementation.loss(same.case(dtype)).loss, same, dtype))


@pytest.mark.clause("INP-27")
@pytest.mark.needs(mode="restored", feature="keras", flat=True, parameters=PLAIN)
@pytest.mark.parametrize("labels", [BEYOND_24_BITS, BEYOND_32_BITS], ids=["24", "53"])
def test_restored_module_compares_whole_labels(
    implementation: Implementation, loss: str, labels: Labels, accept: Accept
) -> None:
    same = sample(loss, **PLAIN, **weights(loss)).with_labels(np.array([0, 1, 0, 2, 3, 1]))
    case = same.with_labels(labels).case("float32", mode="restored")
    exact = same.exact().loss
    accept(loss_share(implementation.loss(case).loss, exact, same, "float32", calls=1))


@pytest.mark.clause("INP-28")
@pytest.mark.needs(feature="32-bit-integers")
@pytest.mark.parametrize("label", [2**32, -(2**31) - 1, 2**63])
@pytest.mark.parametrize("other", [0, 1])
def test_labels_beyond_32_bits_are_refused(
    implementation: WithNarrowIntegers, loss: str, label: int, other: int
) -> None:
    rows = {"array": "float32", "shape": [3, 2]}
    arguments = {"embeddings": rows, "labels": {"sequence": [other, label, other]}}
    with pytest.raises(ValueError, match="labels"):
        implementation.call_in_32_bits(loss, arguments)


@pytest.mark.clause("INP-28")
@pytest.mark.needs(feature="32-bit-integers")
@pytest.mark.parametrize("label", [2**32 - 1, 2**31 - 1])
def test_labels_of_32_bits_are_accepted(
    implementation: WithNarrowIntegers, loss: str, label: int
) -> None:
    rows = {"array": "float32", "shape": [3, 2]}
    arguments = {"embeddings": rows, "labels": {"sequence": [0, label, 0]}}
    implementation.call_in_32_bits(loss, arguments)


@pytest.mark.clause("INP-8")
@pytest.mark.needs(views=True, unlabelled=True, parameters=PLAIN)
@pytest.mark.parametrize("views", [pytest.param(2, marks=pytest.mark.needs(pairs=True)), 3, 5])
def test_without_labels_every_sample_is_a_class(
    implementation: Implementation, loss: str, dtype: str, views: int, accept: Accept
) -> None:
    rows = sample(loss, 4 * views, 3, **PLAIN)
    same = rows.with_rows(rows.embeddings.reshape(4, views, 3), np.arange(4))
    got = implementation.loss(same.with_labels(None).case(dtype)).loss
    accept(loss_share(got, implementation.loss(same.case(dtype)).loss, same, dtype))


@pytest.mark.clause("INP-25")
@pytest.mark.needs(gradient=("embeddings",), parameters=PLAIN)
def test_arguments_stay_as_they_were(implementation: Implementation, loss: str, dtype: str) -> None:
    call = sample(loss, **PLAIN)
    case, copy = call.case(dtype), call.embeddings.copy()
    value, gradient = implementation.loss(case), implementation.gradients(case, ones(call))
    assert (value.intact, gradient.intact) == (True, True)
    assert np.array_equal(case.embeddings, copy)
    assert np.array_equal(np.asarray(case.labels), sample(loss).labels)
    assert case.parameters == PLAIN


@pytest.mark.clause("NUM-12")
@pytest.mark.needs(parameters={"reduction": "none", "temperature": 0.5})
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3, 5])
def test_non_finite_number_makes_every_anchor_nan(
    implementation: Implementation, loss: str, dtype: str, wrong: float, row: int
) -> None:
    call = sample(loss, temperature=0.5, reduction="none")
    labels = np.array([0, 0, 0, 1, 2, 2])  # row 3 is no anchor
    embeddings = call.embeddings.copy()
    embeddings[row, 1] = wrong
    got = implementation.loss(call.with_rows(embeddings, labels).case(dtype)).loss
    assert np.isnan(got).tolist() == [True, True, True, False, True, True]
    assert got[3] == 0


@pytest.mark.clause("NUM-12")
@pytest.mark.needs(
    loss="tcl",
    parameters={"reduction": "none", "temperature": 0.5, "k2": 0.0, "normalize": False},
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1, 4])
def test_no_weight_of_0_hides_a_number_that_is_not_finite(
    implementation: Implementation, dtype: str, wrong: float, column: int
) -> None:
    call = sample("tcl", k2=0.0, normalize=False, reduction="none")
    labels = np.array([0, 0, 0, 1, 2, 2])
    embeddings = call.embeddings.copy()
    embeddings[3, column] = wrong  # a negative of all others, a positive of none
    got = implementation.loss(call.with_rows(embeddings, labels).case(dtype)).loss
    assert np.isnan(got).tolist() == [True, True, True, False, True, True]
    assert got[3] == 0
