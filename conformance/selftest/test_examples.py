"""The examples that readers meet: docstrings and README, run as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    "tuned_contrastive.reference.losses",
    "tuned_contrastive.reference.gradients",
    "tuned_contrastive.reference.response",
    "tuned_contrastive.benchmarks.accuracy.statistics",
    "tuned_contrastive.benchmarks.response.hardness",
    "tuned_contrastive.backends.jax.losses",
    "tuned_contrastive.backends.tensorflow.losses",
    "tuned_contrastive.backends.tensorflow.modules",
    "tuned_contrastive.backends.torch.losses",
    "tuned_contrastive.backends.torch.modules",
]
DOCTEST = "import doctest, {0} as module; print(doctest.testmod(module))"
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^(?:make|python -m) .*$", README, re.MULTILINE)
MAKE = [command for command in COMMANDS if command.startswith("make")]
PYTHON = [command for command in COMMANDS if command.startswith("python -m")]
FILES = {"my_loss.py": "def my_supcon(", "my_adapter.py": "class MySupCon:"}
"""What the README calls two of its examples, and what is in each."""


def write_files(folder: Path) -> None:
    """Write the examples that have a name, as a reader does."""
    for name, told in FILES.items():
        (example,) = (block for block in BLOCKS if told in block)
        (folder / name).write_text(example, encoding="utf-8")


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_right(name: str) -> None:
    """Each in a process of its own: no framework meets another."""
    done = subprocess.run(
        [sys.executable, "-c", DOCTEST.format(name)], capture_output=True, text=True
    )
    counted = re.search(r"TestResults\(failed=(\d+), attempted=(\d+)", done.stdout)
    assert counted is not None, done.stderr
    assert (counted[1], counted[2] > "0") == ("0", True), done.stdout


def test_readme_has_examples() -> None:
    assert len(BLOCKS) >= 2
    assert set(MAKE) == {"make conformance", "make test"}
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("example", BLOCKS, ids=[str(n) for n in range(len(BLOCKS))])
def test_readme_example_runs(example: str, tmp_path: Path) -> None:
    """As a reader pastes it, away from the repository."""
    write_files(tmp_path)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    subprocess.run([sys.executable, "-W", "error", program], cwd=tmp_path, check=True)


@pytest.mark.parametrize("framework", ["torch", "jax", "keras"])
def test_every_framework_has_a_short_training_example(framework: str) -> None:
    training = [block for block in BLOCKS if "load_digits" in block]
    (example,) = (block for block in training if f"import {framework}\n" in block)
    assert len(example.splitlines()) <= 25


@pytest.mark.parametrize("command", PYTHON)
def test_readme_commands_run(command: str, tmp_path: Path) -> None:
    if "node " in command and shutil.which("node") is None:
        pytest.skip("node is not installed")
    write_files(tmp_path)
    (tmp_path / "conformance").symlink_to(ROOT / "conformance")  # as in a checkout
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", MAKE)
def test_readme_targets_exist(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)
