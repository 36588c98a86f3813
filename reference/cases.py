"""The inputs of the frozen vectors: what each is, and why it exists."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.pairs import Float64

HALVES = ("float16", "bfloat16")
WIDE = ("float64", "float32", "bfloat16")
ALL = (*WIDE, "float16")
DOUBLE = ("float64",)


@dataclass(frozen=True)
class Input:
    """One vector's inputs; its id is its family and its place there: new ones go to the end."""

    family: str
    loss: str
    embeddings: Float64
    labels: NDArray[Any] | None
    flags: tuple[str, ...]
    source: str
    parameters: dict[str, Any]
    upstream: Any = 1
    dtypes: tuple[str, ...] = ALL
    wide_labels: tuple[int, ...] | None = None


def grid(seed: int, *shape: int) -> Float64:
    """Draw multiples of 1/16 within (-4, 4), exact in every dtype, by integers alone."""
    state, numbers = seed * 2654435761 % 2**32, []
    for _ in range(int(np.prod(shape))):
        state = (1664525 * state + 1013904223) % 2**32
        numbers.append((state >> 16) % 127 - 63)
    values = np.array(numbers, dtype=np.float64).reshape(shape) / 16
    values[..., 0] += np.where((values == 0).all(axis=-1), 1.0, 0.0)
    return values


def clustered(seed: int, labels: NDArray[Any], columns: int) -> Float64:
    """Draw rows near one centre per class: the easy batch that training ends in."""
    centres = grid(seed, int(labels.max()) + 1, columns)
    near = centres[labels] + grid(seed + 1, len(labels), columns) / 16
    return np.asarray(np.round(near * 16) / 16)


def parameters(loss: str, **given: Any) -> dict[str, Any]:
    """Return all of the spec's parameters for this loss, as a vector states them."""
    values: dict[str, Any] = {"temperature": 0.1}
    values |= {"k1": 5000.0, "k2": 1.0} if loss == "tcl" else {}
    return values | {"normalize": True, "reduction": "mean"} | given


LABELS = np.array([0, 1, 0, 2, 1, 0, 1])
SINGLES = np.array([4, 0, 0, 2, 1, 0, 1])


def inputs() -> Iterator[Input]:
    """Yield the inputs of every vector, in the order of their ids."""
    yield from _formula()
    yield from _views_and_labels()
    yield from _edges()
    yield from _published()
    yield from _tiles()
    yield from _every_digit()
    yield from _weights()


def _formula() -> Iterator[Input]:
    """Temperatures, weights, reductions and upstream gradients on ordinary batches."""
    for number, (T, columns, upstream) in enumerate(
        [(0.1, 4, 1), (0.5, 3, 2), (0.07, 5, 2), (1.0, 2, -1.5), (10.0, 7, 2), (0.03125, 3, 0.5)]
    ):
        x, words = grid(10 + number, 7, columns), ("mean", "sum")
        p = parameters("supcon", temperature=T, reduction=words[number % 2])
        yield Input("supcon", "supcon", x, LABELS, ("formula",), "grid", p, upstream)
    for number, (T, k1, k2) in enumerate(
        [
            (0.1, 5000.0, 1.0),
            (0.5, 1.0, 1.0),
            (0.5, 3.0, 2.5),
            (0.25, 0.25, 0.5),
            (1.0, 40.0, 10.0),
            (0.07, 1e4, 1.5),
            (10.0, 2.0, 0.125),
            (0.03125, 5e6, 4.0),
        ]
    ):
        x, words = grid(30 + number, 7, 3 + number % 4), ("mean", "sum")
        p = parameters("tcl", temperature=T, k1=k1, k2=k2, reduction=words[number % 2])
        yield Input("tcl", "tcl", x, LABELS, ("formula",), "grid", p, (1, 2, 3, -0.5)[number % 4])
    for number, loss in enumerate(("supcon", "tcl")):
        p = parameters(loss, temperature=0.5, reduction="none")
        arrays = [2.0, -1.0, 0.5, 3.0, 0.25, -2.0, 1.0]
        flags = ("formula", "reduction-none")
        yield Input(loss, loss, grid(50 + number, 7, 4), LABELS, flags, "grid", p, arrays)
        yield Input(loss, loss, grid(52 + number, 7, 4), SINGLES, flags, "grid", p, arrays)
        yield Input(loss, loss, grid(54 + number, 7, 4), SINGLES, flags, "grid", p, 2)
        p = parameters(loss, temperature=0.5, normalize=False)
        raw = grid(56 + number, 7, 4) / 4
        yield Input(loss, loss, raw, LABELS, ("formula", "unnormalised"), "grid", p, 2)
        p = parameters(loss, temperature=2.0, normalize=False, reduction="sum")
        yield Input(loss, loss, raw[:5], LABELS[:5], ("unnormalised",), "grid", p, 3)
        easy = clustered(60 + number, LABELS, 4)
        p = parameters(loss, temperature=0.25)
        yield Input(loss, loss, easy, LABELS, ("clustered",), "grid", p, 2)
    for k1, k2 in ((0.0, 1.0), (2.0, 0.0), (0.0, 3.0), (0.0, 0.0)):
        p = parameters("tcl", temperature=0.5, k1=k1, k2=k2)
        x = grid(70, 7, 4)
        yield Input("tcl", "tcl", x, LABELS, ("zero-weight",), "grid", p, 2)


