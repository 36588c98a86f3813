"""Draws the curves of gradient responses; `maps` draws those that are no curves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuned_contrastive.benchmarks.response import maps, style
from tuned_contrastive.benchmarks.response.hardness import FEWEST
from tuned_contrastive.benchmarks.response.style import number, pairs_of, parameters_of

Document = Mapping[str, Any]
RESPONSE = r"response $\partial\ell_i/\partial s_{%s}$"
SIMILARITY = "similarity $s_{%s}$ (%s)"
SHOWN_EDGES = (-1, 0, 0.7, 0.95, 0.995, 1)
"""Of the bins of similarity: what the axis has room for."""


def draw(name: str, found: Document, folder: Path) -> None:
    """Draw a figure's arrays into a folder, as SVG and as PNG."""
    DRAWINGS[name](found, [folder / f"{name}{suffix}" for suffix in (".svg", ".png")])


def draw_positive(found: Document, files: list[Path]) -> None:
    """Draw response and gradient norm of a positive, SupCon beside TCL with several k1."""
    setting = found["setting"]
    with style.figure(files, (7.4, 3.7), 1, 2) as (figure, axes):
        names = ["SupCon"] + [f"TCL, k1 = {number(line['k1'])}" for line in found["lines"][1:]]
        _two_panels(axes[0], found, names, ("ip", r"hard $\to$ easy"))
        axes[0][0].axhline(0, color=style.GREY, linewidth=0.8)
        _word(axes[0][0], -1.0, 0.12, r"pushed away $\uparrow$")
        _word(axes[0][0], -1.0, -0.38, r"pulled in $\downarrow$")
        _legend(figure, axes[0][0], 4)
        _note(figure, f"{parameters_of(setting, 'T', 'k2')}, {pairs_of(setting)}")


def draw_negative(found: Document, files: list[Path]) -> None:
    """Draw response and gradient norm of a negative, SupCon beside TCL with several k2."""
    setting = found["setting"]
    with style.figure(files, (7.4, 3.7), 1, 2) as (figure, axes):
        names = ["SupCon"] + [f"TCL, k2 = {number(line['k2'])}" for line in found["lines"][1:]]
        _two_panels(axes[0], found, names, ("in", r"easy $\to$ hard"))
        for axis in axes[0]:
            axis.set_xlim(-0.25, 1.03)
        _legend(figure, axes[0][0], 5)
        _note(figure, f"{parameters_of(setting, 'T', 'k1')}, {pairs_of(setting)}")


def draw_share(found: Document, files: list[Path]) -> None:
    """Draw the share of the k1 term in D over N, |P| and T, positives far and near."""
    about = {
        "N": ("batch size N, with |P| = 12", (16, 64, 256, 1024)),
        "P": ("positives |P|, with N = 128", (1, 4, 16, 64)),
        "T": ("temperature T, with N = 128, |P| = 12", (0.02, 0.05, 0.1, 0.2, 0.5, 1)),
    }
    with style.figure(files, (7.4, 4.9), 2, 3, sharey=True, sharex="col") as (figure, axes):
        for row, (state, columns) in zip(axes, found.items(), strict=True):
            for axis, key in zip(row, about, strict=True):
                for at, line in enumerate(columns[key]["lines"]):
                    axis.plot(
                        columns[key]["x"], line["share"], label=f"TCL, k1 = {number(line['k1'])}",
                        **style.tcl(at),
                    )  # fmt: skip
            spread = columns["setting"]["positives"]
            ends = f"{number(spread['lowest'])} to {number(spread['highest'])}"
            row[0].set_ylabel(f"share of the k1 term in D\npositives {state}: {ends}")
            row[0].set_ylim(-0.03, 1.03)
        for axis, (label, ticks) in zip(axes[1], about.values(), strict=True):
            axis.set_xscale("log")
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
            axis.set_xlabel(label, fontsize=8)
        _legend(figure, axes[0][0], 3)
        _note(figure, f"{parameters_of(found['near']['setting'], 'T', 'k2')}, unless varied")


def draw_crossover(found: Document, files: list[Path]) -> None:
    """Draw k2* over the similarity of equally hard positives, a panel for each T."""
    temperatures = sorted({line["T"] for line in found["lines"]})
    with style.figure(files, (7.4, 3.3), 1, 3, sharey=True) as (figure, axes):
        for axis, T in zip(axes[0], temperatures, strict=True):
            lines = [line for line in found["lines"] if line["T"] == T]
            for at, line in enumerate(lines):
                axis.plot(
                    found["s"], line["k2*"], label=f"k1 = {number(line['k1'])}", markevery=3,
                    **style.tcl(at),
                )  # fmt: skip
                axis.plot([0], [1 + line["k1"]], "*", color="black", markersize=8, zorder=5)
            axis.axhline(1, color=style.GREY, linewidth=0.8)
            axis.set_yscale("log")
            axis.set_title(f"T = {number(T)}")
            axis.set_xlabel("similarity of all positives\n(hard $\\to$ easy)")
        axes[0][0].set_ylabel("crossover $k_2^*$")
        _legend(figure, axes[0][0], 3)
        setting = found["setting"]["positives"]
        _note(figure, f"|P| = {setting['count']}; star: 1 + k1, at orthogonal positives")


