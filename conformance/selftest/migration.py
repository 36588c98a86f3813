"""The migration table of README.md as calls, and the batches on which both sides must agree."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
T = 0.1
HEAD = "| library | its call | ours | a row without a positive |\n|---|---|---|---|\n"
LABELS = {
    "all": {"labels": [0, 0, 0, 1, 1, 1, 1, 2, 2, 0], "pairs": [0, 1, 1, 0, 2, 3, 3, 2, 4, 4]},
    "lonely": {"labels": [0, 0, 0, 1, 1, 1, 1, 2, 2, 3], "pairs": [0, 1, 1, 0, 2, 3, 3, 2, 4, 5]},
}
"""Where every row has a positive, and where some have none."""

TIMES: dict[str, Callable[[Any], float]] = {
    "the same": lambda labels: 1.0,
    "there is none": lambda labels: 1.0,
    "theirs is `A / N` of it: it counts as 0": lambda labels: anchors(labels) / len(labels),
    "theirs is NaN": lambda labels: np.nan,
}
"""What the last column says: theirs as a multiple of ours on a batch with such a row."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    library: str
    theirs: str
    ours: str
    lonely: str

    def times(self, batch: str) -> float:
        """Return theirs over ours."""
        labels = LABELS[batch]["labels"]
        return {"all": 1.0, "lonely": TIMES[self.lonely](labels)}[batch]

    def values(self, names: Mapping[str, Any]) -> tuple[float, float]:
        """Return their number and ours."""
        return float(eval(self.theirs, dict(names))), float(eval(self.ours, dict(names)))


def rows() -> list[Row]:
    """Return the lines of the table; nothing if it is not there."""
    body = README.partition(HEAD)[2].partition("\n\n")[0]
    cells = [re.split(r" \| ", line.strip("| ")) for line in body.splitlines()]
    return [Row(a.partition(",")[0], b.strip("`"), c.strip("`"), d) for a, b, c, d in cells]


def inputs(batch: str) -> dict[str, Any]:
    """Return the arrays that the table names, float32 rows of norm 1."""
    n, d = np.indices((10, 4))
    x = np.sin(1 + 0.7 * n + 1.3 * d + 0.11 * n * d)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    features, first, second = x.reshape(5, 2, 4), x[0::2], x[1::2]
    queries, keys = np.concatenate([first, second]), np.concatenate([second, first])
    sample = np.tile(np.arange(5), 2)
    elsewhere = np.nonzero(sample[:, None] != sample)[1].reshape(10, 8)
    return {
        "x": x,
        **{name: np.array(values) for name, values in LABELS[batch].items()},
        "features": features,
        "classes": np.array([0, 1, 0, 2, 1]),
        "first": first,
        "second": second,
        "rows": queries,
        "partners": keys,
        "others": queries[elsewhere],
    }


def anchors(labels: Any) -> int:
    """Return A, the number of rows with a positive."""
    same = np.equal.outer(labels, labels)
    return int((same.sum(axis=1) > 1).sum())
