"""The arrays of the figures of gradient responses, all from the reference (LAW-12 to LAW-15)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from tuned_contrastive.benchmarks.response.batches import (
    Batch,
    Float64,
    Setting,
    Spread,
    anchor_gradients,
)
from tuned_contrastive.reference import responses

Document = dict[str, Any]
BASE = Setting()
K1S = (500.0, 5000.0, 50000.0)
K2S = (1.0, 3.0, 10.0, 30.0)
SIMILARITIES = np.concatenate([np.linspace(-1.0, 0.5, 31)[:-1], np.linspace(0.5, 1.0, 51)])
STATES = {
    "far": Setting(Spread(12, -0.1, 0.3), Spread(115, -0.3, 0.3)),
    "near": Setting(Spread(12, 0.8, 1.0), Spread(115, -0.5, 0.3)),
}
"""Where the positives of the anchor lie."""

BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 126)
TEMPERATURES = (
    0.02,
    0.025,
    0.03,
    0.04,
    0.05,
    0.06,
    0.08,
    0.1,
    0.12,
    0.15,
    0.2,
    0.25,
    0.3,
    0.5,
    1.0,
)
CROSSOVER_TEMPERATURES = (0.05, 0.1, 0.5)
MAP = np.linspace(-0.5, 1.0, 31)
# Angle to the anchor and bearing seen from it, in degrees: rows on a sphere around the anchor.
PULLED_POSITIVES = ((20.0, 75.0), (40.0, 180.0), (62.0, 25.0), (100.0, 215.0))
PULLED_NEGATIVES = ((48.0, 290.0), (72.0, 245.0), (105.0, 110.0), (120.0, 335.0))
PULLED_K2S = (1.0, 10.0)


def positive() -> Document:
    """Return response and gradient norm of one positive, from hard to easy, for several k1."""
    return _varied([replace(BASE, k1=k1) for k1 in K1S], "positive")


def negative() -> Document:
    """Return response and gradient norm of one negative, from easy to hard, for several k2."""
    column = _varied([replace(BASE, k2=k2) for k2 in K2S], "negative")
    return column | {"crossover": float(BASE.responses().crossover[0])}


def share() -> Document:
    """Return the share of the k1 term in D over batch size, |P| and T, for several k1."""
    return {
        state: {
            "setting": base.as_json(),
            "N": _shares(BATCH_SIZES, [_sized(base, N) for N in BATCH_SIZES]),
            "P": _shares(COUNTS, [_counted(base, P) for P in COUNTS]),
            "T": _shares(TEMPERATURES, [replace(base, temperature=T) for T in TEMPERATURES]),
        }
        for state, base in STATES.items()
    }


def crossover() -> Document:
    """Return k2* where all positives are equally hard, for several k1 and T."""
    s = np.linspace(-0.5, 1.0, 31)
    lines = []
    for T, k1 in product(CROSSOVER_TEMPERATURES, K1S):
        settings = [
            replace(BASE, positives=Spread(12, at, at), temperature=T, k1=k1) for at in s.tolist()
        ]
        found = [float(setting.responses().crossover[0]) for setting in settings]
        lines.append({"T": T, "k1": k1, "k2*": found})
    return {"setting": BASE.as_json(), "s": s.tolist(), "lines": lines}


def pushed() -> Document:
    """Return the response of one positive over its similarity and that of all the others.

    Where it is above 0 the loss pushes this positive away.
    """
    maps = [np.empty((len(MAP), len(MAP))) for _ in range(1 + len(K1S))]
    for row, others in enumerate(MAP):
        base = replace(BASE, positives=Spread(12, others, others))
        for column, s in enumerate(MAP):
            found = [replace(base, k1=k1).responses(positive=[s]) for k1 in K1S]
            maps[0][row, column] = found[0].supcon[0, 1]
            for filled, response in zip(maps[1:], found, strict=True):
                filled[row, column] = response.tcl[0, 1]
    named = zip((None, *K1S), maps, strict=True)
    return {
        "setting": BASE.as_json(),
        "s": MAP.tolist(),
        "others": MAP.tolist(),
        "maps": [
            {"k1": k1, "response": each.tolist(), "share above 0": float((each > 0).mean())}
            for k1, each in named
        ],
    }


def pull() -> Document:
    """Return the step of one anchor on the sphere that each pair asks for, in its tangent plane."""
    batch = pulled_batch()
    settings = [replace(BASE, k2=k2) for k2 in PULLED_K2S]
    totals = [anchor_gradients(batch, setting) for setting in settings]
    found = [responses(*batch, **setting.parameters()) for setting in settings]
    panels: list[Document] = [{"loss": "SupCon"} | _pulls(batch, found[0].supcon, totals[0][0])]
    for setting, response, (_, total) in zip(settings, found, totals, strict=True):
        panels.append({"loss": "TCL", "k2": setting.k2} | _pulls(batch, response.tcl, total))
    return {
        "setting": BASE.as_json() | {"positives": PULLED_POSITIVES, "negatives": PULLED_NEGATIVES},
        "crossover": float(found[0].crossover[0]),
        "panels": panels,
    }


FIGURES: dict[str, Callable[[], Document]] = {
    "positive": positive,
    "negative": negative,
    "share": share,
    "crossover": crossover,
    "pushed": pushed,
    "pull": pull,
}
"""What computes each figure's arrays."""


