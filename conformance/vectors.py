"""Loads the frozen vectors: unknown fields, wrong counts and wrong checksums are errors."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.conformance.protocol import DTYPES, Float64

DIRECTORY = Path(__file__).resolve().parents[1] / "spec" / "vectors"
QUANTITIES = ("loss", "per_anchor", "embeddings", "temperature", "k1", "k2")


class VectorError(ValueError):
    """The vector files are not what the manifest declares."""


@dataclass(frozen=True)
class Vector:
    """One call, its exact results, and how far from them an implementation may be.

    `expected` and `bounds` have the keys of `QUANTITIES` (k1 and k2 for TCL only). Expected values
    have the shapes of what they are compared with; bounds are in units of the compute dtype's unit
    roundoff, one per loss and one per row of the gradient in the embeddings.
    """

    id: str
    loss: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    source: str
    dtypes: tuple[str, ...]
    embeddings: Float64
    labels: NDArray[Any] | None
    parameters: Mapping[str, Any]
    upstream: Float64
    """In the shape of the loss: a number stands for each of its entries."""
    expected: Mapping[str, Float64]
    bounds: Mapping[str, Float64]
    quantity_flags: Mapping[str, Any]


@dataclass(frozen=True)
class Reject:
    """One call that must be refused; `arguments` are portable descriptions."""

    id: str
    loss: str
    clauses: tuple[str, ...]
    flags: tuple[str, ...]
    source: str
    arguments: Mapping[str, Any]
    error: str
    text: str


@dataclass(frozen=True, eq=False)
class VectorSet:
    """What one directory of vectors holds; `declared` are the ids of its manifest."""

    spec_version: str
    declared: frozenset[str]
    values: tuple[Vector, ...]
    rejects: tuple[Reject, ...]


@cache
def load_vectors(directory: Path = DIRECTORY) -> VectorSet:
    """Return the vectors of `directory`; VectorError where they differ from its manifest."""
    path = directory / "manifest.json"
    if not path.is_file():
        raise VectorError(f"{directory} must hold manifest.json, got none")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    records = [record for name in manifest["files"] for record in _read(directory, manifest, name)]
    ids = [record["id"] for record in records]
    if len(ids) != len(set(ids)) or len(ids) != manifest["count"]:
        raise VectorError(
            f"manifest.json declares {manifest['count']} vectors, got {len(set(ids))} ids"
        )
    return VectorSet(
        spec_version=manifest["spec_version"],
        declared=frozenset(ids),
        values=tuple(_value(record) for record in records if "error" not in record),
        rejects=tuple(_reject(record) for record in records if "error" in record),
    )


def numbers(value: Any) -> Float64:
    """Return JSON numbers as float64; the strings "NaN", "Infinity" and "-Infinity" are theirs."""
    return np.array(value, dtype=object).astype(np.float64)


def _read(directory: Path, manifest: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the records of one file, whose bytes and ids the manifest knows."""
    declared = manifest["files"][name]
    content = (directory / name).read_bytes() if (directory / name).is_file() else b""
    if hashlib.sha256(content).hexdigest() != declared["sha256"]:
        raise VectorError(f"{name} must have sha256 {declared['sha256']}, got another")
    records: list[dict[str, Any]] = json.loads(content)["vectors"]
    if [record["id"] for record in records] != list(declared["inputs"]):
        raise VectorError(f"{name} must hold the ids of the manifest in order, got others")
    return records


def _value(record: dict[str, Any]) -> Vector:
    _refuse_unknown(record, Vector)
    embeddings = numbers(record["embeddings"])
    losses = embeddings.shape[:-1]
    expected = {name: numbers(value) for name, value in record["expected"].items()}
    expected["per_anchor"] = expected["per_anchor"].reshape(losses)
    if record["parameters"].get("reduction") == "none":
        expected["loss"] = expected["loss"].reshape(losses)
    return Vector(
        id=record["id"],
        loss=_one_of(record, "loss", ("supcon", "tcl")),
        clauses=tuple(record["clauses"]),
        flags=tuple(record["flags"]),
        source=record["source"],
        dtypes=tuple(name for name in DTYPES if name in record["dtypes"]),
        embeddings=embeddings,
        labels=_labels(record["labels"]),
        parameters=record["parameters"],
        upstream=np.broadcast_to(numbers(record["upstream"]), expected["loss"].shape).copy(),
        expected=expected,
        bounds={name: numbers(value) for name, value in record["bounds"].items()},
        quantity_flags=record["quantity_flags"],
    )


def _reject(record: dict[str, Any]) -> Reject:
    _refuse_unknown(record, Reject)
    return Reject(
        id=record["id"],
        loss=_one_of(record, "loss", ("supcon", "tcl")),
        clauses=tuple(record["clauses"]),
        flags=tuple(record["flags"]),
        source=record["source"],
        arguments=record["arguments"],
        error=_one_of(record, "error", ("TypeError", "ValueError")),
        text=record["text"],
    )


def _labels(record: Mapping[str, Any] | None) -> NDArray[Any] | None:
    """Return labels in their dtype; 64-bit ones are decimal strings, made int one by one."""
    if record is None:
        return None
    values = [value if isinstance(value, bool) else int(value) for value in record["values"]]
    return np.array(values, dtype=record["dtype"])


def _refuse_unknown(record: dict[str, Any], form: type) -> None:
    fields = set(form.__dataclass_fields__)  # type: ignore[attr-defined]
    if set(record) != fields:
        wrong = sorted(set(record) ^ fields)
        raise VectorError(f"{record.get('id')} must have exactly the known fields, got {wrong}")


def _one_of(record: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value: str = record[name]
    if value not in allowed:
        raise VectorError(f"{name} of {record['id']} must be one of {allowed}, got {value!r}")
    return value
