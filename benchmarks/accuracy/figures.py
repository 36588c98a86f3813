"""Draws the curves: accuracies with their intervals, sweeps with their bands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.accuracy.findings import Curve

# Okabe and Ito's colours; every line also has its own marker and dashes, for print.
STYLES = {"SupCon": ("#D55E00", "s", "--"), "TCL": ("#0072B2", "o", "-")}
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
COLUMNS = 3


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
            width = 3.3 if name == "sweeps" else 3.6
            figure, axes = plt.subplots(
                rows, columns, figsize=(width * columns, 2.5 * rows), squeeze=False
            )
            for axis, panel in zip(axes.flat, panels, strict=False):
                draw_panel(axis, [curve for curve in own if curve.panel == panel])
            for axis in list(axes.flat)[len(panels) :]:
                axis.set_visible(False)
            if name != "sweeps":
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
        axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(
            curve.x, curve.mean, dashes, color=colour, marker=marker, markersize=3.5,
            linewidth=1.2, label=curve.name,
        )  # fmt: skip
    if scale == "symlog":
        axis.set_xscale("symlog", linthresh=1)
    else:
        from matplotlib.ticker import NullFormatter

        axis.set_xscale("log")
        axis.set_xticks(curves[0].x, [f"{value:g}" for value in curves[0].x])
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel=label, ylabel="validation accuracy, %")
    axis.set_ylim(bottom=max(0, min(min(curve.mean) for curve in curves) - 3), top=100.5)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="lower center")


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
    axis.set(title=curve.panel, xlabel="test accuracy, %", ylim=(-0.6, len(places) - 0.4))
    axis.grid(alpha=0.3)
