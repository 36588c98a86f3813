"""The README's migration table: the old call and ours give the same number (PyTorch)."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from info_nce import InfoNCE
from pytorch_metric_learning import losses

from tuned_contrastive.backends.torch import supcon_loss, tcl_loss
from tuned_contrastive.conformance.selftest import migration, rivals
from tuned_contrastive.conformance.selftest.migration import LABELS, TIMES, Row, T, inputs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MONAI's optional imports
    from monai.losses import ContrastiveLoss

LIBRARIES: dict[str, dict[str, Any]] = {
    "SupContrast": {"SupConLoss": partial(partial, rivals.supcontrast)},
    "google-research": {"contrastive_loss": rivals.google_research},
    "released TCL": {"TCL": partial(partial, rivals.released_tcl)},
    "pytorch-metric-learning": {"losses": losses},
    "lightly": {"NTXentLoss": partial(partial, rivals.lightly)},
    "MONAI": {"ContrastiveLoss": ContrastiveLoss},
    "info-nce-pytorch": {"InfoNCE": InfoNCE},
    "TensorFlow Similarity": {"SimCLRLoss": partial(partial, rivals.tensorflow_similarity)},
}
"""What each call of the table names: what is installed, and the formulas of what is not."""

OTHERS = {"optax"}
"""Judged in a process of its own."""

ROWS = [row for row in migration.rows() if row.library not in OTHERS]
OURS = {"supcon_loss": supcon_loss, "tcl_loss": tcl_loss, "stack": torch.stack}
PARAMETERS = {"T": T, "k1": 5000.0, "k2": 1.0}


@pytest.mark.parametrize("batch", LABELS)
@pytest.mark.parametrize("row", ROWS, ids=[f"{n}-{row.library}" for n, row in enumerate(ROWS)])
def test_our_call_gives_their_number(row: Row, batch: str) -> None:
    arrays = {name: torch.tensor(array) for name, array in inputs(batch).items()}
    theirs, ours = row.values({**arrays, **PARAMETERS, **OURS, **LIBRARIES[row.library]})
    assert np.isclose(theirs, row.times(batch) * ours, rtol=1e-5, atol=0, equal_nan=True)


def test_rows_without_a_loss_are_left_out_of_the_mean_of_pytorch_metric_learning() -> None:
    torch.manual_seed(0)
    collapsed = torch.eye(16)[:3].repeat_interleave(2, 0)
    x = torch.cat([collapsed, torch.cat([torch.zeros(6, 8), torch.randn(6, 8)], 1)])
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4])
    theirs = losses.SupConLoss(temperature=0.05)(x, labels)
    ours = supcon_loss(x, labels, temperature=0.05, reduction="none")
    assert (ours > 1e-6).sum() == 6
    torch.testing.assert_close(theirs, ours.sum() / 6)


def test_a_batch_of_one_class_is_0_in_pytorch_metric_learning() -> None:
    x, labels = torch.tensor(inputs("all")["x"]), torch.zeros(10, dtype=torch.int64)
    assert losses.SupConLoss(temperature=T)(x, labels) == 0
    assert supcon_loss(x, labels, temperature=T) > 1


@pytest.mark.parametrize(("temperature", "is_nan"), [(0.0111, True), (0.0115, False)])
def test_monai_is_nan_where_an_exponential_overflows(temperature: float, is_nan: bool) -> None:
    first, second = (torch.tensor(inputs("all")[name]) for name in ("first", "second"))
    assert ContrastiveLoss(temperature=temperature)(first, second).isnan() == is_nan
    assert supcon_loss(torch.stack([first, second], 1), temperature=temperature).isfinite()


def test_table_has_every_library() -> None:
    assert {row.library for row in migration.rows()} == {*LIBRARIES, *OTHERS}


def test_table_says_what_a_row_without_a_positive_does() -> None:
    assert {row.lonely for row in migration.rows()} == set(TIMES)
    assert migration.anchors(LABELS["all"]["labels"]) == 10
    assert migration.anchors(LABELS["lonely"]["labels"]) == 9
