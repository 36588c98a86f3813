"""Figures from results: time or memory over N, both axes logarithmic, in print and for all eyes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks.targets import LOSS_NAMES

Document = Mapping[str, Any]
FLOOR = "floor"
# Okabe and Ito's colours; every line also has its own marker and dashes, for print.
STYLES = {
    names.OURS: ("#0072B2", "o", "-"),
    names.OURS_XLA: ("#56B4E9", "v", "-"),
    names.OURS_COMPILED: ("#CC79A7", "v", "--"),
    names.OURS_DENSE: ("#56B4E9", "P", ":"),
    names.LEAN: ("#E69F00", "s", "--"),
    names.LEAN_XLA: ("#CC79A7", "D", "--"),
    names.LEAN_COMPILED: ("#CC79A7", "D", "--"),
    names.SUPCONTRAST: ("#009E73", "^", "-."),
    names.RELEASED: ("#009E73", "^", "-."),
    names.PML: ("#D55E00", "X", "-."),
    names.OPTAX: ("#D55E00", "X", "-."),
    FLOOR: ("#000000", "", ":"),
}
OTHER = ("#F0E442", "*", "--")


@dataclass
class Curve:
    """One line of a panel: what is plotted, before anything is drawn."""

    panel: tuple[str, str]
    """Framework and loss."""
    name: str
    points: list[tuple[int, float]] = field(default_factory=list)
    """N against milliseconds, or MiB."""
    out_of_memory: list[int] = field(default_factory=list)
    """Every N that it cannot do."""


def curves(found: Document) -> list[Curve]:
    """Return the lines of a result's figure: the base cases, or all if there is none."""
    every = found["measurements"]
    base = [each for each in every if each["variant"] == "base"] or every
    lines: dict[tuple[tuple[str, str], str], Curve] = {}

    def line(each: Document, name: str) -> Curve:
        panel = (each["framework"], each["loss"])
        return lines.setdefault((panel, name), Curve(panel, name))

    for each in sorted(base, key=lambda each: int(each["N"])):
        if found["what"] == "memory":
            _add(line(each, each["name"]), each["N"], each, each.get("bytes", 0) / 2**20)
            continue
        line(each, FLOOR).points.append((each["N"], each["floor"]["seconds"] * 1e3))
        for candidate in each["candidates"]:
            milliseconds = candidate.get("median", 0) * 1e3
            _add(line(each, candidate["name"]), each["N"], candidate, milliseconds)
    return [curve for curve in lines.values() if curve.points or curve.out_of_memory]


def _add(curve: Curve, N: int, record: Document, value: float) -> None:
    if record["status"] in ("timed", "measured") and value > 0:
        curve.points.append((N, value))
    elif record["status"] == "out of memory":
        curve.out_of_memory.append(N)


def draw(found: Document, *files: Path) -> None:
    """Draw a result into files; their suffixes say the format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = curves(found)
    columns = list(dict.fromkeys(line.panel[0] for line in lines))
    rows = list(dict.fromkeys(line.panel[1] for line in lines))
    if not lines:
        return
    with plt.rc_context(
        {"svg.hashsalt": "tuned-contrastive", "font.size": 9, "axes.axisbelow": True}
    ):
        size = (3.6 * len(columns) + 0.6, 3.0 * len(rows) + 0.9)
        figure, axes = plt.subplots(
            len(rows), len(columns), figsize=size, squeeze=False, sharex=True, sharey=True
        )
        for i, loss in enumerate(rows):
            for j, framework in enumerate(columns):
                panel = [line for line in lines if line.panel == (framework, loss)]
                _draw_panel(axes[i][j], panel, f"{framework}, {LOSS_NAMES[loss]}")
        for axis in axes[-1]:
            sizes = sorted({N for line in lines for N in (*dict(line.points), *line.out_of_memory)})
            axis.set_xticks(sizes, [f"{N:,}" for N in sizes], rotation=30)
            axis.minorticks_off()
            axis.set_xlabel("rows N")
        for axis in axes[:, 0]:
            axis.set_ylabel("memory growth, MiB" if found["what"] == "memory" else "time, ms")
        _legend(figure, axes)
        where = found["environment"]
        figure.suptitle(_machine(where), fontsize=8)
        figure.tight_layout(rect=(0, 0.10, 1, 1))
        for file in files:
            dateless = {"metadata": {"Date": None}} if file.suffix == ".svg" else {"dpi": 150}
            figure.savefig(file, **dateless)
        plt.close(figure)


def _draw_panel(axis: Any, panel: list[Curve], title: str) -> None:
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_title(title, fontsize=9)
    axis.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.6)
    highest = max((value for line in panel for _, value in line.points), default=1.0)
    for number, line in enumerate(panel):
        colour, marker, dashes = STYLES.get(line.name, OTHER)
        width = 2.2 if line.name == names.OURS else 1.3
        if line.points:
            axis.plot(
                *zip(*line.points, strict=True), color=colour, marker=marker or None,
                linestyle=dashes, linewidth=width, markersize=5, label=line.name,
            )  # fmt: skip
        if line.out_of_memory:
            # Above everything that ran; one beside the other where several ran out.
            height = highest * 1.35**number
            axis.plot(
                line.out_of_memory, [height] * len(line.out_of_memory), color=colour,
                marker=marker or "x", linestyle="none", markerfacecolor="none", markersize=8,
                label=f"{line.name}: does not fit",
            )  # fmt: skip


def _legend(figure: Any, axes: Any) -> None:
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(), handles.keys(), loc="lower center", ncols=min(4, 1 + len(axes[0])),
        fontsize=7, frameon=False,
    )  # fmt: skip


def _machine(where: Document) -> str:
    if "card" in where:
        return f"{where['card']}, {where['date']}"
    return f"{where['cpu']}, {where['threads']} threads, {where['date']}"
