"""What an adapter object leaves out is told in words, and fails the clauses that ask for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.conformance.adapters.numpy import NumpyReference
from tuned_contrastive.conformance.hearing import Hearing
from tuned_contrastive.conformance.protocol import AnswerError, Case, Float64, Outcome
from tuned_contrastive.conformance.suite.test_numerics import told_dtypes
from tuned_contrastive.conformance.targets import TargetError, load_target

CASE = Case("tcl", np.eye(4), np.array([0, 0, 1, 1]), {}, learnable=True)


class Doctored(NumpyReference):
    """The reference, with something of its answers replaced."""

    def __init__(self, **replaced: Any) -> None:
        super().__init__()
        self.replaced = replaced

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the reference's answer, doctored."""
        return replace(super().gradients(case, upstream), **self.replaced)


@pytest.mark.parametrize("name", ["embeddings", "temperature", "k1", "k2"])
def test_a_claimed_gradient_that_is_absent_is_named(name: str) -> None:
    with pytest.raises(AnswerError, match=f"must give that in {name}, as claimed, got None"):
        Hearing(Doctored(**{name: None})).gradients(CASE, np.ones(()))


@pytest.mark.parametrize("name", ["temperature", "k1", "k2"])
def test_a_gradient_that_was_not_asked_for_may_be_absent(name: str) -> None:
    fixed = replace(CASE, learnable=False)
    found = Hearing(Doctored(**{name: None})).gradients(fixed, np.ones(()))
    assert found.embeddings is not None


def test_a_gradient_that_is_not_claimed_may_be_absent() -> None:
    doctored = Doctored(k1=None)
    claims = doctored.capabilities
    doctored.capabilities = replace(claims, gradients=claims.gradients - {"k1"})
    assert Hearing(doctored).gradients(CASE, np.ones(())).k1 is None


def test_what_is_no_outcome_is_named() -> None:
    class Tuples(NumpyReference):
        def loss(self, case: Case) -> Any:
            return (0.0,)

    with pytest.raises(AnswerError, match="loss must return an Outcome, got tuple"):
        Hearing(Tuples()).loss(CASE)


@pytest.mark.parametrize("name", ["loss_dtype", "gradient_dtype"])
def test_a_dtype_that_is_not_told_is_asked_for(name: str) -> None:
    with pytest.raises(AnswerError, match=f"must name {name}, as 'float32', got None"):
        told_dtypes(Doctored(**{name: None}).gradients(CASE, np.ones(())))


def test_a_class_that_cannot_be_made_is_told_without_a_device(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "class Own:\n    capabilities = None\n\n    def __init__(self, x): ...\n", encoding="utf-8"
    )
    with pytest.raises(TargetError, match=r"own\.py:Own cannot be made: .*'x'"):
        load_target(f"{file}:Own")
