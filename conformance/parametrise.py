"""What a test of the suite runs over, which clauses it cites, and what it asks for."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.conformance.applicability import DEFAULTS, Needs
from tuned_contrastive.conformance.protocol import DTYPES, TILES, Implementation
from tuned_contrastive.conformance.vectors import Reject, Vector, VectorSet

LOSSES = ("supcon", "tcl")
CHOSEN_DTYPES = {
    **dict.fromkeys(("mixed", "jit", "graph", "xla"), DTYPES),
    **dict.fromkeys(TILES, ("float64", "bfloat16")),
}
"""The dtypes that a mode is judged in, unless it is float32 alone."""

COMPILED = ("compiled", "jit", "graph", "xla")
"""Compiled modes: torch.compile, jax.jit, tf.function without and with XLA."""

MODE_CLAUSES = {
    **dict.fromkeys(COMPILED, ("NUM-16",)),
    **dict.fromkeys(TILES, ("NUM-17",)),
    "mixed": ("NUM-3",),
    "module": ("INP-26",),
}
HALVES = ("bfloat16", "float16")
REDUCING = {"SUP-8", "SUP-9", "SUP-10"}
"""What per-anchor losses say nothing about."""
ONLY = {
    "GRD-6": ("temperature",),
    "GRD-7": ("k1",),
    "GRD-8": ("k2",),
    "GRD-9": ("k1", "k2"),
    "GRD-10": ("embeddings", "temperature", "k1", "k2"),
    "GRD-11": ("embeddings", "temperature", "k1", "k2"),
}
"""The quantities in which a clause of the gradients shows; the others show in the embeddings."""


def generate(
    metafunc: pytest.Metafunc,
    implementation: Implementation,
    vectors: VectorSet,
    clauses: frozenset[str] | None = None,
) -> None:
    """Parametrise one test function by the names of its arguments and its marks.

    Of vectors, those that cite one of `clauses`: to collect all takes longer than to judge them.
    """
    judges = metafunc.definition.get_closest_marker("judges")
    chosen = metafunc.definition.get_closest_marker("chosen")
    names = metafunc.fixturenames
    if clauses and not clauses.isdisjoint(clauses_of(metafunc.definition)):
        clauses = None  # all of its cases cite them
    if judges is not None and chosen is not None:
        cases = list(_citing(clauses, _chosen(vectors, chosen, judges.args)))
        metafunc.parametrize(("vector", "dtype", "mode", "quantity"), cases)
    elif judges is not None:
        cases = list(_citing(clauses, _vectors(vectors, judges.args)))
        metafunc.parametrize(("vector", "dtype", "quantity"), cases)
    if "reject" in names:
        cases = list(_citing(clauses, _rejects(metafunc, vectors)))
        metafunc.parametrize("reject", cases)
    if "loss" in names:
        metafunc.parametrize("loss", LOSSES)
    if "dtype" in names and judges is None:
        needs = metafunc.definition.get_closest_marker("needs")
        metafunc.parametrize("dtype", needs.kwargs.get("dtypes", DTYPES) if needs else DTYPES)
    if "transform" in names:
        metafunc.parametrize("transform", getattr(implementation, "transforms", ("none",)))


def cited(vector: Vector, dtype: str, quantity: str) -> list[str]:
    """Return the clauses that this quantity of this vector judges."""
    kept, gradient = [], quantity not in ("loss", "per_anchor")
    for clause in vector.clauses:
        if clause == "NUM-2" and dtype not in HALVES:
            continue
        if clause.startswith("GRD-"):
            if quantity in ONLY.get(clause, ("embeddings",)):
                kept.append(clause)
        elif quantity == "loss" or gradient or clause not in REDUCING:
            kept.append(clause)
    kept += ["SUP-11"] if quantity == "per_anchor" and "SUP-11" not in kept else []
    kept += ["NUM-2"] if dtype in HALVES and "NUM-2" not in kept else []
    return [*kept, "NUM-15" if gradient else "NUM-14"]


def needs_of(item: pytest.Item) -> Needs:
    """Return what a collected test asks for: its marks, and what its parameters imply."""
    wanted: dict[str, Any] = {}
    for mark in item.iter_markers("needs"):
        wanted = {**mark.kwargs, **wanted}
    wanted.pop("dtypes", None)
    parameters = parameters_of(item)
    for name in ("loss", "dtype", "mode"):
        if name in parameters:
            wanted[name] = parameters[name]
    vector, reject = parameters.get("vector"), parameters.get("reject")
    if isinstance(vector, Vector):
        wanted |= vector_needs(vector, parameters["quantity"])
    if isinstance(reject, Reject):
        wanted["loss"] = reject.loss
        if any(isinstance(v, dict) and "device" in v for v in reject.arguments.values()):
            wanted["feature"] = "devices"
    return Needs(**wanted)


def parameters_of(item: pytest.Item) -> dict[str, Any]:
    """Return what a collected test is parametrised with."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def vector_of(item: pytest.Item) -> str | None:
    """Return the id of the vector that a test judges, of either kind."""
    parameters = parameters_of(item)
    vector = parameters.get("vector", parameters.get("reject"))
    return vector.id if isinstance(vector, (Vector, Reject)) else None


