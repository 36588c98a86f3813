"""How vectors are written for any JSON parser, and what tells the input of one from another's."""

import hashlib
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def input_digest(vector: dict[str, Any]) -> str:
    """Return what tells one vector's input from another's, however the same values are spelt."""
    if "arguments" in vector:
        given = {name: _argument(value) for name, value in vector["arguments"].items()}
    else:
        given = {
            "embeddings": _floats(vector["embeddings"]),
            "labels": vector["labels"] and _labels(**vector["labels"]),
            "parameters": {name: _parameter(v) for name, v in vector["parameters"].items()},
            "upstream": _floats(vector["upstream"]),
        }
    text = json.dumps([vector["loss"], given], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _argument(value: Any) -> Any:
    """Return an argument's description; integers are a sequence, in a spelling of its own."""
    if isinstance(value, dict) and "integers" in value:
        return {"sequence": [int(v) for v in value["integers"]]}
    return value


def _floats(value: Any) -> Any:
    return [_floats(entry) for entry in value] if isinstance(value, list) else float(value)


def _labels(dtype: str, values: list[Any]) -> list[str]:
    return [dtype, *(str(int(v)) for v in values)]


def _parameter(value: Any) -> Any:
    return value if isinstance(value, (bool, str)) else float(value)


def portable(value: Any) -> Any:
    """Return numbers as shortest decimals, nested lists, and words for the non-finite."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.shape):
        return [portable(entry) for entry in value]
    number = float(value)
    if math.isfinite(number):
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def portable_labels(labels: NDArray[Any]) -> dict[str, Any]:
    """Return labels with their dtype; those of 64 bits are strings, for any JSON parser."""
    values = labels.tolist()
    is_wide = labels.dtype.itemsize == 8
    return {"dtype": labels.dtype.name, "values": [str(v) for v in values] if is_wide else values}


def portable_bound(bound: Any) -> Any:
    """Return a bound rounded up to four digits: it is a bound, and short."""
    if np.ndim(bound):
        return [portable_bound(entry) for entry in bound]
    number = float(bound)
    if number == 0 or not math.isfinite(number):
        return portable(number)
    quantum = 10.0 ** (math.floor(math.log10(number)) - 3)
    # the nudge keeps a bound that is a round number from depending on its last bit
    return float(f"{math.ceil(number / quantum * (1 + 1e-9)) * quantum:.4g}")


def dump(vectors: list[dict[str, Any]]) -> str:
    """Return a file's text: one vector per line, so that a change shows as one."""
    lines = ",\n".join(json.dumps(v, separators=(",", ":")) for v in vectors)
    return f'{{"vectors":[\n{lines}\n]}}\n'