def _views_and_labels() -> Iterator[Input]:
    """(B, V, D), labels of every width, wide and negative labels, no labels."""
    for number, loss in enumerate(("supcon", "tcl")):
        views, labels = grid(80 + number, 4, 3, 5), np.array([0, 1, 0, 2])
        p = parameters(loss, temperature=0.5)
        yield Input("views", loss, views, labels, ("views",), "grid", p, 2)
        none, arrays = p | {"reduction": "none"}, [[2.0, 1.0, -1.0]] * 3 + [[0.5, 4.0, 3.0]]
        yield Input("views", loss, views, labels, ("views", "reduction-none"), "grid", none, arrays)
        yield Input("views", loss, views[:, :2], None, ("views", "unlabelled"), "grid", p, 2)
        yield Input("views", loss, views, None, ("views", "unlabelled"), "grid", p, 2)
        yield Input("views", loss, views[:, :1], labels, ("views", "one-view"), "grid", p, 2)
        yield Input("views", loss, views[:1], None, ("views", "unlabelled"), "grid", p, 2)
        wide = (2**53, 2**53 + 1, -(2**63), 2**53, 2**32, 0, 2**53 + 1)
        x, flags = grid(82 + number, 7, 4), ("labels-64-bit",)
        yield Input("labels", loss, x, None, flags, "grid", p, 2, wide_labels=wide)
        wide = (2**64 - 1, 2**63, 1, 2**64 - 1, 2**63, 2**63 - 1, 1)
        yield Input("labels", loss, x, None, flags, "grid", p, 2, wide_labels=wide)
        negative = np.array([-1, -7, -1, 3, 3, -7, -1])
        yield Input("labels", loss, x, negative, ("labels-negative",), "grid", p, 2)
    for width in ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"):
        x, p = grid(90, 7, 3), parameters("supcon", temperature=0.5)
        labels = (LABELS > 0 if width == "bool" else LABELS + 100).astype(width)
        yield Input("labels", "supcon", x, labels, ("labels-width",), "grid", p, 2)


