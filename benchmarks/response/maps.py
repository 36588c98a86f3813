"""Draws where a positive is pushed away, and the pull on an anchor seen from above the sphere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuned_contrastive.benchmarks.response import style
from tuned_contrastive.benchmarks.response.style import number, parameters_of

Document = Mapping[str, Any]
LEVELS = (-1.2, -1.0, -0.9, -0.8, -0.6, -0.3, 0.0, 0.3, 1.0, 2.0, 4.0, 8.0)
SCALE = 24.0
"""Degrees on the map for a step of 1."""
SHORTEST = 1.0
"""Degrees of the shortest arrow drawn: below, it would be shorter than its own head."""


def draw_pushed(found: Document, files: list[Path]) -> None:
    """Draw the response of a positive over its own similarity and that of the others."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colours = ListedColormap(_colours())
    norm = BoundaryNorm(LEVELS, colours.N, extend="both")
    at = found["s"], found["others"]
    with style.figure(files, (7.4, 8.0), 2, 2, sharex=True, sharey=True) as (figure, axes):
        for axis, each in zip(axes.flat, found["maps"], strict=True):
            values = np.array(each["response"])
            drawn = axis.contourf(*at, values, LEVELS, cmap=colours, norm=norm, extend="both")
            if values.max() > 0:
                axis.contourf(*at, values, [0, np.inf], colors="none", hatches=["//"])
                axis.contour(*at, values, [0], colors="black", linewidths=1.8)
            name = "SupCon" if each["k1"] is None else f"TCL, k1 = {number(each['k1'])}"
            axis.set_title(f"{name}: {100 * each['share above 0']:.0f} % pushed away")
            axis.grid(visible=False)
        for axis in axes[1]:
            axis.set_xlabel(r"similarity of this positive (hard $\to$ easy)")
        for axis in axes[:, 0]:
            axis.set_ylabel("similarity of the 11 other positives")
        bar = figure.colorbar(
            drawn, ax=axes, location="bottom", ticks=LEVELS, shrink=0.85, aspect=40,
            label=r"response of this positive (hatched: above 0, pushed away)",
        )  # fmt: skip
        bar.ax.grid(visible=False)
        figure.supxlabel(_setting(found["setting"]), fontsize=8, color=style.GREY)


def draw_pull(found: Document, files: list[Path]) -> None:
    """Draw the rows around the anchor, and what each asks of it."""
    positives, negatives = found["setting"]["positives"], found["setting"]["negatives"]
    with style.figure(files, (7.4, 3.3), 1, 3, sharex=True, sharey=True) as (figure, axes):
        for axis, panel in zip(axes[0], found["panels"], strict=True):
            _sky(axis)
            pulls = panel["pulls"]
            _pairs(axis, positives, pulls, "positive", style.POSITIVE, "o")
            _pairs(axis, negatives, pulls[len(positives) :], "negative", style.NEGATIVE, "X")
            _arrow(axis, panel["sum"], style.ANCHOR, 2.8)
            axis.plot(
                0, 0, "o", color="white", markeredgecolor="black", markersize=4.5, zorder=6,
                linestyle="none", label="anchor (arrow: sum)",
            )  # fmt: skip
            is_supcon = panel["loss"] == "SupCon"
            axis.set_title("SupCon" if is_supcon else f"TCL, k2 = {number(panel['k2'])}")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        told = f"{parameters_of(found['setting'], 'T', 'k1')}; k2* = {number(found['crossover'])}"
        figure.supxlabel(
            f"{told}; circles: angle to the anchor; a step of 1 is {SCALE:.0f}° long",
            fontsize=8, color=style.GREY,
        )  # fmt: skip


def _colours() -> list[Any]:
    """Return a colour for each interval of the levels and both ends: blue below 0, orange above."""
    from matplotlib.colors import LinearSegmentedColormap

    below = LEVELS.index(0.0) + 1
    above = len(LEVELS) + 1 - below
    blues = LinearSegmentedColormap.from_list("", ["#00466E", style.TOGETHER, "#EAF3FA"])
    oranges = LinearSegmentedColormap.from_list("", ["#FDF1D8", style.APART, "#7A4300"])
    return [
        *blues(np.linspace(0, 1, below)),
        *oranges(np.linspace(0, 1, above)),
    ]


def _setting(setting: Document) -> str:
    negatives = setting["negatives"]
    ends = f"{number(negatives['lowest'])} to {number(negatives['highest'])}"
    told = parameters_of(setting, "T", "k2")
    return f"{told}, |P| = {setting['positives']['count']}, |N| = {negatives['count']} at {ends}"


def _sky(axis: Any) -> None:
    """Draw circles of equal angle around the anchor."""
    diagonal = np.sqrt(0.5)
    turns = np.linspace(0, 2 * np.pi, 181)
    for angle in (30, 60, 90, 120):
        axis.plot(angle * np.cos(turns), angle * np.sin(turns), color="#CCCCCC", linewidth=0.6)
        axis.text(
            angle * diagonal, angle * diagonal, f"{angle}°", fontsize=7, color=style.GREY,
            ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    axis.set_aspect("equal")
    axis.set_axis_off()
    axis.set_xlim(-126, 136)
    axis.set_ylim(-126, 126)


def _pairs(
    axis: Any,
    places: list[list[float]],
    pulls: list[list[float]],
    kind: str,
    colour: str,
    marker: str,
) -> None:
    """Draw the rows of one kind, and the step that each asks of the anchor."""
    for place, ((angle, bearing), pull) in enumerate(zip(places, pulls, strict=False), 1):
        x, y = angle * np.cos(np.radians(bearing)), angle * np.sin(np.radians(bearing))
        axis.plot(
            x, y, marker, color=colour, markersize=9, markeredgecolor="white", zorder=5,
            linestyle="none", label=f"{kind}, and its step of the anchor" if place == 1 else None,
        )  # fmt: skip
        outward = 12 * np.cos(np.radians(bearing)), 12 * np.sin(np.radians(bearing))
        axis.annotate(
            f"${kind[0]}_{place}$", (x, y), xytext=outward, textcoords="offset points",
            fontsize=9, ha="center", va="center",
        )  # fmt: skip
        _arrow(axis, pull, colour, 1.8, "-" if kind == "positive" else (0, (2.5, 1)))


def _arrow(axis: Any, step: list[float], colour: str, width: float, dashes: Any = "-") -> None:
    x, y = SCALE * np.array(step)
    if np.hypot(x, y) < SHORTEST:
        return
    line = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "linestyle": dashes}
    line |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 11}
    axis.annotate("", (x, y), (0, 0), arrowprops=line, zorder=4)
