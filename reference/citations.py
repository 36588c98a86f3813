"""Which clauses a vector's input touches, decided from the input itself.

An ordinary batch cites every definition that it computes; an edge cites only what it exists for, so
that a report names the clause that is broken and not all that stand around it.
"""

from typing import Any

import numpy as np

from tuned_contrastive.reference.cases import Input

ORDINARY = {
    "formula",
    "clustered",
    "reduction-none",
    "many-rows",
    "real-data",
    "published-fixture",
}

FLAG_CLAUSES = {
    "views": ("INP-4",),
    "one-view": ("INP-4",),
    "unlabelled": ("INP-8",),
    "one-row": ("INP-3",),
    "two-rows": ("INP-3",),
    "one-column": ("INP-3",),
    "labels-width": ("INP-5",),
    "labels-negative": ("INP-5",),
    "labels-64-bit": ("INP-7",),
    "no-positive": ("SUP-7",),
    "no-anchor": ("SUP-9",),
    "no-negative": ("SUP-5",),
    "zero-weight": ("TCL-5", "GRD-9"),
    "half-precision": ("NUM-2",),
    "small-temperature": ("NUM-5",),
    "k1-extreme": ("NUM-6",),
    "huge-weight": ("NUM-19",),
    "tiny-norm": ("NUM-7",),
    "huge-norm": ("NUM-7",),
    "equal-rows": ("NUM-8",),
    "antipodal": ("NUM-8",),
    "orthonormal": ("LAW-11",),
    "large-similarity": ("NUM-9",),
    "overflow-float32": ("NUM-11",),
    "non-finite": ("NUM-12",),
    "every-digit": ("NUM-4",),
}

REDUCTIONS = {"mean": "SUP-8", "sum": "SUP-10", "none": "SUP-11"}
COLD = 0.012
"""At and below this temperature the anchor's own 1/T hides the other terms in float32 (NUM-10)."""


def clauses_of(item: Input, labels: Any) -> list[str]:
    """Return the ids of the clauses that this vector judges."""
    flags, values = set(item.flags), item.parameters
    found = [clause for flag in item.flags for clause in FLAG_CLAUSES.get(flag, ())]
    if flags & ORDINARY and "no-negative" not in flags:
        found += _definitions(item) + _gradients(item) + [REDUCTIONS[values["reduction"]]]
        found += ["SUP-7"] if _has_single(item, labels) else []
    if "no-positive" in flags:
        found += [REDUCTIONS[values["reduction"]]]
    if "zero-row" in flags and values["normalize"]:
        found += ["SUP-2"]
    if "unnormalised" in flags:
        found += ["SUP-3", "GRD-5"]
    if values["temperature"] <= COLD and values["normalize"]:
        found += ["NUM-5", "NUM-10"]
    return sorted(set(found), key=_order)


def _definitions(item: Input) -> list[str]:
    values = item.parameters
    found = ["SUP-4", "SUP-5", "SUP-6", "SUP-1" if values["normalize"] else "SUP-3"]
    if item.loss == "tcl":
        found += ["TCL-1", "TCL-3", "TCL-4", *(["TCL-2"] if values["k1"] else [])]
    return found


def _gradients(item: Input) -> list[str]:
    values, is_scalar = item.parameters, np.ndim(item.upstream) == 0
    found = ["GRD-1", "GRD-2", "GRD-3", "GRD-4" if values["normalize"] else "GRD-5", "GRD-6"]
    found += ["GRD-7", "GRD-8"] if item.loss == "tcl" else []
    return found + (["GRD-11"] if not is_scalar else ["GRD-10"] if item.upstream != 1 else [])


def _has_single(item: Input, labels: Any) -> bool:
    """Return whether some row has no positive."""
    views = item.embeddings.shape[1] if item.embeddings.ndim == 3 else 1
    classes = np.arange(len(item.embeddings)) if labels is None else np.asarray(labels)
    _, counts = np.unique(np.repeat(classes, views), return_counts=True)
    return bool((counts == 1).any())


def _order(clause: str) -> tuple[int, int]:
    family, number = clause.split("-")
    return ("INP", "SUP", "TCL", "GRD", "NUM", "LAW").index(family), int(number)