def pulled_batch() -> Batch:
    """Return the rows of the picture on the sphere, the anchor at its pole."""
    angles, bearings = np.radians([(0.0, 0.0), *PULLED_POSITIVES, *PULLED_NEGATIVES]).T
    across = np.sin(angles)
    rows = np.stack([across * np.cos(bearings), across * np.sin(bearings), np.cos(angles)], axis=1)
    return rows, np.repeat([0, 1], [1 + len(PULLED_POSITIVES), len(PULLED_NEGATIVES)])


def _varied(settings: list[Setting], kind: str) -> Document:
    """Return the curves of one pair: SupCon's first, then TCL's."""
    row = 1 if kind == "positive" else 1 + BASE.positives.count
    values = np.empty((1 + len(settings), 2, len(SIMILARITIES)))
    for number, setting in enumerate(settings):
        for at, s in enumerate(SIMILARITIES):
            response = setting.responses(**{kind: [s]})
            gradients = anchor_gradients(setting.batch(**{kind: [s]}), setting)
            norms = [np.linalg.norm(each[row]) for each in gradients]
            values[0, :, at] = response.supcon[0, row], norms[0]
            values[1 + number, :, at] = response.tcl[0, row], norms[1]
    tcl = [{"loss": "TCL", "k1": each.k1, "k2": each.k2} for each in settings]
    names: list[Document] = [{"loss": "SupCon"}, *tcl]
    return {
        "setting": BASE.as_json(),
        "s": SIMILARITIES.tolist(),
        "lines": [
            name | {"response": response.tolist(), "norm": norm.tolist()}
            for name, (response, norm) in zip(names, values, strict=True)
        ],
    }


def _shares(values: tuple[float, ...], settings: list[Setting]) -> Document:
    lines = []
    for k1 in K1S:
        found = [replace(setting, k1=k1).responses().k1_share[0] for setting in settings]
        lines.append({"k1": k1, "share": [float(each) for each in found]})
    return {"x": list(values), "lines": lines}


def _sized(setting: Setting, N: int) -> Setting:
    count = N - 1 - setting.positives.count
    return replace(setting, negatives=replace(setting.negatives, count=count))


def _counted(setting: Setting, P: int) -> Setting:
    N = 1 + setting.positives.count + setting.negatives.count
    return _sized(replace(setting, positives=replace(setting.positives, count=P)), N)


def _pulls(batch: Batch, coefficients: Float64, gradients: Float64) -> Document:
    """Return the part of a descent step that each pair has in it, by the chain rule, and the sum.

    The anchor is the pole: the first two coordinates are those of its tangent plane.
    """
    rows = batch[0]
    parts = -coefficients[0, 1:, None] * rows[1:, :2]
    return {
        "response": coefficients[0, 1:].tolist(),
        "pulls": parts.tolist(),
        "sum": (-gradients[0, :2]).tolist(),
    }
