"""Refuses what is named on the command line and is not there: clauses, vectors, tests."""

import argparse
from collections.abc import Iterable

from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.parametrise import parameters_of
from tuned_contrastive.conformance.run import collected
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.conformance.verdict import UNTESTED
from tuned_contrastive.spec.clauses import load_clauses


def check(options: argparse.Namespace) -> None:
    """Refuse clauses, vectors and tests that there are not, and clauses without a test."""
    for name in options.clause or ():
        if name not in load_clauses():
            raise TargetError(f"{name} is no clause of the specification")
        if name in UNTESTED:
            raise TargetError(f"{name} has no test: {UNTESTED[name][1]}")
    vectors = load_vectors().declared if options.vector else ()
    for name in options.vector or ():
        if name not in vectors:
            raise TargetError(f"{name} is no vector: --list vectors names them")
    if options.test:
        _check_tests(options.test)


def _check_tests(names: Iterable[str]) -> None:
    """Refuse names that no test has; what transforms there are, each framework says."""
    tests = collected(NumpyReference())
    known = {test.name for test in tests}
    of_transforms = {_function(test.name) for test in tests if "transform" in parameters_of(test)}
    for name in names:
        if name not in known and _function(name) not in of_transforms:
            raise TargetError(f"there is no test of that name: {name}")


def _function(name: str) -> str:
    """Return a test's name without its parameters."""
    return name.partition("[")[0]
