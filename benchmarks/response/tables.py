"""What figures 1 and 2 show at a few similarities, as tables."""

from collections.abc import Mapping
from typing import Any

from tuned_contrastive.benchmarks.response.captions import start
from tuned_contrastive.benchmarks.response.style import number
from tuned_contrastive.benchmarks.tables import table

Document = Mapping[str, Any]
AT = (0.0, 0.4, 0.8, 1.0)
"""The similarities of the columns."""


def positive(found: Document) -> str:
    """Return the response of one positive for each loss, and from where on it is pushed away."""
    rows = [
        [_name(line, "k1"), *_responses(found, line), start(found["s"], line)]
        for line in found["lines"]
    ]
    return table(["loss", *_columns(), "pushed away"], rows)


def negative(found: Document) -> str:
    """Return the response of one negative for each loss, and whether it is above SupCon's."""
    (supcon, *tcl) = found["lines"]
    rows = [[_name(supcon, "k2"), *_responses(found, supcon), ""]]
    for line in tcl:
        harder = line["k2"] > found["crossover"]
        told = f"{'harder' if harder else 'less'} than by SupCon"
        rows.append([_name(line, "k2"), *_responses(found, line), told])
    return table(["loss", *_columns(), "pushed"], rows)


def _columns() -> list[str]:
    return [f"similarity {number(s)}" for s in AT]


def _responses(found: Document, line: Document) -> list[str]:
    return [number(line["response"][found["s"].index(s)]) for s in AT]


def _name(line: Document, varied: str) -> str:
    return f"TCL, {varied} = {number(line[varied])}" if varied in line else str(line["loss"])
