"""The formula over all N x N pairs in plain torch operations (SUP-4 to SUP-7, TCL-1 to TCL-5).

Differentiable any number of times, and never read back: no shape depends on a value. Every constant
that is split off for stability (the row maximum, the value of T and of k) cancels algebraically, so
that detaching it leaves each derivative as it is.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_EXPONENT = {torch.float32: 25.0, torch.float64: 250.0}
"""Up to this size, sums of exp(s/T) and their squares stay in range as they are.

Second derivatives divide by the squares.
"""

LARGEST_LOG_WEIGHT = 18.0
"""Of k1 and k2, for the same."""

LARGEST_TEMPERATURE = 1.0
"""Up to here no gradient times T leaves the range of what it was before."""


class _Sum(NamedTuple):
    """factor total exp(maximum + offset), (N,); the maximum has no gradient."""

    maximum: Tensor
    total: Tensor
    factor: Tensor | None = None
    offset: Tensor | float = 0.0


def anchor_losses(
    z: Tensor,
    labels: Tensor,
    T: Tensor | float,
    k1: Tensor | float,
    k2: Tensor | float,
    normalize: bool,
) -> tuple[Tensor, Tensor]:
    """Return l_i, 0 where P(i) is empty, and whether P(i) has a member, both of shape (N,).

    `z` (N, D) is compared as it is, `normalize` tells that every row has norm 1 or 0; `labels` (N,)
    is int64; T, k1 and k2 are Python numbers or scalars on z's device. A number of 0 drops its term
    (TCL-5). Of rows that are not finite any number may come: `losses` sees to them.
    """
    positives = _with_itself(labels[:, None] == labels, False)  # (N, N)
    ones = positives.to(z.dtype)
    sizes = ones.sum(1)  # |P(i)|, (N,)
    anchors = sizes > 0
    sizes = sizes.clamp(min=1)
    if normalize and fits(LARGEST_EXPONENT[z.dtype], _read(T), _read(k1), _read(k2)):
        D, t = _plain_sums(z, ones, T, k1, k2)
        return D.masked_fill(~anchors, 1).log() - t / sizes, anchors

    s = z @ z.T  # (N, N)
    if not normalize:  # its own product may overflow where all others do not (NUM-10)
        s = _with_itself(s, 0)
    u, divisor = _divided(s, T, normalize)
    sums = _temperature_sums(u, divisor, positives, ones, k2)
    if isinstance(k1, Tensor) or k1 != 0:
        sums.append(_positive_sum(s, positives, ones, k1, normalize))
    maximum, total = _added(sums)  # (N,)

    if normalize:
        mean = (u * ones).sum(1) / sizes
    else:  # the sum may overflow where the mean does not
        mean = torch.where(positives, u / sizes[:, None], 0).sum(1)
    losses = torch.where(anchors, total, 1).log() + (maximum - mean / divisor)
    return torch.where(anchors, losses, 0), anchors


def fits(
    limit: float, T: Tensor | float, k1: Tensor | float, k2: Tensor | float, largest: float = 1.0
) -> bool:
    """Return whether exponents of exp(-s) and k2 exp(s/T) are within a limit, and k1 and k2 too.

    No |s| is above `largest`. Of numbers only: a tensor would have to be waited for.
    """
    if isinstance(T, Tensor) or isinstance(k1, Tensor) or isinstance(k2, Tensor):
        return False
    weights = [k for k in (k1, k2) if k != 0]
    if not (0 < T <= LARGEST_TEMPERATURE and all(k > 0 for k in weights)):
        return False
    logs = [abs(math.log(k)) for k in weights]
    small = max(logs, default=0.0) <= LARGEST_LOG_WEIGHT
    return small and largest * max(1, 1 / T) + (abs(math.log(k2)) if k2 else 0.0) <= limit


def _read(value: Tensor | float) -> Tensor | float:
    """Return the number that a scalar is; a tensor that would be waited for, or is traced, as such.

    What is compiled or exported would hold for that number alone, a sample of a map has none.
    """
    if not isinstance(value, Tensor) or not value.is_cpu:
        return value
    if is_traced() or torch._C._functorch.peek_interpreter_stack() is not None:
        return value
    return value.detach().item()


def is_traced() -> bool:
    """Return whether operations are recorded or faked."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def _with_itself(pairs: Tensor, value: float, recorded: bool = True) -> Tensor:
    """Return pairs, which may be overwritten, with a value where a row meets itself.

    What is recorded is copied for the gradient, and need not be where that is 0 by what follows.
    """
    if is_traced():  # a mask, which the compiler fuses; of a diagonal it warns (2.13)
        itself = torch.eye(pairs.shape[0], dtype=torch.bool, device=pairs.device)
        return pairs.masked_fill(itself, value)
    (pairs if recorded else pairs.detach()).diagonal().fill_(value)
    return pairs


def _divided(s: Tensor, T: Tensor | float, normalize: bool) -> tuple[Tensor, Tensor | float]:
    """Return u and a divisor without gradient, of which s/T is the quotient.

    The gradient in T comes by a ratio that is 1 for every T: summed over all pairs before it is
    divided by T. The derivative of a plain quotient is s/T^2 for each: infinities of both signs for
    tiny T. Where no |s| is above 1 a row's maximum is taken off before T comes in: of what is
    divided first a compiler would keep one more array.
    """
    fixed = T.detach() if isinstance(T, Tensor) else T
    u, divisor = (s, fixed) if normalize else (s / fixed, 1.0)
    return u * (fixed / T) if isinstance(T, Tensor) else u, divisor