def clauses_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the clauses that a test cites, without repetition."""
    ids = [clause for mark in item.iter_markers("clause") for clause in mark.args]
    return tuple(dict.fromkeys(ids))


def judged(vector: Vector, quantities: Sequence[str]) -> list[str]:
    """Return those quantities that a vector has, and that are not another one of them again."""
    again = {"per_anchor"} if _reduction(vector) == "none" else set()
    return [name for name in quantities if name in vector.expected and name not in again]


def vector_needs(vector: Vector, quantity: str) -> dict[str, Any]:
    """Return what a quantity of a vector asks for, beside a dtype and a mode."""
    parameters = {**DEFAULTS, **vector.parameters}
    if quantity == "per_anchor":
        parameters["reduction"] = "none"
    views = vector.embeddings.ndim == 3
    is_loss = quantity in ("loss", "per_anchor")
    return {
        "loss": vector.loss,
        "parameters": parameters,
        "views": views,
        "flat": not views,
        "unlabelled": vector.labels is None,
        "pairs": _of_pairs(vector),
        "rows": vector.embeddings.size // vector.embeddings.shape[-1],
        "gradient": () if is_loss else (quantity,),
    }


def _of_pairs(vector: Vector) -> bool:
    """Return whether every class has two rows."""
    views = vector.embeddings.shape[1] if vector.embeddings.ndim == 3 else 1
    if vector.labels is None:
        return views == 2
    members = np.unique(vector.labels, return_counts=True)[1]
    return bool(np.all(views * members == 2))


def _citing(clauses: frozenset[str] | None, cases: Iterable[Any]) -> Iterator[Any]:
    """Yield the cases whose marks cite one of the clauses."""
    for case in cases:
        cites = {c for mark in case.marks if mark.name == "clause" for c in mark.args}
        if clauses is None or cites & clauses:
            yield case


@cache
def _vectors(vectors: VectorSet, quantities: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(_all_vectors(vectors, quantities))


def _all_vectors(vectors: VectorSet, quantities: tuple[str, ...]) -> Iterator[Any]:
    for vector in vectors.values:
        for dtype in vector.dtypes:
            for quantity in judged(vector, quantities):
                name = f"{vector.id}-{dtype}-{quantity}"
                mark = pytest.mark.clause(*cited(vector, dtype, quantity))
                yield pytest.param(vector, dtype, quantity, id=name, marks=mark)


def _chosen(vectors: VectorSet, chosen: pytest.Mark, quantities: tuple[str, ...]) -> Iterator[Any]:
    if chosen.kwargs.get("every"):
        taken = list(vectors.values)
    else:
        citing = chosen.kwargs.get("citing", set())
        taken = [v for v in vectors.values if citing & set(v.clauses)] or list(_few(vectors))
    for vector, mode in product(taken, chosen.args):
        dtypes = chosen.kwargs.get("dtypes", CHOSEN_DTYPES.get(mode, ("float32",)))
        dtypes = [dtype for dtype in dtypes if dtype in vector.dtypes]
        known = [quantity for quantity in quantities if quantity in vector.expected]
        for dtype, quantity in product(dtypes, known):
            name = f"{vector.id}-{dtype}-{mode}-{quantity}"
            mark = pytest.mark.clause(*MODE_CLAUSES[mode])
            yield pytest.param(vector, dtype, mode, quantity, id=name, marks=mark)


def _few(vectors: VectorSet) -> Iterator[Vector]:
    """Yield per loss the first ordinary vector of each reduction that serves every dtype."""
    for loss in LOSSES:
        for reduction in ("mean", "sum", "none"):
            ordinary = (
                vector
                for vector in vectors.values
                if (vector.loss, _reduction(vector)) == (loss, reduction)
                and vector.dtypes == DTYPES
                and vector.labels is not None
                and not vector.quantity_flags
            )
            yield from [first for first in [next(ordinary, None)] if first is not None]


def _reduction(vector: Vector) -> str:
    return str(vector.parameters.get("reduction", DEFAULTS["reduction"]))


def _rejects(metafunc: pytest.Metafunc, vectors: VectorSet) -> Iterator[Any]:
    """Yield must-reject vectors with what they cite: the clauses of the text, or the others."""
    tests_text = metafunc.definition.get_closest_marker("clause") is not None
    about_text = {"INP-21", "INP-22"}
    for reject in vectors.rejects:
        cites = [name for name in reject.clauses if (name in about_text) == tests_text]
        if cites:
            yield pytest.param(reject, id=reject.id, marks=pytest.mark.clause(*cites))