def _edges() -> Iterator[Input]:
    """Where implementations break: no positive, zero rows, extremes of T, k1 and norms."""
    eye, pair = np.eye(5), np.array([0, 0, 1, 1, 1])
    alternating = np.array([[1.0, 0.5], [-1.0, -0.5], [1.0, 0.5], [-1.0, -0.5], [0.5, -1.0]])
    for number, loss in enumerate(("supcon", "tcl")):

        def edge(x: Float64, labels: Any, *flags: str, loss: str = loss, **more: Any) -> Input:
            dtypes, upstream = more.pop("dtypes", ALL), more.pop("upstream", 2)
            p = parameters(loss, **more)
            return Input("edge", loss, x, np.asarray(labels), flags, "grid", p, upstream, dtypes)

        x = grid(100 + number, 7, 4)
        yield edge(x, SINGLES, "no-positive", temperature=0.5)
        yield edge(x, SINGLES, "no-positive", temperature=0.5, reduction="sum")
        yield edge(x, np.arange(7), "no-positive", "no-anchor")
        yield edge(x[:1], [3], "one-row", "no-positive", "no-anchor")
        yield edge(x, [0] * 7, "no-negative", temperature=0.5)
        yield edge(x[:2], [0, 0], "no-negative", "two-rows", temperature=0.5)
        yield edge(x[:, :1], LABELS, "one-column", temperature=0.5)
        zero = x * (np.arange(7) != 2)[:, None]
        yield edge(zero, LABELS, "zero-row", temperature=0.5)
        yield edge(zero * 0, LABELS, "zero-row", "equal-rows", temperature=0.5)
        yield edge(zero, LABELS, "zero-row", "unnormalised", temperature=4.0, normalize=False)
        yield edge(np.tile([[1.0, 2.0, -1.0]], (5, 1)), pair, "equal-rows")
        yield edge(np.tile([[1.0, 2.0, -1.0]], (5, 1)), pair, "equal-rows", temperature=1e-3)
        yield edge(eye, pair, "orthonormal", temperature=0.5)
        yield edge(eye, pair, "orthonormal", "small-temperature", temperature=1e-3)
        yield edge(alternating, pair, "antipodal", temperature=0.5)
        yield edge(alternating, pair, "antipodal", "small-temperature", temperature=1e-3)
        yield edge(x, LABELS, "small-temperature", temperature=1e-3)
        yield edge(x, LABELS, "small-temperature", temperature=0.005)
        yield edge(x * 2.0**-40, LABELS, "tiny-norm", temperature=0.5, dtypes=WIDE)
        yield edge(x * 2.0**-10, LABELS, "tiny-norm", temperature=0.5)
        yield edge(x * 2.0**110, LABELS, "huge-norm", temperature=0.5, dtypes=WIDE)
        yield edge(x * 2.0**13, LABELS, "huge-norm", temperature=0.5)
        yield edge(x * 2.0**1000, LABELS, "huge-norm", temperature=0.5, dtypes=DOUBLE)
        scales = 2.0 ** np.array([-30, 0, 60, -10, 90, 3, -38])[:, None]
        yield edge(x * scales, LABELS, "tiny-norm", "huge-norm", temperature=0.5, dtypes=WIDE)
        below = np.where((np.arange(7) == 4)[:, None], x * 2.0**-44, x)
        yield edge(below, LABELS, "zero-row", "tiny-norm", temperature=0.5, dtypes=WIDE)
        raw: dict[str, Any] = {"temperature": 1.0, "normalize": False}
        yield edge(x * 16, LABELS, "large-similarity", "unnormalised", **raw)
    for k1, T in ((1e8, 0.5), (1e12, 0.5), (1e12, 1e-3), (1e-6, 0.5)):
        yield edge(x, LABELS, "k1-extreme", temperature=T, k1=k1)
    cold: dict[str, Any] = {"temperature": 0.012, "k1": 0.0, "k2": 0.0}
    flags = ("zero-weight", "antipodal", "small-temperature", "overflow-float32")
    yield edge(alternating, pair, *flags, **cold)
    yield edge(alternating, pair, *flags, **cold | {"temperature": 0.0105})
    for loss in ("supcon", "tcl"):
        for place, value in ((3, np.nan), (0, np.inf), (6, -np.inf)):
            broken = x.copy()
            broken[place, 1] = value
            p = parameters(loss, temperature=0.5)
            p |= {"k2": 0.0} if loss == "tcl" else {}
            yield Input("edge", loss, broken, SINGLES, ("non-finite",), "grid", p)
    # Negatives as near as can be and without weight, positives as far: exponents 190 apart.
    apart = np.array([[1.0, 0.5], [-1.0, -0.5], *[[1.0, 0.5]] * 4])
    yield edge(apart, np.array([0, 0, 1, 2, 3, 4]), *flags, **cold | {"temperature": 0.0105})


