"""A package that is not installed is named in one sentence, before anything is done."""

import subprocess
import sys
from pathlib import Path

import pytest

from tuned_contrastive.benchmarks.report import RESULTS

WITHOUT = """
import importlib, sys
room, absent, *arguments = sys.argv[1:]
sys.modules.update(dict.fromkeys(absent.split(",")))  # what is None there cannot be imported
sys.exit(importlib.import_module(f"tuned_contrastive.{room}.__main__").main(arguments))
"""
STOPPED = """
import sys

class Stop:
    def find_spec(self, name, *given):
        if name == "hypothesis":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stop())
from tuned_contrastive.conformance.__main__ import main
sys.exit(main(["numpy"]))
"""


def ended(program: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Return status, output and errors of a process of its own."""
    words = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("room", "absent", "arguments", "extra"),
    [
        ("conformance", "pytest", "--list clauses", "conformance"),
        ("conformance", "hypothesis", "numpy --clause SUP-5", "conformance"),
        ("conformance", "mpmath", "numpy --clause SUP-5", "conformance"),
        ("conformance", "torch", "torch", "torch"),
        ("conformance", "torch", "--list mutants", "torch"),
        ("conformance", "torch", "--mutants", "torch"),
        (
            "conformance",
            "jax",
            "json:loads --framework jax --losses tcl --assume normalizes",
            "jax",
        ),
        ("benchmarks", "torch", "speed --frameworks torch", "torch"),
        ("benchmarks", "matplotlib", "speed --plot speed.svg", "benchmarks"),
        ("benchmarks", "matplotlib", "response --output there", "benchmarks"),
        ("benchmarks", "matplotlib", "accuracy --quick --output there", "benchmarks"),
        ("benchmarks", "torch", "accuracy --quick --output there", "torch"),
        ("benchmarks", "scipy", "accuracy --quick --output there", "benchmarks"),
        ("benchmarks", "sklearn", "accuracy --quick --output there", "benchmarks"),
        ("benchmarks", "torch,jax", "gpu --output there", "torch"),
    ],
)
def test_the_sentence_says_what_to_install(
    room: str, absent: str, arguments: str, extra: str, tmp_path: Path
) -> None:
    told = f'{absent.partition(",")[0]} is not installed: pip install -e ".[{extra}]"\n'
    found = ended(WITHOUT, room, absent, *arguments.split(), cwd=tmp_path)
    assert found == (2, "", told)
    assert not list(tmp_path.iterdir())


def test_the_page_of_results_is_not_written_without_its_figures(tmp_path: Path) -> None:
    for name in ("speed.json", "memory.json"):
        (tmp_path / name).write_bytes((RESULTS / name).read_bytes())
    words = ("benchmarks", "matplotlib", "report", "--results", str(tmp_path))
    told = 'matplotlib is not installed: pip install -e ".[benchmarks]"\n'
    assert ended(WITHOUT, *words, cwd=tmp_path) == (2, "", told)
    assert not (tmp_path / "README.md").exists()


def test_help_needs_no_package(tmp_path: Path) -> None:
    status, said, _ = ended(WITHOUT, "conformance", "pytest", "--help", cwd=tmp_path)
    assert status == 0
    assert said.startswith("usage: ")


def test_interrupt_while_packages_are_loaded(tmp_path: Path) -> None:
    assert ended(STOPPED, cwd=tmp_path) == (130, "", "the run was interrupted\n")
