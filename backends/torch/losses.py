"""SupCon and TCL for PyTorch: check, normalise, compute, reduce (INP-1 to INP-25, SUP-1 to SUP-11).

The arguments are described to `spec.contract`, which decides what is refused; the formula itself
is in `dense` for few rows, in `blockwise` for many.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuned_contrastive.backends.torch import blockwise, dense
from tuned_contrastive.spec import contract

# The smallest number of each dtype that is not below MIN_NORM, to which float32 would round down.
_MIN_NORM = {
    torch.float32: float(np.nextafter(np.float32(contract.MIN_NORM), np.float32(1))),
    torch.float64: contract.MIN_NORM,
}

# An integer dtype as wide, and its bits that are the exponent's.
_EXPONENT = {
    torch.float32: (torch.int32, 0x7F80_0000),
    torch.float64: (torch.int64, 0x7FF0_0000_0000_0000),
}


def supcon_loss(
    embeddings: Tensor,
    labels: Any = None,
    *,
    temperature: Tensor | float = contract.TEMPERATURE,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
) -> Tensor:
    """Return the SupCon loss, clause SUP-5; differentiable any number of times.

    Parameters
    ----------
    embeddings : Tensor, (N, D) or (B, V, D), float16, bfloat16, float32 or float64
        Half precision is computed in float32, under autocast too (NUM-1 to NUM-3).
    labels : Tensor on the device of `embeddings`, NumPy array or sequence of int, (N,) or (B,)
        Integer or boolean; None only for (B, V, D): every sample is its own class (INP-8).
    temperature : float or Tensor of shape (), no unit
        A tensor may be learnable; its range is not checked, which would wait for the device.
    normalize : bool
        Whether rows are divided by their Euclidean norm.
    reduction : {"mean", "sum", "none"}
        "mean" and "sum" run over the anchors with a positive.
    block_size : int or None
        Rows of one tile of the pairs, from 128 on up to 15 more, of which a few at a time are in
        memory, and up to 60 MiB of them until the gradient; None chooses by the number of rows, 0
        holds all N x N pairs. Second derivatives and forward mode hold them whatever it is.

    Returns
    -------
    Tensor, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape, range or device.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2.

    Examples
    --------
    Equal rows: the loss is the logarithm of the number of others.

    >>> import torch
    >>> supcon_loss(torch.ones(3, 2), [0, 0, 1])
    tensor(0.6931)
    """
    return _loss(embeddings, labels, normalize, reduction, block_size, temperature=temperature)


def tcl_loss(
    embeddings: Tensor,
    labels: Any = None,
    *,
    temperature: Tensor | float = contract.TEMPERATURE,
    k1: Tensor | float = contract.K1,
    k2: Tensor | float = contract.K2,
    normalize: bool = True,
    reduction: str = "mean",
    block_size: int | None = None,
) -> Tensor:
    """Return the TCL loss, clause TCL-1; differentiable any number of times.

    Parameters
    ----------
    embeddings, labels, temperature, normalize, reduction, block_size
        As in `supcon_loss`.
    k1, k2 : float or Tensor of shape (), no unit
        Weights of the positives' second term and of the negatives; a tensor may be learnable.

    Returns
    -------
    Tensor, shape (), or (N,) or (B, V) for "none"; float64 for float64 embeddings, else float32

    Raises
    ------
    TypeError
        For an argument of another kind or dtype.
    ValueError
        For an argument of another shape, range or device.

    References
    ----------
    C. Animesh, M. Chandraker, "Tuned Contrastive Learning", arXiv 2305.10675, WACV 2025.

    Examples
    --------
    Orthonormal rows: the loss of each anchor is log(|P| (1 + k1) + k2 |N|), here log 6.

    >>> import torch
    >>> tcl_loss(torch.eye(4), [0, 0, 1, 1], k1=1, k2=2)
    tensor(1.7918)
    """
    scalars = {"temperature": temperature, "k1": k1, "k2": k2}
    return _loss(embeddings, labels, normalize, reduction, block_size, **scalars)


def describe(value: Any) -> contract.Array | None:
    """Describe a tensor to `spec.contract`; None for anything else."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return None
    dtype = str(value.dtype).removeprefix("torch.")
    return contract.Array(dtype, tuple(value.shape), str(value.device))


