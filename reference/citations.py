"""Which clauses a vector's input touches, decided from the input itself."""

from typing import Any

import numpy as np

from tuned_contrastive.reference.cases import Input

FLAG_CLAUSES = {
    "views": ("INP-4",),
    "unlabelled": ("INP-8",),
    "labels-width": ("INP-5",),
    "labels-negative": ("INP-5",),
    "labels-64-bit": ("INP-7",),
    "small-temperature": ("NUM-5",),
    "k1-extreme": ("NUM-6",),
    "tiny-norm": ("NUM-7",),
    "huge-norm": ("NUM-7",),
    "equal-rows": ("NUM-8",),
    "antipodal": ("NUM-8",),
    "large-similarity": ("NUM-9",),
    "overflow-float32": ("NUM-11",),
    "non-finite": ("NUM-12",),
}


def clauses_of(item: Input, labels: Any) -> list[str]:
    """Return the ids of the clauses that an implementation must keep to pass this vector."""
    values, x = item.parameters, item.embeddings
    tcl, normalize = item.loss == "tcl", values["normalize"]
    rows = x.reshape(-1, x.shape[-1])
    found = ["SUP-4", "SUP-5", "SUP-6"]
    found += ["TCL-1", "TCL-3", "TCL-4"] if tcl else []
    found += ["TCL-2"] if tcl and values["k1"] else []
    found += ["TCL-5"] if tcl and not (values["k1"] and values["k2"]) else []
    found += ["SUP-1"] if normalize else ["SUP-3"]
    found += _sets(rows, labels, x, item)
    found += [clause for flag in item.flags for clause in FLAG_CLAUSES.get(flag, ())]
    found += ["NUM-10"] if values["temperature"] <= 0.012 else []
    if "non-finite" not in item.flags:
        found += _gradients(item, normalize=normalize)
    return sorted(set(found), key=_order)


def _sets(rows: Any, labels: Any, x: Any, item: Input) -> list[str]:
    """Return the clauses on zero rows, rows without a positive and the reduction."""
    word = item.parameters["reduction"]
    classes = np.arange(len(x)) if labels is None else np.asarray(labels)
    classes = np.repeat(classes, x.shape[1]) if x.ndim == 3 else classes
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    single = counts[inverse] == 1
    norms = np.sqrt((rows / max(np.abs(rows[np.isfinite(rows)]).max(initial=0), 1e-300)) ** 2)
    zero = (norms.sum(axis=1) * np.abs(rows).max(initial=0) < 1e-12).any()
    found = ["SUP-2"] if zero and item.parameters["normalize"] else []
    found += ["SUP-7"] if single.any() else []
    found += ["SUP-8"] if single.any() and word == "mean" else []
    found += ["SUP-9"] if single.all() and word == "mean" else []
    found += {"mean": ["SUP-8"], "sum": ["SUP-10"], "none": ["SUP-11"]}[word]
    return found


def _gradients(item: Input, *, normalize: bool) -> list[str]:
    tcl, values = item.loss == "tcl", item.parameters
    found = ["GRD-1", "GRD-2", "GRD-3", "GRD-4" if normalize else "GRD-5", "GRD-6"]
    found += ["GRD-7", "GRD-8"] if tcl else []
    found += ["GRD-9"] if tcl and not (values["k1"] and values["k2"]) else []
    scalar = np.ndim(item.upstream) == 0
    found += ["GRD-10"] if scalar and item.upstream != 1 else []
    return found + ([] if scalar else ["GRD-11"])


def _order(clause: str) -> tuple[int, int]:
    family, number = clause.split("-")
    return ("INP", "SUP", "TCL", "GRD", "NUM", "LAW").index(family), int(number)
