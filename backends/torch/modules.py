"""The losses as `torch.nn.Module`s; temperature, k1 and k2 are numbers, buffers or parameters."""

from typing import Any

from torch import Tensor, nn

from tuned_contrastive.backends.torch.losses import describe, supcon_loss, tcl_loss
from tuned_contrastive.spec import contract


class _Loss(nn.Module):
    """Holds a loss's parameters, checked once at construction (INP-15 to INP-20)."""

    _scalars: tuple[str, ...]

    def __init__(
        self,
        *,
        normalize: bool,
        reduction: str,
        block_size: int | None,
        **scalars: Tensor | float,
    ) -> None:
        super().__init__()
        contract.check_parameters(describe, normalize=normalize, reduction=reduction, **scalars)
        contract.check_block_size(block_size)
        for name, value in scalars.items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self._scalars = tuple(scalars)
        self.normalize = normalize
        self.reduction = reduction
        self.block_size = block_size

    def _parameters_of_the_call(self) -> dict[str, Any]:
        names = (*self._scalars, "normalize", "reduction", "block_size")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Return the parameters; a tensor by its type, since its value may be on a device."""
        return ", ".join(
            f"{name}={type(value).__name__ if isinstance(value, Tensor) else repr(value)}"
            for name, value in self._parameters_of_the_call().items()
        )


class SupConLoss(_Loss):
    """SupCon as a module, clause SUP-5.

    Parameters
    ----------
    temperature, normalize, reduction, block_size
        As in `supcon_loss`. A `torch.nn.Parameter` is learnable and a plain tensor is a buffer,
        both part of `state_dict()`; a number is neither.

    Raises
    ------
    TypeError, ValueError
        At construction, as `supcon_loss`.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2.

    Examples
    --------
    >>> import torch
    >>> SupConLoss(temperature=0.5)(torch.ones(3, 2), [0, 0, 1])
    tensor(0.6931)
    """

    def __init__(
        self,
        *,
        temperature: Tensor | float = contract.TEMPERATURE,
        normalize: bool = True,
        reduction: str = "mean",
        block_size: int | None = None,
    ) -> None:
        super().__init__(
            temperature=temperature,
            normalize=normalize,
            reduction=reduction,
            block_size=block_size,
        )

    def forward(self, embeddings: Tensor, labels: Any = None) -> Tensor:
        """Return the loss of `supcon_loss`."""
        return supcon_loss(embeddings, labels, **self._parameters_of_the_call())


class TCLLoss(_Loss):
    """TCL as a module, clause TCL-1.

    Parameters
    ----------
    temperature, k1, k2, normalize, reduction, block_size
        As in `tcl_loss`. A `torch.nn.Parameter` is learnable and a plain tensor is a buffer,
        both part of `state_dict()`; a number is neither.

    Raises
    ------
    TypeError, ValueError
        At construction, as `tcl_loss`.

    References
    ----------
    C. Animesh, M. Chandraker, "Tuned Contrastive Learning", arXiv 2305.10675, WACV 2025.

    Examples
    --------
    >>> import torch
    >>> TCLLoss(k1=1, k2=2)(torch.eye(4), [0, 0, 1, 1])
    tensor(1.7918)
    """

    def __init__(
        self,
        *,
        temperature: Tensor | float = contract.TEMPERATURE,
        k1: Tensor | float = contract.K1,
        k2: Tensor | float = contract.K2,
        normalize: bool = True,
        reduction: str = "mean",
        block_size: int | None = None,
    ) -> None:
        super().__init__(
            temperature=temperature,
            k1=k1,
            k2=k2,
            normalize=normalize,
            reduction=reduction,
            block_size=block_size,
        )

    def forward(self, embeddings: Tensor, labels: Any = None) -> Tensor:
        """Return the loss of `tcl_loss`."""
        return tcl_loss(embeddings, labels, **self._parameters_of_the_call())