def draw_hardness(measured: Mapping[str, Document], files: list[Path]) -> None:
    """Draw the responses measured on embeddings, a column for each name of `measured`."""
    size = (7.4 if len(measured) > 1 else 4.3, 6.2)
    heights = {"height_ratios": [3, 1.2, 3, 1.2]}
    columns = len(measured)
    with style.figure(files, size, 4, columns, sharex=True, sharey="row", gridspec_kw=heights) as (
        figure,
        axes,
    ):
        for column, (name, each) in zip(axes.T, measured.items(), strict=True):
            for at, (kind, label) in enumerate((("positive", "ip"), ("negative", "in"))):
                _percentiles(column[2 * at], each, kind)
                _counts(column[2 * at + 1], each, kind)
                if column[0] is axes[0][0]:
                    column[2 * at].set_ylabel(RESPONSE % label + f"\nof a {kind}")
                    column[2 * at + 1].set_ylabel("pairs")
            column[0].set_title(name)
            column[0].axhline(0, color=style.GREY, linewidth=0.8)
            column[-1].set_xlabel("similarity,\nbins narrow towards 1")
        _legend(figure, axes[0][0], 2)
        setting = next(iter(measured.values()))["setting"]
        batches = f"{setting['batches']} batches of {setting['batch_size']} samples"
        _note(figure, f"{parameters_of(setting, 'T', 'k1', 'k2')}; {batches}; median, 10 to 90 %")


DRAWINGS: dict[str, Callable[[Document, list[Path]], None]] = {
    "positive": draw_positive,
    "negative": draw_negative,
    "share": draw_share,
    "crossover": draw_crossover,
    "pushed": maps.draw_pushed,
    "pull": maps.draw_pull,
    "hardness": draw_hardness,
}
"""What draws each figure."""


def _two_panels(axes: Any, found: Document, names: list[str], pair: tuple[str, str]) -> None:
    for axis, key in zip(axes, ("response", "norm"), strict=True):
        for at, (line, name) in enumerate(zip(found["lines"], names, strict=True)):
            look = style.SUPCON if at == 0 else style.tcl(at - 1)
            axis.plot(found["s"], line[key], label=name, markevery=(0.03 * at, 0.12), **look)
        axis.set_xlabel(SIMILARITY % pair)
    axes[0].set_ylabel(RESPONSE % pair[0])
    axes[1].set_ylabel(r"norm of its gradient from $\ell_i$")


def _percentiles(axis: Any, measured: Document, kind: str) -> None:
    places = np.arange(len(measured["edges"]) - 1)
    for loss, name, look in (("supcon", "SupCon", style.SUPCON), ("tcl", "TCL", style.tcl(1))):
        table = np.array(measured[kind][loss]["percentiles"], dtype=float)
        table[:, np.array(measured[kind]["count"]) < FEWEST] = np.nan
        # Side by side, so that none hides the other; a line shows a bin without neighbours.
        at = places + (0.38 if loss == "supcon" else 0.62)
        axis.fill_between(at, table[0], table[2], color=look["color"], alpha=0.2, linewidth=0)
        axis.vlines(at, table[0], table[2], color=look["color"], linewidth=0.8)
        axis.plot(at, table[1], label=name, **look)


def _counts(axis: Any, measured: Document, kind: str) -> None:
    edges, count = measured["edges"], measured[kind]["count"]
    colour = style.POSITIVE if kind == "positive" else style.NEGATIVE
    axis.bar(np.arange(len(count)), count, 1, align="edge", color=colour, edgecolor="white")
    axis.set_yscale("log")
    told = [place for place, edge in enumerate(edges) if edge in SHOWN_EDGES]
    axis.set_xticks(told, [f"{edges[place]:g}" for place in told], fontsize=7)


def _word(axis: Any, x: float, y: float, text: str) -> None:
    axis.text(x, y, text, fontsize=8, color=style.GREY)


def _legend(figure: Any, axis: Any, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def _note(figure: Any, text: str) -> None:
    figure.supxlabel(text, fontsize=8, color=style.GREY)
