"""Rows, labels and forms that the tests of TensorFlow's tiles have in common."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from tuned_contrastive.backends.tensorflow import blockwise, dense
from tuned_contrastive.conformance.adapters.tensorflow import TensorFlow

ADAPTER = TensorFlow()
LABELS = np.array([3, 0, 1, 0, 3, 2, 1, 0, 3, 3, 1])  # class 2 has one row
ROWS = np.random.default_rng(0).normal(size=(11, 5))
CLOSE = 1e-11
NO_XLA = ADAPTER.capabilities.not_run.get("xla", "")
needs_xla = pytest.mark.skipif(bool(NO_XLA), reason=NO_XLA)
compilers = pytest.mark.parametrize("xla", [False, pytest.param(True, marks=needs_xla)])


def forms_taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets the form of each call from now on.

    All are computed by `dense`, which is traced in a tenth of the time.
    """
    taken: list[Any] = []
    all_pairs = dense.anchor_losses

    def told(form: Any, *given: Any) -> Any:
        taken.append(form)
        return all_pairs(*given[:6])  # without block_size

    for form in (dense, blockwise):
        monkeypatch.setattr(form, "anchor_losses", partial(told, form))
    return taken
