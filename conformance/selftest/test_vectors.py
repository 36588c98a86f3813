"""The frozen vectors: schema, manifest, regeneration, coverage, and how much they can tell."""

import copy
import functools
import hashlib
import json
import operator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tuned_contrastive.conformance.adapters import native
from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.reference import make_vectors, portable
from tuned_contrastive.spec import contract, tolerance
from tuned_contrastive.spec.clauses import load_clauses

FOLDER = make_vectors.FOLDER
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
)
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
FINITE = [(n, q) for n, q in QUANTITIES if VALUES[n]["quantity_flags"].get(q) != "non-finite"]

EXPECTED = {vector.id: vector.expected for vector in load_vectors().values}
BOUNDS = {vector.id: vector.bounds for vector in load_vectors().values}


def allowed(vector: dict[str, Any], quantity: str) -> Any:
    """Return bounds and smallest normal number, in the widest unit that the vector serves."""
    dtype = "float32" if "float32" in vector["dtypes"] else "float64"
    bound = np.array(vector["bounds"][quantity]) * tolerance.UNIT_ROUNDOFF[dtype]
    return bound + tolerance.SMALLEST[dtype]


def size(vector: dict[str, Any], quantity: str) -> float:
    """Return how many times what is allowed the quantity is, where it is largest in that sense."""
    values = np.array(vector["expected"][quantity], dtype=np.float64)
    if quantity == "embeddings":
        values = np.hypot.reduce(values.reshape(-1, values.shape[-1]), axis=1)
    return float(np.max(np.abs(values) / allowed(vector, quantity)))


@pytest.mark.parametrize("name", FILES)
def test_file_follows_the_schema(name: str) -> None:
    SCHEMA.validate(json.loads((FOLDER / name).read_text(encoding="utf-8")))


PLACES = [
    ("tcl-001", ""),
    ("tcl-001", "labels"),
    ("labels-008", "labels"),
    ("tcl-001", "parameters"),
    ("tcl-001", "expected"),
    ("tcl-001", "bounds"),
    ("tcl-001", "quantity_flags"),
    ("reject-001", ""),
    ("reject-001", "arguments"),
    ("reject-001", "arguments/embeddings"),
    ("reject-001", "arguments/labels"),
    ("reject-016", "arguments/labels"),
    ("reject-028", "arguments/labels"),
    ("reject-033", "arguments/temperature"),
    ("reject-037", "arguments/temperature"),
    ("reject-039", "arguments/temperature"),
]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_schema_refuses_an_unknown_field(name: str, place: str) -> None:
    vector = copy.deepcopy(VECTORS[name])
    functools.reduce(operator.getitem, filter(None, place.split("/")), vector)["comment"] = "hello"
    assert SCHEMA.is_valid({"vectors": [VECTORS[name]]})
    assert not SCHEMA.is_valid({"vectors": [vector]})


def test_schema_is_a_schema() -> None:
    SCHEMA.check_schema(SCHEMA.schema)


def test_schema_refuses_an_unknown_field_of_the_file() -> None:
    assert not SCHEMA.is_valid({"vectors": [VECTORS["tcl-001"]], "comment": "hello"})


@pytest.mark.parametrize("labels", [{"list": [0, 1]}, {"sequence": [0, 2**64]}, [0, 1], {}])
def test_schema_refuses_an_unknown_description(labels: Any) -> None:
    arguments = {**VECTORS["reject-028"]["arguments"], "labels": labels}
    assert not SCHEMA.is_valid({"vectors": [{**VECTORS["reject-028"], "arguments": arguments}]})


@pytest.mark.parametrize("name", FILES)
def test_no_json_integer_needs_more_than_a_double(name: str) -> None:
    integers = [0]
    json.loads(
        (FOLDER / name).read_text(encoding="utf-8"),
        parse_int=lambda digits: integers.append(int(digits)),
    )
    assert max(map(abs, integers)) <= 2**53


def test_integers_are_a_list_of_int() -> None:
    labels = native(VECTORS["reject-028"]["arguments"]["labels"], np.ones)
    assert labels == [0, 2**64, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("name", FILES)
def test_manifest_tells_the_file(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    vectors = json.loads(text)["vectors"]
    assert MANIFEST["files"][name] == {
        "count": len(vectors),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "inputs": {vector["id"]: portable.input_digest(vector) for vector in vectors},
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


@pytest.mark.parametrize(("name", "quantity"), FINITE)
def test_sharp_is_what_the_flags_say(name: str, quantity: str) -> None:
    is_sharp = size(VALUES[name], quantity) > make_vectors.SHARP
    assert is_sharp == (quantity not in VALUES[name]["quantity_flags"])


@pytest.mark.parametrize("name", [name for name in VALUES if "non-finite" in VALUES[name]["flags"]])
def test_non_finite_is_nan_for_every_anchor_with_a_positive(name: str) -> None:
    assert VALUES[name]["labels"]["values"] == ["4", "0", "0", "2", "1", "0", "1"]
    assert VALUES[name]["expected"] == {
        "loss": "NaN",
        "per_anchor": [0, "NaN", "NaN", 0, "NaN", "NaN", "NaN"],
    }
    assert VALUES[name]["bounds"] == {"loss": 0, "per_anchor": [0] * 7}


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


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("supcon-001", "04a20fc59f5b67f0"),
        ("labels-001", "f29707191fa1eb90"),
        ("reject-028", "5a47ba8d6f23d216"),
    ],
)
def test_an_input_keeps_its_digest(name: str, digest: str) -> None:
    assert portable.input_digest(VECTORS[name]) == digest


EIGHT = {"array": "float32", "shape": [8, 4]}
ONCE_MORE: list[tuple[str, str, Any]] = [
    ("tcl-001", "upstream", 1.0),
    ("tcl-001", "labels", {"values": [0, 1, 0, 2, 1, 0, 1], "dtype": "int64"}),
    ("labels-007", "labels", {"dtype": "bool", "values": [0, 1, 0, 1, 1, 0, 1]}),
    (
        "reject-028",
        "arguments",
        {"embeddings": EIGHT, "labels": {"sequence": [0, 2**64, 1, 1, 1, 1, 1, 1]}},
    ),
]
ANOTHER: list[tuple[str, str, Any]] = [
    ("tcl-001", "upstream", 2),
    ("tcl-001", "labels", {"dtype": "int32", "values": [0, 1, 0, 2, 1, 0, 1]}),
    (
        "labels-001",
        "labels",
        {"dtype": "int64", "values": [2**53, 2**53, -(2**63), 2**53, 2**32, 0, 2**53]},
    ),
    ("reject-040", "arguments", VECTORS["reject-041"]["arguments"]),
]


@pytest.mark.parametrize(("name", "field", "value"), ONCE_MORE)
def test_another_spelling_is_the_same_input(name: str, field: str, value: Any) -> None:
    respelt = {**VECTORS[name], field: value}
    assert portable.input_digest(respelt) == portable.input_digest(VECTORS[name])


@pytest.mark.parametrize(("name", "field", "value"), ANOTHER)
def test_another_input_has_another_digest(name: str, field: str, value: Any) -> None:
    changed = {**VECTORS[name], field: value}
    assert portable.input_digest(changed) != portable.input_digest(VECTORS[name])


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
