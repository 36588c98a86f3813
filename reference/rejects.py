"""The must-reject vectors: wrong arguments, portably described, with the error each must raise."""

from typing import Any

X = {"array": "float32", "shape": [8, 4]}
VIEWS = {"array": "float32", "shape": [4, 2, 4]}
LABELS = {"array": "int64", "shape": [8]}
NUMBER = "a real number or a floating scalar array"
INTEGER = "an array of integer or boolean dtype or a sequence of int"
FLOATING = "an array of float16, bfloat16, float32 or float64"
SHAPE = "shape (N, D) or (B, V, D) without an empty axis"
GIVEN = "given unless embeddings have shape (B, V, D) with V >= 2"
WORDS = "'mean', 'sum' or 'none'"


def rejects() -> list[dict[str, Any]]:
    """Return every must-reject vector; new ones go to the end of all, ids never change."""
    return [
        {
            "id": f"reject-{number:03d}",
            "loss": "tcl" if "k1" in arguments or "k2" in arguments else "supcon",
            "clauses": list(clauses),
            "flags": ["must-reject"],
            "source": "specification",
            "arguments": {"embeddings": X, "labels": LABELS, **arguments},
            "error": error,
            "text": text,
        }
        for number, (clauses, error, text, arguments) in enumerate(_entries(), start=1)
    ]


def _entries() -> list[tuple[tuple[str, ...], str, str, dict[str, Any]]]:
    return [*_embeddings(), *_labels(), *_scalars(), *_words(), *_order(), *_before_work()]


def _embeddings() -> list[Any]:
    kinds: list[tuple[Any, str]] = [
        ({"sequence": [[1.0, 2.0], [3.0, 4.0]]}, "list of list"),
        ({"array": "int64", "shape": [8, 4]}, "int64"),
        ({"array": "bool", "shape": [8, 4]}, "bool"),
        ({"array": "complex64", "shape": [8, 4]}, "complex64"),
        (None, "NoneType"),
        ("eight", "str"),
    ]
    shapes: list[tuple[list[int], str]] = [
        ([8], "(8,)"),
        ([], "()"),
        ([0, 4], "(0, 4)"),
        ([8, 0], "(8, 0)"),
        ([2, 2, 2, 4], "(2, 2, 2, 4)"),
        ([4, 0, 4], "(4, 0, 4)"),
    ]
    return [
        (("INP-10", "INP-21"), "TypeError", f"embeddings must be {FLOATING}, got {got}", _x(value))
        for value, got in kinds
    ] + [
        (
            ("INP-11", "INP-21"),
            "ValueError",
            f"embeddings must have {SHAPE}, got {got}",
            _x({"array": "float32", "shape": shape}),
        )
        for shape, got in shapes
    ]


def _x(value: Any) -> dict[str, Any]:
    return {"embeddings": value}


def _labels() -> list[Any]:
    missing: list[tuple[Any, str]] = [
        (X, "(8, 4)"),
        ({"array": "float32", "shape": [8, 1, 4]}, "(8, 1, 4)"),
    ]
    kinds: list[tuple[Any, str]] = [
        ({"array": "float32", "shape": [8]}, "float32"),
        ({"numpy": "float64", "shape": [8]}, "float64"),
        ({"sequence": [0.0] * 8}, "list of float"),
        ({"sequence": [0, 1, 2, 3, "a", 5, 6, 7]}, "list of str"),
        (3, "int"),
        ("01234567", "str"),
    ]
    shapes: list[tuple[dict[str, Any], Any, str, str]] = [
        (X, {"array": "int64", "shape": [8, 1]}, "(8,)", "(8, 1)"),
        (X, {"array": "int64", "shape": [7]}, "(8,)", "(7,)"),
        (X, {"numpy": "int32", "shape": [9]}, "(8,)", "(9,)"),
        (X, {"sequence": [0, 1]}, "(8,)", "(2,)"),
        (X, {"array": "int64", "shape": []}, "(8,)", "()"),
        (VIEWS, {"array": "int64", "shape": [8]}, "(4,)", "(8,)"),
        (VIEWS, {"array": "bool", "shape": [4, 2]}, "(4,)", "(4, 2)"),
    ]
    huge = {"integers": ["0", str(2**64), *["1"] * 6]}
    text = "labels must fit one 64-bit integer type, got 0 to 18446744073709551616"
    return [
        *(
            (
                ("INP-9", "INP-21"),
                "ValueError",
                f"labels must be {GIVEN}, got None with embeddings of shape {got}",
                {"embeddings": x, "labels": None},
            )
            for x, got in missing
        ),
        *(
            (
                ("INP-12", "INP-21"),
                "TypeError",
                f"labels must be {INTEGER}, got {got}",
                {"labels": value},
            )
            for value, got in kinds
        ),
        *(
            (
                ("INP-13", "INP-21"),
                "ValueError",
                f"labels must have shape {allowed}, got {got}",
                {"embeddings": x, "labels": value},
            )
            for x, value, allowed, got in shapes
        ),
        (("INP-7", "INP-21"), "ValueError", text, {"labels": huge}),
        (
            ("INP-14",),
            "ValueError",
            "labels must be on the device of embeddings",
            {"labels": {"array": "int64", "shape": [8], "device": "other"}},
        ),
    ]


