"""The frozen vectors: schema, manifest, regeneration, coverage, and how much they can tell."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.reference import make_vectors
from tuned_contrastive.spec import contract, tolerance
from tuned_contrastive.spec.clauses import load_clauses

FOLDER = make_vectors.FOLDER
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
FILES = sorted(MANIFEST["files"])
VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector
    for name in FILES
    for vector in json.loads((FOLDER / name).read_text(encoding="utf-8"))["vectors"]
}
VALUES = {name: vector for name, vector in VECTORS.items() if "expected" in vector}
QUANTITIES = [(name, quantity) for name, vector in VALUES.items() for quantity in vector["bounds"]]
SHARP = [(name, q) for name, q in QUANTITIES if q not in VALUES[name]["quantity_flags"]]
BLUNT = [(name, q) for name, q in QUANTITIES if q in VALUES[name]["quantity_flags"]]


EXPECTED = {vector.id: vector.expected for vector in load_vectors().values}
BOUNDS = {vector.id: vector.bounds for vector in load_vectors().values}


def allowed(vector: dict[str, Any], quantity: str) -> Any:
    """Return the bounds in the widest unit that the vector serves."""
    dtype = "float32" if "float32" in vector["dtypes"] else "float64"
    return np.array(vector["bounds"][quantity]) * tolerance.UNIT_ROUNDOFF[dtype]


def size(vector: dict[str, Any], quantity: str, difference: Any) -> float:
    """Return the largest share of the bounds that a difference of this quantity would use."""
    values = np.array(difference, dtype=np.float64)
    if quantity == "embeddings":
        values = np.hypot.reduce(values.reshape(-1, values.shape[-1]), axis=1)
    bound = allowed(vector, quantity)
    return float(np.max(np.abs(values)[bound > 0] / bound[bound > 0]))


@pytest.mark.parametrize("name", FILES)
def test_file_follows_the_schema(name: str) -> None:
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((FOLDER / name).read_text(encoding="utf-8")), schema)


def test_schema_refuses_an_unknown_field() -> None:
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    document = {"vectors": [{**VECTORS["tcl-001"], "comment": "hello"}]}
    with pytest.raises(jsonschema.ValidationError, match="not valid under any"):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize("name", FILES)
def test_manifest_tells_the_file(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    vectors = json.loads(text)["vectors"]
    assert MANIFEST["files"][name] == {
        "count": len(vectors),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "inputs": {vector["id"]: make_vectors.input_digest(vector) for vector in vectors},
    }


def test_there_are_enough_vectors_and_they_are_small() -> None:
    assert len(VALUES) >= 80
    assert MANIFEST["count"] == len(VECTORS)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 2_000_000


def test_regenerated_files_are_the_same_bytes(tmp_path: Path) -> None:
    make_vectors.main(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {name: (FOLDER / name).read_bytes() for name in written}
    assert set(written) == {*FILES, "manifest.json", "coverage.md"}


@pytest.mark.parametrize("name", VECTORS)
def test_clauses_exist(name: str) -> None:
    assert set(VECTORS[name]["clauses"]) <= set(load_clauses())


@pytest.mark.parametrize("name", [name for name in VALUES if "float16" in VALUES[name]["dtypes"]])
def test_inputs_are_exact_in_float16(name: str) -> None:
    given = np.array(VALUES[name]["embeddings"], dtype=np.float64)
    np.testing.assert_array_equal(given.astype(np.float16).astype(np.float64), given)


@pytest.mark.parametrize("name", [name for name in VALUES if "bfloat16" in VALUES[name]["dtypes"]])
def test_inputs_are_exact_in_bfloat16(name: str) -> None:
    given = np.array(VALUES[name]["embeddings"], dtype=np.float32)
    bits = given.view(np.uint32)
    assert not (bits[np.isfinite(given)] & 0xFFFF).any()


def share(name: str, quantity: str, dtype: str, got: Any) -> float:
    """Return the share that the suite's own judge gives to a result."""
    bounds = {key: np.asarray(value, dtype=np.float64) for key, value in BOUNDS[name].items()}
    return quantity_share(quantity, np.asarray(got), EXPECTED[name], bounds, dtype)


JUDGED = [(name, q, dtype) for name, q in SHARP for dtype in VALUES[name]["dtypes"]]


@pytest.mark.parametrize(("name", "quantity", "dtype"), JUDGED)
def test_zero_and_one_percent_are_refused(name: str, quantity: str, dtype: str) -> None:
    exact = EXPECTED[name][quantity]
    assert share(name, quantity, dtype, exact) == 0
    assert share(name, quantity, dtype, 0 * exact) > 1
    assert share(name, quantity, dtype, 1.01 * exact) > 1


