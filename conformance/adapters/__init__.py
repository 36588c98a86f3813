"""Implementations that the command knows by name, one module each, loaded when asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tuned_contrastive.conformance.protocol import Case

MakeArray = Callable[..., Any]


def intact(case: Case, embeddings: Any, labels: Any) -> bool:
    """Return whether native embeddings and labels, read back as arrays, still are the case's."""
    rows = np.asarray(embeddings, dtype=np.float64).reshape(case.embeddings.shape)
    same = np.array_equal(rows, case.embeddings, equal_nan=True)
    return same and (case.labels is None or np.array_equal(labels, case.labels))


def native(value: Any, ones: MakeArray) -> Any:
    """Return the argument that a portable description of a must-reject vector stands for.

    `ones(shape, dtype=name)` makes the framework's own array; with ``device="other"`` it is put on
    another device.
    """
    if isinstance(value, list):
        return [native(element, ones) for element in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        place = {"device": value["device"]} if "device" in value else {}
        return ones(tuple(value["shape"]), dtype=value["array"], **place)
    if "numpy" in value:
        return np.ones(tuple(value["shape"]), dtype=value["numpy"])
    if "sequence" in value:
        return [native(element, ones) for element in value["sequence"]]
    if "integers" in value:
        return [int(element) for element in value["integers"]]
    if "number" in value:
        return float(value["number"])
    if "numpy_scalar" in value:
        return np.dtype(value["numpy_scalar"]).type(value["value"])
    if "complex" in value:
        return complex(*value["complex"])
    raise ValueError(f"a portable description must be of a known kind, got {value}")