def _published() -> Iterator[Input]:
    """Yield the fixtures on which published code differs, bug reports, and real data."""
    n, d = np.mgrid[0:6, 0:4]
    sines = np.sin(1 + 0.7 * n + 1.3 * d + 0.11 * n * d)
    sines /= np.linalg.norm(sines, axis=1, keepdims=True)
    sines = np.round(sines * 2**20) / 2**20  # the same on every machine, whatever its sine
    for labels in ("000111", "000011", "000112", "000000"):
        for loss in ("supcon", "tcl"):
            classes = np.array([int(c) for c in labels])
            one_class = len(set(labels)) == 1
            flags = ("published-fixture", "no-negative") if one_class else ("published-fixture",)
            p = parameters(loss)
            dtypes = ("float64", "float32")
            yield Input("fixture", loss, sines, classes, flags, "sines", p, 2, dtypes)
    reports: list[tuple[str, tuple[str, ...], Float64, str, dict[str, Any]]] = [
        ("SupContrast issues 20, 50, 141: NaN without a positive", ("no-positive",),
         grid(200, 6, 4), "001234", {}),
        ("SupContrast issues 50, 100, 104: NaN when not normalised", ("unnormalised",),
         grid(201, 6, 4), "001122", {"normalize": False, "temperature": 0.25}),
        ("SupContrast issue 100: NaN for a small temperature", ("small-temperature",),
         grid(202, 6, 4), "001122", {"temperature": 0.01}),
        ("SupContrast issues 1, 73: no T/0.07", ("formula",),
         grid(203, 6, 4), "001122", {"temperature": 0.5}),
        ("SupContrast issues 46, 62, 98: order of the views", ("views",),
         grid(204, 3, 2, 4), "010", {}),
        ("pytorch-metric-learning issue 121: half precision", ("half-precision",),
         grid(206, 6, 4), "001122", {"temperature": 0.0625}),
    ]  # fmt: skip
    for source, reported, x, labels, given in reports:
        classes = np.array([int(c) for c in labels])
        p = parameters("supcon", **given)
        yield Input("report", "supcon", x, classes, ("bug-report", *reported), source, p, 2)
    source, many = "pytorch-metric-learning issue 744: large random labels", grid(205, 6, 4)
    wide = (9007199254740993, 9007199254740992, 9007199254740993, 5, 5, 9007199254740992)
    p = parameters("supcon", temperature=0.5)
    both = ("bug-report", "labels-64-bit")
    yield Input("report", "supcon", many, None, both, source, p, 2, wide_labels=wide)
    from sklearn.datasets import load_digits

    digits = load_digits()
    for rows, T in ((16, 0.1), (16, 0.5)):
        for loss in ("supcon", "tcl"):
            x, labels = digits.data[: 2 * rows : 2], digits.target[: 2 * rows : 2]
            p = parameters(loss, temperature=T)
            yield Input("digits", loss, x, labels, ("real-data",), "scikit-learn digits", p, 2)


def _tiles() -> Iterator[Input]:
    """More rows than a tile, and an odd remainder."""
    for rows, classes in ((45, 7), (70, 3), (257, 11)):
        for loss in ("supcon", "tcl"):
            labels = (np.arange(rows) * 5 + np.arange(rows) // 9) % classes
            x = grid(300 + rows, rows, 2)
            p = parameters(loss, temperature=0.5)
            yield Input("tiles", loss, x, labels, ("many-rows",), "grid", p, 2)


def _every_digit() -> Iterator[Input]:
    """Yield rows that use all digits of their dtype, so that products of fewer digits show."""
    n, d = np.indices((24, 40))
    fine = (11 * n * n + 29 * d + 17 * n * d) % 97 - 48
    for digits, dtypes in ((20, ("float64", "float32")), (49, DOUBLE)):
        for loss in ("supcon", "tcl"):
            x = grid(400, 24, 40) + fine * 2.0**-digits
            p = parameters(loss, temperature=0.5)
            labels = np.arange(24) * 5 % 7
            yield Input("digit", loss, x, labels, ("every-digit",), "grid", p, 2, dtypes)


def _weights() -> Iterator[Input]:
    """Yield weights whose product with a sum of exponentials leaves the range, unlike its log."""
    x, labels = grid(500, 12, 3), (np.arange(12) > 1).astype(np.int64)
    for k1, k2 in ((3 * 2.0**126, 1.0), (3.0, 3 * 2.0**126)):
        p = parameters("tcl", temperature=0.5, k1=k1, k2=k2, reduction="sum")
        yield Input("weight", "tcl", x, labels, ("huge-weight",), "grid", p, 2.0**20)