def _loss(
    embeddings: Tensor,
    labels: Any,
    normalize: bool,
    reduction: str,
    block_size: int | None,
    **scalars: Tensor | float,
) -> Tensor:
    """Check, cast, normalise, compute and reduce; SupCon is TCL with k1 = 0 and k2 = 1 (LAW-1)."""
    if torch.compiler.is_compiling():
        labels = _traceable(labels, embeddings.device)
        block_size = _traceable(block_size, embeddings.device)
        scalars = {name: _traceable(value, embeddings.device) for name, value in scalars.items()}
    contract.check_arguments(
        describe, embeddings, labels, **scalars, normalize=normalize, reduction=reduction
    )
    block_size = contract.check_block_size(block_size)
    classes = _row_labels(labels, embeddings)
    dtype = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
    with _without_autocast(embeddings.device.type):
        rows = embeddings.flatten(0, -2).to(dtype)  # (N, D)
        T = _scalar(scalars["temperature"], rows)
        k1, k2 = _scalar(scalars.get("k1", 0.0), rows), _scalar(scalars.get("k2", 1.0), rows)
        z = _unit_rows(rows) if normalize else rows
        if blockwise.chosen(z, T, k1, k2, normalize, block_size):
            losses, anchors = blockwise.anchor_losses(z, classes, T, k1, k2, normalize, block_size)
        else:
            losses, anchors = dense.anchor_losses(z, classes, T, k1, k2, normalize)
        # NaN where a row is not finite: neither k2 = 0 nor exp(-inf) may hide it (NUM-12).
        # Normalised, such a row is NaN in every column.
        numbers = (z[:, :1] if normalize else z).detach()
        poison = _sum(numbers - numbers)
        losses = (losses + poison).masked_fill(~anchors, 0)
        if reduction == "none":
            return losses.reshape(embeddings.shape[:-1])
        if reduction == "mean":
            losses = losses / anchors.sum().clamp(min=1)
        return _sum(losses)


def _sum(x: Tensor) -> Tensor:
    """Return the sum; compiled for a CPU, through float64.

    More than 4096 numbers of float32 would be added in another way, and so be compiled again.
    """
    if torch.compiler.is_compiling() and x.is_cpu:
        return x.sum(dtype=torch.float64).to(x.dtype)
    return x.sum()


def _traceable(value: Any, device: torch.device) -> Any:
    """Return the same argument in a form that `torch.compile` can trace the checks of."""
    if type(value) in (int, float):
        return next(iter({value}))  # hashed, it is a constant; dynamic=True makes it a symbol
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value, device=device)  # an array's dtype cannot be traced
    return value


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    """Switch autocast off, which would run the products in half precision (NUM-3)."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()  # "meta"
    return torch.autocast(device, enabled=False)


def _row_labels(labels: Any, embeddings: Tensor) -> Tensor:
    """Return one int64 label for each row, (N,), on the device of `embeddings`."""
    device = embeddings.device
    if labels is None:
        classes = torch.arange(len(embeddings), device=device)
    elif isinstance(labels, Tensor):
        # uint64 has few operations of its own; it is equal exactly where its bits are.
        classes = labels.view(torch.int64) if labels.dtype == torch.uint64 else labels.long()
    elif isinstance(labels, np.ndarray):
        # A copy, writable and forward in memory; NumPy keeps the bits of uint64.
        classes = torch.from_numpy(labels.astype(np.int64)).to(device)
    else:
        classes = torch.tensor(contract.signed_labels(labels), device=device)
    if embeddings.ndim == 3:
        classes = classes[:, None].expand(embeddings.shape[:2]).reshape(-1)
    return classes


def _scalar(value: Tensor | float, rows: Tensor) -> Tensor | float:
    """Return a tensor on the device of `rows`, no narrower than they are; a number as a float."""
    if isinstance(value, Tensor):
        dtype = torch.promote_types(value.dtype, rows.dtype)
        # Only towards a device: a copy to the host that does not block is read too early.
        return value.to(rows.device, dtype, non_blocking=value.device.type == "cpu")
    return float(value)


def _unit_rows(x: Tensor) -> Tensor:
    """Return x_i / ||x_i||, 0 with gradient 0 for a zero row (SUP-1, SUP-2).

    A row that is not finite is NaN in every column.

    Each row is first divided by a power of two near its largest entry, so that no square
    overflows or vanishes (NUM-7). z does not depend on that number, nor do its derivatives.
    """
    largest = x.detach().abs().amax(1, keepdim=True)  # (N, 1); as a norm it takes longer
    integer, bits = _EXPONENT[x.dtype]  # which alone are that power
    scale = largest.clamp(min=2.0**-64).view(integer).bitwise_and(bits).view(x.dtype)
    y = x / scale
    squares = (y * y).sum(1, keepdim=True)
    zero = scale * squares.detach().sqrt() < _MIN_NORM[x.dtype]
    # Replaced before the root: its derivatives are NaN at 0, and 0 at infinity. To replace y, too,
    # would keep out an infinity that arrives, and takes 4 % of the time of 256 rows.
    return y * squares.masked_fill(zero, math.inf).rsqrt()