def _plain_sums(
    z: Tensor, ones: Tensor, T: Tensor | float, k1: Tensor | float, k2: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Return D_i and the sum of s_ij/T over P(i), (N,) each; no maximum is taken off.

    But for the diagonal, masks come after exponentials: exp(-inf) takes long. All is finite, so
    that they are factors, which take less than a choice.
    """
    has_low, s = isinstance(k1, Tensor) or k1 != 0, None
    if has_low and isinstance(T, Tensor):  # of which exp(-s) is no function
        s = z @ z.T
        t = s * (1 / T)
    else:
        t = (z / T) @ z.T
    total, low = (t * ones).sum(1), None
    if has_low:
        low = ((t * -T if s is None else -s).exp() * ones).sum(1)
    terms = _with_itself(t, -math.inf, recorded=False).exp()
    if isinstance(k2, Tensor) or k2 != 1:
        D = (terms * ones).sum(1) + k2 * (terms * (1 - ones)).sum(1)
    else:
        D = terms.sum(1)
    return D if low is None else D + k1 * low, total


def _temperature_sums(
    u: Tensor,
    divisor: Tensor | float,
    positives: Tensor,
    ones: Tensor,
    k2: Tensor | float,
) -> list[_Sum]:
    """Return the sums of exp(s_ij/T): over all or, where k2 is not 1, over P(i) and N(i) apart."""
    others = _with_itself(u.detach().clone(), -math.inf)
    inverse = 1 / divisor

    def terms(maximum: Tensor) -> Tensor:
        # Subtracted before it is scaled: the largest exponent is 0 for every T, not what two
        # products that are rounded differently leave of it.
        return _with_itself((u - maximum) * inverse, -math.inf).exp()

    if not isinstance(k2, Tensor) and k2 == 1:
        highest = _maximum(others)
        return [_Sum(highest / divisor, terms(highest[:, None]).sum(1))]
    near = _maximum(torch.where(positives, others, -math.inf))
    far = _maximum(torch.where(positives, -math.inf, others))
    found = terms(torch.where(positives, near[:, None], far[:, None]))
    return [
        _Sum(near / divisor, (found * ones).sum(1)),
        _Sum(far / divisor, (found * (1 - ones)).sum(1), *_weight(k2, u.dtype)),
    ]


def _positive_sum(
    s: Tensor, positives: Tensor, ones: Tensor, k: Tensor | float, normalize: bool
) -> _Sum:
    """Return k times the sum over P(i) of exp(-s_ij); `normalize` tells that no |s| is above 1."""
    if normalize:
        maximum, exponents = s.new_zeros(s.shape[0]), -s
    else:
        maximum = _maximum(torch.where(positives, -s.detach(), -math.inf))
        exponents = torch.where(positives, -s - maximum[:, None], 0)
    return _Sum(maximum, (exponents.exp() * ones).sum(1), *_weight(k, s.dtype))


def _weight(k: Tensor | float, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | float]:
    """Split k into a factor and the logarithm of the rest: k e^x = factor e^(x + offset).

    A number goes into the exponent whole. Of a tensor only what is above 1 does: what is left of
    it has the right derivatives at k = 0 too, unlike log k (GRD-9).
    """
    if not isinstance(k, Tensor):
        return None, math.log(k) if k > 0 else -math.inf
    fixed = k.detach().clamp(min=1)  # in k's own dtype: `dtype` may not hold it
    return (k / fixed).to(dtype), fixed.log().to(dtype)


def _maximum(exponents: Tensor, axis: int = 1) -> Tensor:
    """Return the largest of each row, or along an axis, 0 where there is none; no gradient."""
    maximum = exponents.detach().amax(axis)
    return maximum.masked_fill(maximum == -math.inf, 0)


def _added(sums: list[_Sum]) -> tuple[Tensor, Tensor]:
    """Return a maximum m, which has no gradient, and the rest of the sum e^m rest, (N,) each.

    Where factor = 0 its sum is not in the maximum and its exponential may overflow. Two square
    roots make it 0 still, whatever comes in from behind, and its derivative in the factor infinite
    only where it has to be (NUM-11). A sum without terms is not scaled: 0 times infinity is NaN.
    """
    if len(sums) == 1:
        return sums[0].maximum, sums[0].total
    one = sums[0].total.new_ones(())
    exponents = torch.stack([part.maximum + part.offset for part in sums])  # (sums, N)
    totals = torch.stack([part.total for part in sums])
    factors = torch.stack([one if part.factor is None else part.factor for part in sums])[:, None]
    maximum = _maximum(exponents + (factors * totals).detach().log(), 0)
    limit = math.log(torch.finfo(maximum.dtype).max) - 1
    roots = ((exponents - maximum) / 2).clamp(max=limit).exp()
    roots = torch.where(totals == 0, 0, roots)
    return maximum, (totals * (factors * roots * roots)).sum(0)
