"""What `response` does: compute the arrays, draw them, and write the page with its captions."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tuned_contrastive.benchmarks.processes import UsageError, require
from tuned_contrastive.benchmarks.progress import Progress
from tuned_contrastive.benchmarks.response import captions, curves, figures
from tuned_contrastive.benchmarks.response.hardness import about, hardness, read
from tuned_contrastive.spec import contract

RESULTS = Path(__file__).parents[1] / "results" / "response"
DIGITS = 6
"""Significant digits of what is written: more than a figure shows, fewer than libraries share."""

PARAMETERS = {"temperature": contract.TEMPERATURE, "k1": contract.K1, "k2": contract.K2}
"""Of the losses that are measured on given embeddings, with their defaults."""

Document = dict[str, Any]


def run(options: argparse.Namespace) -> int:
    """Write arrays, figures and page into a folder, and return the exit status."""
    require("matplotlib")
    given = [Path(name) for name in options.embeddings or ()]
    if len({file.stem for file in given}) < len(given):
        raise UsageError("--embeddings must be files of different names, which the figure bears")
    given_for = {name: getattr(options, name) for name in ("batch_size", *PARAMETERS)}
    asked = {name: value for name, value in given_for.items() if value is not None}
    if asked and not given:
        raise UsageError(f"{_option(next(iter(asked)))} is for --embeddings: name files, too")
    measured = {file.stem: measure(file, **asked) for file in given}
    folder = Path(options.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output must be a folder, or may be made one: {error}") from error
    found: dict[str, Document] = {}
    progress = Progress("response", len(curves.FIGURES) + bool(measured))
    for name, compute in curves.FIGURES.items():
        progress.at(name)
        found[name] = rounded(compute())
        figures.draw(name, found[name], folder)
        progress.step(f"{name}.svg, {name}.png")
    if measured:
        found["hardness"] = rounded(measured)
        figures.draw("hardness", found["hardness"], folder)
        progress.step("hardness.svg, hardness.png")
    else:
        for suffix in (".svg", ".png"):  # of an earlier run, on embeddings that are no more given
            (folder / f"hardness{suffix}").unlink(missing_ok=True)
    progress.close()
    write(folder / "response.json", found)
    (folder / "README.md").write_text(captions.page(found), encoding="utf-8")
    sys.stdout.write(f"{folder / 'README.md'}\n")
    return 0


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def measure(file: Path, **asked: Any) -> Document:
    """Return the responses measured on a file's embeddings, and what it says that these are.

    Parameters
    ----------
    file : Path
        With the arrays that `hardness.read` takes.
    asked
        As `hardness` takes them: batch_size, temperature, k1, k2.

    Raises
    ------
    UsageError
        Where the file, the size of the batches or a parameter is not fit.
    """
    embeddings, labels = read(file)
    try:
        return {"about": about(file), **hardness(embeddings, labels, **asked)}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{file}: {error}") from error


def rounded(value: Any) -> Any:
    """Return a document with every float rounded to the digits that are written."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


def write(file: Path, found: dict[str, Document]) -> None:
    """Write the arrays, one figure a line."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(each, allow_nan=False)}" for name, each in found.items()
    ]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load(folder: Path = RESULTS) -> dict[str, Document]:
    """Return the arrays of a folder by figure."""
    found: dict[str, Document] = json.loads((folder / "response.json").read_text(encoding="utf-8"))
    return found
