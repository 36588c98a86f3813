"""Random views of rows: shifted, rotated, noisy images; masked, noisy tables."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

SHIFT = 1 / 8
"""Of the image's side, at most: one pixel of a digit."""
ROTATION = math.radians(15)
PIXEL_NOISE = 0.1
MASKED = 0.2
TABLE_NOISE = 0.3
"""Of the spread of the training rows, which is 1 in every column."""


def views(x: Tensor, count: int, *, mirrored: bool = False) -> Tensor:
    """Return that many random views of every row, drawn from torch's own generator.

    Parameters
    ----------
    x : Tensor, (B, C, H, W) in [0, 1], or (B, F) standardised
    count : int
    mirrored : bool
        Whether half of the images have left and right exchanged.

    Returns
    -------
    Tensor, (B * count, ...), the views of a row one after the other
    """
    rows = x.repeat_interleave(count, 0)
    return _image_views(rows, mirrored) if x.ndim == 4 else _table_views(rows)


def _image_views(x: Tensor, mirrored: bool) -> Tensor:
    angle = (2 * torch.rand(len(x)) - 1) * ROTATION
    shift = (2 * torch.rand(len(x), 2) - 1) * 2 * SHIFT  # the grid's side is 2
    flip = torch.where(torch.rand(len(x)) < 0.5, -1.0, 1.0) if mirrored else torch.ones(len(x))
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos * flip, -sin, shift[:, 0]], 1),
            torch.stack([sin * flip, cos, shift[:, 1]], 1)]  # fmt: skip
    grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return grid_sample(x, grid, align_corners=False) + PIXEL_NOISE * torch.randn_like(x)


def _table_views(x: Tensor) -> Tensor:
    kept = torch.rand_like(x) >= MASKED  # a masked feature has the training rows' mean, 0
    return torch.where(kept, x + TABLE_NOISE * torch.randn_like(x), 0)
