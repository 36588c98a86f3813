"""The formula by tiles, in memory that grows with N: what `dense` gives, and its derivatives.

To `torch.compile` the order of the rows, the sums over the tiles and their gradient are three
opaque operators, to autograd and `torch.func` the last two are functions. What tiles have no
formula for, second derivatives and forward mode, `dense` gives.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from tuned_contrastive.backends.torch import dense, tiles
from tuned_contrastive.backends.torch.rows import (
    Order,
    Scalar,
    Scalars,
    cut_rows,
    kept_sizes,
    sort_rows,
)

THRESHOLD = (896, 640)
"""From this number of rows on, tiles are no slower than all pairs at once (PRF-2; D = 128, 2-core
CPU): at 896 rows 4.4 : 7.1 ms for SupCon, 5.4 : 11.4 for TCL; at 640 rows 2.9 : 4.1 and 3.7 : 5.8,
but on another CPU 3.0 : 2.8 and 4.2 : 3.7. The second with parameters that are tensors or rows that
are not normalised, where `dense` may have to take a maximum off: with learnable parameters SupCon
takes 2.6 : 2.6 ms at 640 rows and 1.8 : 1.8 at 512, TCL 4.4 : 5.7 and 3.1 : 2.3."""

_Transform = torch._C._functorch.TransformType

BLOCK_SIZE = {"cpu": 512}
"""Rows of a tile: one that stays in the cache of a CPU; elsewhere not measured, 4096."""


def chosen(
    z: Tensor, T: Scalar, k1: Scalar, k2: Scalar, normalize: bool, block_size: int | None
) -> bool:
    """Return whether the losses of these rows are computed by tiles."""
    if block_size is not None:
        return block_size > 0
    count = z.shape[0]  # len would fix N for `torch.export`
    plain = normalize and dense.fits(dense.LARGEST_EXPONENT[z.dtype], T, k1, k2)
    threshold = THRESHOLD[not plain]
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        # A program for any N computes all by tiles: to ask would make it two. Slow to load.
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return not statically_known_true(count < threshold)
    return count >= threshold


def anchor_losses(
    z: Tensor,
    labels: Tensor,
    T: Scalar,
    k1: Scalar,
    k2: Scalar,
    normalize: bool,
    block_size: int | None,
) -> tuple[Tensor, Tensor]:
    """Return what `dense.anchor_losses` does, by tiles of `block_size` rows (None: automatic).

    `normalize` tells that every row has norm 1 or 0.
    """
    if _needs_dense():
        return dense.anchor_losses(z, labels, T, k1, k2, normalize)
    tensors = [value if isinstance(value, Tensor) else None for value in (T, k1, k2)]
    numbers = [0.0 if isinstance(value, Tensor) else value for value in (T, k1, k2)]
    block = block_size or BLOCK_SIZE.get(z.device.type, 4096)
    is_traced = dense.is_traced()  # the tiles are one operation then
    losses: Any = _losses_operator if is_traced else partial(_uncompiled, _Losses.apply)
    # An operator keeps none: their number would make the compiler start again for another N.
    keep = not is_traced and torch.is_grad_enabled()
    keep = keep and any(v is not None and v.requires_grad for v in (z, *tensors))
    order, starts, shares = (_sort_operator if is_traced else _sort)(labels, z.dtype)
    rest = (order, starts, shares, *tensors, numbers, normalize, block, keep)
    found: tuple[Tensor, ...] = losses(z, *rest)
    return found[0], shares > 0


def _needs_dense() -> bool:
    """Return whether the losses are asked for in a way that tiles have no rule for."""
    if dense.is_traced():
        return bool(_is_transformed())
    return _forward_levels() > 1 or _Transform.Functionalize in _levels()


def _levels() -> list[Any]:
    """Return the transforms of `torch.func` that are under way, the outermost first."""
    return [each.key() for each in torch._C._functorch.get_interpreter_stack() or ()]


def _forward_levels() -> int:
    """Return how often forward mode is under way: a rule of it does not see a level around it."""
    return _levels().count(_Transform.Jvp)


def _refuse_nested() -> None:
    """Raise where the derivative of a pull, taken before, would be silently wrong."""
    if _forward_levels() > 1:
        message = "forward mode within forward mode, over a pull made outside, needs block_size=0"
        raise NotImplementedError(message)


def _is_transformed() -> bool:
    """Return whether a transform of `torch.func`, or forward mode, is around what is traced.

    They would take an operator's derivative in forward mode for 0, and know no other of it.
    """
    is_forward = torch.autograd.forward_ad._current_level >= 0
    return is_forward or torch._C._functorch.peek_interpreter_stack() is not None


# As `torch.compiler.assume_constant_result` does, which loads the compiler: a second for everybody.
_is_transformed._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _scalars(
    T: Tensor | None, k1: Tensor | None, k2: Tensor | None, numbers: list[float]
) -> Scalars:
    """Return T, k1 and k2, which an operator takes as tensors or, where those are None, numbers."""
    return (
        numbers[0] if T is None else T,
        numbers[1] if k1 is None else k1,
        numbers[2] if k2 is None else k2,
    )


def _sort(labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    order, starts, shares = sort_rows(labels, dtype)
    return order, starts, shares


def _losses(
    z: Tensor,
    order: Tensor,
    starts: Tensor,
    shares: Tensor,
    T: Tensor | None,
    k1: Tensor | None,
    k2: Tensor | None,
    numbers: list[float],
    normalize: bool,
    block: int,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return l_i (N,), and what `_gradients` takes: sums, and two pieces that keep the first tiles.

    Without `keep` they are empty, and the gradient is the same.
    """
    scalars = _scalars(T, k1, k2, numbers)
    rows = cut_rows(z, Order(order, starts, shares), scalars, normalize, block)
    first, second = _kept(z, block, keep)
    found, sums = tiles.losses(rows, scalars, (first, second))
    return rows.restore(found), rows.restore(sums), first, second


