"""The examples that readers meet: docstrings and README, run as they stand."""

import doctest
import importlib
import re
import shlex
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
    "tuned_contrastive.backends.torch.losses",
    "tuned_contrastive.backends.torch.modules",
]
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^(?:make|python -m) .*$", README, re.MULTILINE)
MAKE = [command for command in COMMANDS if command.startswith("make")]
PYTHON = [command for command in COMMANDS if command.startswith("python -m")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_right(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_readme_has_examples() -> None:
    assert len(BLOCKS) >= 2
    assert set(MAKE) == {"make conformance", "make test"}
    assert len(PYTHON) >= 2


def test_readme_examples_run(tmp_path: Path) -> None:
    """All in one program, as a reader pastes them, away from the repository."""
    program = tmp_path / "example.py"
    program.write_text("\n".join(BLOCKS), encoding="utf-8")
    subprocess.run([sys.executable, "-W", "error", program], cwd=tmp_path, check=True)


@pytest.mark.parametrize("command", PYTHON)
def test_readme_commands_run(command: str, tmp_path: Path) -> None:
    (tmp_path / "my_loss.py").write_text(BLOCKS[-1], encoding="utf-8")
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", MAKE)
def test_readme_targets_exist(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)
