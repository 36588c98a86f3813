"""Inputs of the PyTorch backend's own tests, and how far a result is from another."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuned_contrastive.backends.torch import blockwise

N = blockwise.THRESHOLD[0] + 37  # no multiple of 5: `labels` can be all different


def rows(count: int = N, columns: int = 6) -> Tensor:
    n, d = torch.meshgrid(torch.arange(count), torch.arange(columns), indexing="ij")
    return (0.7 * n + 1.3 * d + 0.01 * n * d).sin().double() + 0.1 * d.double()


def labels(classes: int, count: int = N) -> Tensor:
    return (torch.arange(count) * 5 + 3) % classes


def relative(got: Tensor, exact: Any) -> float:
    expected = torch.as_tensor(np.asarray(exact))
    return float((got.detach() - expected).norm() / (expected.norm() + 1e-300))