def _kept(z: Tensor, block: int, keep: bool) -> tuple[Tensor, Tensor]:
    first, second = kept_sizes(len(z), block, z.dtype) if keep else (0, 0)
    return z.new_empty(first), z.new_empty(second)


def _gradients(
    upstream: Tensor,
    sums: Tensor,
    first: Tensor,
    second: Tensor,
    z: Tensor,
    order: Tensor,
    starts: Tensor,
    shares: Tensor,
    T: Tensor | None,
    k1: Tensor | None,
    k2: Tensor | None,
    numbers: list[float],
    normalize: bool,
    block: int,
) -> tuple[Tensor, Tensor]:
    """Return the gradients in z (N, D) and in T, k1 and k2 (3,), given those in l_i."""
    scalars = _scalars(T, k1, k2, numbers)
    rows = cut_rows(z, Order(order, starts, shares), scalars, normalize, block)
    arriving = rows.arrange(upstream), rows.arrange(sums)
    dz, found = tiles.gradients(*arriving, (first, second), rows, scalars)
    return rows.restore(dz), found


def _outside_forward_mode(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operator raise in forward mode, which would take its derivative for 0."""

    @wraps(function)
    def computed(*arguments: Any) -> Any:
        if torch.autograd.forward_ad._current_level >= 0:
            message = "forward mode over a program made outside of it needs block_size=0 there"
            raise NotImplementedError(message)
        return function(*arguments)

    return computed


_operator = partial(torch.library.custom_op, mutates_args=())
_sort_operator = _operator("tuned_contrastive::sort")(_sort)
_losses_operator = _operator("tuned_contrastive::losses")(_outside_forward_mode(_losses))
_gradients_operator = _operator("tuned_contrastive::gradients")(_outside_forward_mode(_gradients))


@_sort_operator.register_fake
def _(labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    order, starts = (labels.new_empty(labels.shape, dtype=torch.int64) for _ in range(2))
    return order, starts, labels.new_empty(labels.shape, dtype=dtype)


@_losses_operator.register_fake
def _(z: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, k1, k2, _, _, block, keep = rest
    columns = 1 + sum(k is not None for k in (k1, k2))
    N = z.shape[0]  # len would fix N for `torch.compile`
    return z.new_empty(N), z.new_empty(N, columns), *_kept(z, block, keep)


@_gradients_operator.register_fake
def _(
    upstream: Tensor, sums: Tensor, first: Tensor, second: Tensor, z: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(z, memory_format=torch.contiguous_format), z.new_empty(3)


class _Dense:
    """The losses by `dense`, and their gradients, as functions of the tensors among the arguments.

    They give the derivatives that tiles have no formula for. A number is no variable.
    """

    def __init__(self, z: Tensor, order: Tensor, starts: Tensor, *rest: Any) -> None:
        _, *scalars, self._numbers = rest
        self._labels = starts  # which name the classes
        self._places = [place for place, value in enumerate(scalars) if value is not None]
        self.variables = (z, *self.pick(scalars))

    def pick(self, values: Any) -> tuple[Tensor, ...]:
        """Return what belongs to the tensors among T, k1 and k2."""
        return tuple(values[place] for place in self._places)

    def spread(self, values: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Return the inverse of `pick`, with None for a number."""
        found: list[Tensor | None] = [None, None, None]
        for place, value in zip(self._places, values, strict=True):
            found[place] = value
        return tuple(found)

    def losses(self, z: Tensor, *scalars: Tensor) -> Tensor:
        """Return l_i, (N,)."""
        T, k1, k2 = (
            n if t is None else t for t, n in zip(self.spread(scalars), self._numbers, strict=True)
        )
        # Whatever the rows are: the form for all of them holds for those of norm 1, too.
        return dense.anchor_losses(z, self._labels, T, k1, k2, normalize=False)[0]

    def gradients(self, upstream: Tensor, *variables: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients in z and, as `_gradients` does, in T, k1 and k2 together, (3,)."""
        dz, *rest = torch.func.vjp(self.losses, *variables)[1](upstream)
        nothing = dz.new_zeros(())
        found = [nothing if g is None else g.to(dz.dtype) for g in self.spread(rest)]
        return dz, torch.stack(found)


def _along(function: Callable[..., Any], variables: Any, tangents: Any) -> Any:
    """Return the derivative of `function` along `tangents`, as the transpose of its transpose.

    Forward mode itself cannot be entered from within forward mode.
    """
    outputs, pull = torch.func.vjp(function, *variables)[:2]
    zeros = tree_map(torch.zeros_like, outputs)
    return torch.func.vjp(pull, zeros)[1](tangents)[0]


def _or_zeros(tangents: Any, variables: Sequence[Tensor]) -> tuple[Tensor, ...]:
    pairs = zip(tangents, variables, strict=True)
    return tuple(torch.zeros_like(v) if t is None else t for t, v in pairs)


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule of `torch.vmap`: each sample has its own order of rows."""

    def mapped(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        samples = [
            function(
                *(
                    value.select(dim, sample) if isinstance(dim, int) else value
                    for value, dim in zip(arguments, in_dims, strict=True)
                )
            )
            for sample in range(info.batch_size)
        ]
        outputs = tuple(torch.stack(parts) for parts in zip(*samples, strict=True))
        return outputs, (0,) * len(outputs)

    return mapped


_disabled: dict[Callable[..., Any], Callable[..., Any]] = {}


def _uncompiled(function: Callable[..., Any], *arguments: Any) -> tuple[Tensor, ...]:
    """Call a function out of the compiler's sight.

    That of a program that a transform is around would go on inside of what is called here.
    """
    if "torch._dynamo" not in sys.modules:  # slow to load
        return function(*arguments)  # type: ignore[no-any-return]
    if function not in _disabled:
        _disabled[function] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return _disabled[function](*arguments)  # type: ignore[no-any-return]


def _pull(gradients: Any, ctx: Any, upstream: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return what `gradients` finds for the arguments of the losses that `ctx` is of."""
    if upstream is None:
        return (None,) * len(ctx.needs_input_grad)
    saved = ctx.saved_tensors  # once: a checkpoint unpacks them once
    if torch._C._functorch.is_legacy_batchedtensor(upstream):  # `is_grads_batched`: no rule of ours
        form = _Dense(*saved[3:], ctx.numbers)
        dz, found = form.gradients(upstream, *form.variables)
    else:
        dz, found = gradients(upstream, *saved, ctx.numbers, ctx.normalize, ctx.block)
    *_, T, k1, k2 = saved
    of_scalars = (
        None if value is None else found[place].to(value.dtype)
        for place, value in enumerate((T, k1, k2))
    )
    return dz, None, None, None, *of_scalars, None, None, None, None


class _Losses(torch.autograd.Function):
    """`_losses` with its derivatives, as autograd and `torch.func` take them."""

    # Its parameters are none by name, which torch would look up in each call, in 0.1 ms.
    forward = staticmethod(lambda *arguments: _losses(*arguments))
    # Of many samples no tiles are kept.
    vmap = staticmethod(_one_by_one(lambda *arguments: _Losses.apply(*arguments[:-1], False)))  # type: ignore[no-untyped-call]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save what `_gradients` is called with, but for the arriving gradient."""
        *tensors, ctx.numbers, ctx.normalize, ctx.block, _ = inputs
        _, *saved = output
        ctx.mark_non_differentiable(*saved)
        ctx.set_materialize_grads(False)  # zeros for what has no derivative, the tiles most of all
        ctx.save_for_backward(*saved, *tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients, by tiles."""
        return _pull(partial(_uncompiled, _Gradients.apply), ctx, upstream)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
        """Return the derivative along a direction, through `dense`."""
        _refuse_nested()
        form = _Dense(*ctx.saved_tensors, ctx.numbers)
        dz, _, _, _, *scalars, _, _, _, _ = tangents
        along = _or_zeros((dz, *form.pick(scalars)), form.variables)
        return _along(form.losses, form.variables, along), None, None, None


class _Gradients(torch.autograd.Function):
    """`_gradients` with its derivatives, both through `dense`."""

    forward = staticmethod(lambda *arguments: _gradients(*arguments))
    vmap = staticmethod(_one_by_one(lambda *arguments: _Gradients.apply(*arguments)))  # type: ignore[no-untyped-call]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save all but the sums and the tiles, which follow from the rest."""
        upstream, _, _, _, *tensors, ctx.numbers, _, _ = inputs
        ctx.save_for_backward(upstream, *tensors)
        ctx.save_for_forward(upstream, *tensors)

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor) -> tuple[Tensor | None, ...]:
        """Return the second derivatives."""
        upstream, *tensors = ctx.saved_tensors
        form = _Dense(*tensors, ctx.numbers)
        pull = torch.func.vjp(form.gradients, upstream, *form.variables)[1]
        of_upstream, dz, *scalars = pull(arriving)
        of_scalars = form.spread(scalars)
        return of_upstream, None, None, None, dz, None, None, None, *of_scalars, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        """Return the derivatives along a direction."""
        _refuse_nested()
        upstream, *tensors = ctx.saved_tensors
        form = _Dense(*tensors, ctx.numbers)
        of_upstream, _, _, _, dz, _, _, _, *scalars, _, _, _ = tangents
        variables = (upstream, *form.variables)
        along = _or_zeros((of_upstream, dz, *form.pick(scalars)), variables)
        found: tuple[Tensor, Tensor] = _along(form.gradients, variables, along)
        return found


_losses_operator.register_autograd(
    lambda ctx, upstream, *_: _pull(_gradients_operator, ctx, upstream),
    setup_context=_Losses.setup_context,
)
_gradients_operator.register_autograd(_Gradients.backward, setup_context=_Gradients.setup_context)


def _losses_of_a_program(*arguments: Any) -> tuple[Tensor, ...]:
    """Do what the operator does where a transform of `torch.func` is around its program."""
    if not _needs_dense():
        return _Losses.apply(*arguments)  # type: ignore[no-untyped-call, no-any-return]
    *tensors, numbers, _, _, _ = arguments
    form = _Dense(*tensors, numbers)
    unused = form.variables[0].new_empty(0)  # the gradients need no sums there, nor tiles
    return form.losses(*form.variables), unused, unused, unused


def _gradients_of_a_program(*arguments: Any) -> tuple[Tensor, ...]:
    """Do what the operator does where a transform of `torch.func` is around its program."""
    if not _needs_dense():
        return _Gradients.apply(*arguments)  # type: ignore[no-untyped-call, no-any-return]
    upstream, _, _, _, *tensors, numbers, _, _ = arguments
    form = _Dense(*tensors, numbers)
    return form.gradients(upstream, *form.variables)


# `torch.func` does not see what `register_autograd` is told: it dispatches on this key before.
_library = torch.library.Library("tuned_contrastive", "FRAGMENT")  # type: ignore[no-untyped-call]
for _name, _rule in (("losses", _losses_of_a_program), ("gradients", _gradients_of_a_program)):
    _library.impl(_name, partial(_uncompiled, _rule), "FuncTorchDynamicLayerFrontMode")  # type: ignore[no-untyped-call]
_sort_operator.register_vmap(_one_by_one(_sort_operator))
