"""The pytest plugin: gives the suite's tests their implementation, vectors and clauses.

Use it as ``pytest -p tuned_contrastive.conformance.plugin --tc-target torch --pyargs
tuned_contrastive.conformance.suite``. Without ``--tc-target`` it registers options and marks only.
"""

from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.conformance.judging import Judge, TableAtTheEnd, accept, implementation
from tuned_contrastive.conformance.targets import load_target
from tuned_contrastive.conformance.vectors import DIRECTORY, load_vectors

__all__ = ["accept", "implementation"]  # the fixtures

MARKS = (
    "clause(*ids): the clauses of spec.md that a test judges",
    "needs(**what): what a test asks of an implementation; fields of applicability.Needs",
    "judges(*quantities): the quantities of a vector that a test compares",
    "chosen(*modes, dtypes, every, citing): run a few vectors, all, or those citing, in modes",
    "performance: measures memory or time, and runs only where that is asked for",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all prefixed."""
    group = parser.getgroup("tuned-contrastive", "conformance to the TCL and SupCon specification")
    group.addoption("--tc-target", metavar="TARGET", help="a target of the command, to judge")
    group.addoption(
        "--tc-seed", type=int, metavar="N", help="draw the laws' examples from this seed"
    )
    group.addoption("--tc-vectors", type=Path, default=DIRECTORY, metavar="DIRECTORY")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and a judge where a target is named."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    target: Any = config.getoption("--tc-target")
    if target is None:
        return
    vectors = load_vectors(config.getoption("--tc-vectors"))
    judge = Judge(load_target(target), vectors, seed=config.getoption("--tc-seed"))
    config.pluginmanager.register(judge)
    config.pluginmanager.register(TableAtTheEnd(judge, target))