def _scalars() -> list[Any]:
    rows: list[Any] = []
    for name, kind, range_, sign in (
        ("temperature", "INP-15", "INP-16", "> 0"),
        ("k1", "INP-17", "INP-18", ">= 0"),
        ("k2", "INP-17", "INP-18", ">= 0"),
    ):
        kinds: list[tuple[Any, str]] = [
            (True, "bool"),
            ("0.1", "str"),
            (None, "NoneType"),
            ({"complex": [1.0, 0.0]}, "complex"),
            ({"array": "int64", "shape": []}, "int64"),
            ({"array": "bool", "shape": []}, "bool"),
        ]
        for value, got in kinds:
            text = f"{name} must be {NUMBER}, got {got}"
            rows.append(((kind, "INP-21"), "TypeError", text, {name: value}))
        ranges: list[tuple[Any, str]] = [
            (-1.0, "-1.0"),
            ({"number": "nan"}, "nan"),
            ({"number": "inf"}, "inf"),
            ({"numpy_scalar": "float32", "value": -2.0}, "-2.0"),
        ]
        ranges += [(0, "0"), (0.0, "0.0")] if name == "temperature" else []
        for value, got in ranges:
            text = f"{name} must be finite and {sign}, got {got}"
            rows.append(((range_, "INP-21"), "ValueError", text, {name: value}))
        text = f"{name} must have shape (), got (1,)"
        array = {"array": "float32", "shape": [1]}
        rows.append((("INP-23", "INP-21"), "ValueError", text, {name: array}))
    return rows


def _words() -> list[Any]:
    rows: list[Any] = [
        (
            ("INP-19", "INP-21"),
            "TypeError",
            f"normalize must be a bool, got {got}",
            {"normalize": value},
        )
        for value, got in ((1, "int"), ("yes", "str"), (None, "NoneType"))
    ]
    rows += [
        (
            ("INP-20", "INP-21"),
            "TypeError",
            f"reduction must be a string, got {got}",
            {"reduction": value},
        )
        for value, got in ((None, "NoneType"), (1, "int"))
    ]
    rows += [
        (
            ("INP-20", "INP-21"),
            "ValueError",
            f"reduction must be {WORDS}, got '{value}'",
            {"reduction": value},
        )
        for value in ("avg", "Mean", "")
    ]
    return rows + [
        (("INP-24",), "TypeError", f"got an unexpected keyword argument '{name}'", {name: None})
        for name in ("weights", "ignore_label", "keys", "key_labels", "positive_mask")
    ]


def _order() -> list[Any]:
    embeddings = {"array": "int64", "shape": [8, 4]}
    return [
        (
            ("INP-22",),
            "TypeError",
            f"embeddings must be {FLOATING}, got int64",
            {"embeddings": embeddings, "temperature": -1.0, "reduction": "avg"},
        ),
        (
            ("INP-22",),
            "ValueError",
            "labels must have shape (8,), got (2,)",
            {"labels": {"sequence": [0, 1]}, "temperature": "warm", "reduction": 3},
        ),
        (
            ("INP-22",),
            "ValueError",
            "temperature must be finite and > 0, got 0.0",
            {"temperature": 0.0, "k1": True, "k2": -1.0, "normalize": 3},
        ),
        (
            ("INP-22",),
            "TypeError",
            "normalize must be a bool, got int",
            {"normalize": 3, "reduction": 3},
        ),
    ]


def _before_work() -> list[Any]:
    """Return a call with a wrong last argument and more rows than all pairs have room for."""
    many = 1_000_000
    rows = {"array": "float32", "shape": [many, 1]}
    given = {"embeddings": rows, "labels": {"array": "int64", "shape": [many]}, "reduction": "avg"}
    return [(("INP-29",), "ValueError", f"reduction must be {WORDS}, got 'avg'", given)]
