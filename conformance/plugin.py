"""The pytest plugin of the suite and of its own tests: their marks and fixtures."""

import pytest

from tuned_contrastive.conformance.judging import accept, implementation

__all__ = ["accept", "implementation"]  # the fixtures

MARKS = (
    "clause(*ids): the clauses of spec.md that a test judges",
    "needs(**what): what a test asks of an implementation; fields of applicability.Needs",
    "judges(*quantities): the quantities of a vector that a test compares",
    "chosen(*modes, dtypes, every, citing): run a few vectors, all, or those citing, in modes",
    "performance: measures memory or time, and runs only where that is asked for",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
