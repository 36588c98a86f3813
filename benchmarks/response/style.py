"""How the figures of responses look: colours, markers and dashes for print and for all eyes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]
SUPCON = {"color": "#000000", "marker": "o", "linestyle": "-", "linewidth": 1.8}
# Okabe and Ito's colours; every line also has its own marker and dashes.
TCL: tuple[dict[str, Any], ...] = (
    {"color": "#56B4E9", "marker": "v", "linestyle": (0, (1, 1)), "linewidth": 1.6},
    {"color": "#0072B2", "marker": "s", "linestyle": (0, (5, 1.5)), "linewidth": 1.6},
    {"color": "#D55E00", "marker": "^", "linestyle": (0, (5, 1.5, 1, 1.5)), "linewidth": 1.6},
    {"color": "#009E73", "marker": "D", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "linewidth": 1.6},
)
POSITIVE, NEGATIVE, ANCHOR = "#0072B2", "#D55E00", "#000000"
TOGETHER, APART = "#0072B2", "#E69F00"
GREY = "#555555"
RULES: dict[Any, Any] = {
    "svg.hashsalt": "tuned-contrastive",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 3.2,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.w_pad": 0.08,
    "lines.markersize": 4.5,
}
DPI = 200


@contextmanager
def figure(
    files: list[Path], size: tuple[float, float], rows: int = 1, columns: int = 1, **given: Any
) -> Iterator[tuple[Any, Any]]:
    """Give a figure and its axes, (rows, columns), to draw on; save it into files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context(RULES):
        made, axes = plt.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained", **given
        )
        yield made, axes
        for file in files:
            dateless = {"metadata": {"Date": None}} if file.suffix == ".svg" else {"dpi": DPI}
            made.savefig(file, **dateless)
        plt.close(made)


def tcl(number: int) -> dict[str, Any]:
    """Return the look of TCL's line of that number."""
    return TCL[number % len(TCL)]


def number(value: float, digits: int = 3) -> str:
    """Return a number as a reader writes it: 50 000, 0.4, −0.4."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def pairs_of(setting: Document) -> str:
    """Return in words which positives and negatives the anchor has."""
    told = []
    for letter, name in (("P", "positives"), ("N", "negatives")):
        spread = setting[name]
        ends = [number(spread["lowest"]), number(spread["highest"])]
        told.append(f"|{letter}| = {spread['count']} at similarities {ends[0]} to {ends[1]}")
    return ", ".join(told)


def parameters_of(setting: Document, *names: str) -> str:
    """Return the named parameters in words."""
    keys = {"T": "temperature"}
    return ", ".join(f"{name} = {number(setting[keys.get(name, name)])}" for name in names)
