"""Draws the curves: accuracies with their intervals, sweeps with their bands."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.accuracy.findings import DIFFERENCES, Curve
from tuned_contrastive.benchmarks.accuracy.names import ONLY_TCL
from tuned_contrastive.benchmarks.accuracy.plan import FULL
from tuned_contrastive.benchmarks.accuracy.tuning import defaults

# As in the figures of responses; every line also has its own marker and dashes, for print.
STYLES = {"SupCon": ("#000000", "o", "-"), "TCL": ("#0072B2", "s", (0, (5, 1.5)))}
POINTS = ("#000000", "o")
AXES = {
    "k1": ("k1", "symlog"),
    "k2": ("k2", "log"),
    "temperature": ("temperature T", "log"),
    "batch_size": ("batch size, rows", "log"),
    "learning_rate": ("learning rate", "log"),
    "epochs": ("epochs", "log"),
    "embedding": ("embedding size", "log"),
}
DEFAULTS = {**defaults("tcl"), "epochs": FULL.epochs}
"""Of the parameters, marked in the sweeps: around them the others are varied."""
COLUMNS, WIDTH = 3, 7.4
"""Most panels side by side, and inches of all of them together: their labels need the room."""
NEAREST = 0.033
"""Of an axis, for a character: a label that is nearer to the last one is left out."""


def draw(curves: Sequence[Curve], folder: Path) -> None:
    """Draw every figure as SVG and PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    for name in dict.fromkeys(curve.figure for curve in curves):
        own = [curve for curve in curves if curve.figure == name]
        panels = list(dict.fromkeys(curve.panel for curve in own))
        columns = min(COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        settings: dict[Any, Any] = {
            "svg.hashsalt": "tuned-contrastive",
            "font.size": 8,
            "axes.axisbelow": True,
        }
        with plt.rc_context(settings):
            draw_panel = _draw_sweep if name == "sweeps" else _draw_points
            most = 0 if name == "sweeps" else max(len(curve.x) for curve in own)
            size = (WIDTH, max(2.3, 0.7 + 0.2 * most) * rows)
            figure, axes = plt.subplots(
                rows, columns, figsize=size, squeeze=False, sharey=name == "sweeps"
            )
            for axis, panel in zip(axes.flat, panels, strict=False):
                draw_panel(axis, [curve for curve in own if curve.panel == panel])
            for axis in list(axes.flat)[len(panels) :]:
                axis.set_visible(False)
            if name == "sweeps":
                axes[0][0].legend(frameon=False, loc="lower left")
                for axis in axes[:, 0]:
                    axis.set_ylabel("validation accuracy, %")
            else:
                for axis in axes[:, 1:].flat:
                    axis.set_yticklabels([])
            figure.tight_layout()
            for suffix in (".svg", ".png"):
                metadata = {"Date": None} if suffix == ".svg" else None
                figure.savefig(folder / f"{name}{suffix}", dpi=150, metadata=metadata)
            plt.close(figure)


def _draw_sweep(axis: Any, curves: Sequence[Curve]) -> None:
    label, scale = AXES[curves[0].panel]
    for curve in curves:
        colour, marker, dashes = STYLES[curve.name]
        is_default = curve.panel in ONLY_TCL and curve.name != "TCL"
        axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(
            curve.x, curve.mean, linestyle=dashes, color=colour, markersize=3.5, linewidth=1.2,
            marker="" if is_default else marker,
            label=curve.name,
        )  # fmt: skip
    if scale == "symlog":
        axis.set_xscale("symlog", linthresh=1)
    else:
        from matplotlib.ticker import NullFormatter

        axis.set_xscale("log")
        axis.set_xticks(curves[0].x, _labels(curves[0].x))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.axvline(DEFAULTS[curves[0].panel], color="#555555", linewidth=0.8, linestyle=":")
    axis.set_xlabel(label)
    axis.grid(alpha=0.3)


def _labels(values: Sequence[float]) -> list[str]:
    """Return the labels of a logarithmic axis, those left out that would touch."""
    span = math.log(values[-1] / values[0])
    told, last = [], -math.inf
    for value in values:
        at = math.log(value / values[0]) / span
        label = f"{value:g}"
        told.append(label if at - last > NEAREST * len(label) else "")
        last = at if told[-1] else last
    return told


def _draw_points(axis: Any, curves: Sequence[Curve]) -> None:
    (curve,) = curves
    places = list(range(len(curve.x)))[::-1]
    below = [mean - low for mean, low in zip(curve.mean, curve.low, strict=True)]
    above = [high - mean for mean, high in zip(curve.mean, curve.high, strict=True)]
    colour, marker = POINTS
    axis.errorbar(
        curve.mean, places, xerr=[below, above], fmt=marker, color=colour, markersize=3.5,
        capsize=2, linewidth=1,
    )  # fmt: skip
    axis.set_yticks(places, curve.x)
    is_difference = curve.figure.endswith(DIFFERENCES)
    if is_difference:
        axis.axvline(0, color="#555555", linewidth=0.8)
    label = "difference, points" if is_difference else "test accuracy, %"
    axis.set(title=curve.panel, xlabel=label, ylim=(-0.6, len(places) - 0.4))
    axis.grid(alpha=0.3)