@pytest.mark.parametrize(("name", "quantity"), SHARP)
def test_sharp_is_what_the_flags_say(name: str, quantity: str) -> None:
    vector = VALUES[name]
    assert size(vector, quantity, vector["expected"][quantity]) > make_vectors.SHARP


SHARP_LOSSES = [name for name, quantity in SHARP if quantity == "loss"]


def neighbour(name: str) -> Any:
    """Return the loss of the next vector that has another one, in the shape of this one's."""
    own = EXPECTED[name]["loss"]
    later = SHARP_LOSSES[SHARP_LOSSES.index(name) + 1 :] + SHARP_LOSSES
    losses = (EXPECTED[other]["loss"].reshape(-1)[0] for other in later)
    return np.full_like(own, next(loss for loss in losses if loss != own.reshape(-1)[0]))


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, d) for name in SHARP_LOSSES for d in VALUES[name]["dtypes"]]
)
def test_the_loss_of_the_neighbouring_vector_is_refused(name: str, dtype: str) -> None:
    assert share(name, "loss", dtype, neighbour(name)) > 1


def test_an_id_keeps_its_input() -> None:
    changed = {"tcl": [{**VECTORS["tcl-001"], "upstream": 7}]}
    with pytest.raises(ValueError, match="ids are permanent: supcon-001 must keep its input"):
        make_vectors.refuse_other_inputs(changed)


def test_few_quantities_cannot_tell() -> None:
    assert len(BLUNT) <= 0.15 * len(QUANTITIES)


@pytest.mark.parametrize(
    ("name", "quantity"),
    [pair for pair in BLUNT if VALUES[pair[0]]["quantity_flags"][pair[1]] == "ill-conditioned"],
)
def test_ill_conditioned_is_cold_or_not_normalised(name: str, quantity: str) -> None:
    parameters = VALUES[name]["parameters"]
    assert parameters["temperature"] < 0.02 or not parameters["normalize"]


EDGES = {
    "no-positive": contract.COMPUTE_DTYPES,
    "no-anchor": contract.COMPUTE_DTYPES,
    "one-row": contract.COMPUTE_DTYPES,
    "one-column": contract.COMPUTE_DTYPES,
    "no-negative": contract.COMPUTE_DTYPES,
    "zero-row": contract.COMPUTE_DTYPES,
    "equal-rows": contract.COMPUTE_DTYPES,
    "antipodal": contract.COMPUTE_DTYPES,
    "orthonormal": contract.COMPUTE_DTYPES,
    "small-temperature": contract.COMPUTE_DTYPES,
    "k1-extreme": contract.COMPUTE_DTYPES,
    "huge-weight": contract.COMPUTE_DTYPES,
    "zero-weight": contract.COMPUTE_DTYPES,
    "tiny-norm": contract.COMPUTE_DTYPES,
    "huge-norm": contract.COMPUTE_DTYPES,
    "large-similarity": contract.COMPUTE_DTYPES,
    "overflow-float32": ("float32",),
    "non-finite": contract.COMPUTE_DTYPES,
    "views": contract.COMPUTE_DTYPES,
    "unlabelled": contract.COMPUTE_DTYPES,
    "labels-width": contract.COMPUTE_DTYPES,
    "labels-negative": contract.COMPUTE_DTYPES,
    "labels-64-bit": contract.COMPUTE_DTYPES,
    "reduction-none": contract.COMPUTE_DTYPES,
    "unnormalised": contract.COMPUTE_DTYPES,
    "many-rows": contract.COMPUTE_DTYPES,
    "published-fixture": ("float64", "float32"),
    "bug-report": ("float32",),
    "half-precision": ("float16", "bfloat16"),
    "real-data": contract.COMPUTE_DTYPES,
    "every-digit": ("float64", "float32"),
}


@pytest.mark.parametrize(
    ("flag", "dtype"), [(flag, dtype) for flag, dtypes in EDGES.items() for dtype in dtypes]
)
def test_every_edge_is_covered_in_every_dtype(flag: str, dtype: str) -> None:
    assert any(flag in v["flags"] and dtype in v["dtypes"] for v in VALUES.values())


def test_every_flag_is_an_edge() -> None:
    flags = {flag for vector in VALUES.values() for flag in vector["flags"]}
    assert flags - set(EDGES) == {"formula", "clustered", "two-rows", "one-view"}
