"""A bare torch function or module class, differentiated by autograd."""

import numpy as np
import torch
from torch import Tensor

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.adapters.callable import Bare
from tuned_contrastive.conformance.protocol import Case, Float64, Outcome
from tuned_contrastive.spec import contract


class BareTorch:
    """A torch function or class with the gradient in its embeddings."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.device = torch.empty(0, device=bare.device).device  # raises where there is none
        self.name = bare.name
        self.capabilities = bare.capabilities
        self.notes = bare.notes

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return self._outcome(case, self._call(case))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        called = self._call(case)
        rows, _, loss = called
        given = self.bare.arriving(upstream, loss.shape)
        arriving = torch.tensor(given, dtype=loss.dtype, device=loss.device)
        (found,) = torch.autograd.grad(loss, [rows], arriving)
        return self._outcome(case, called, found.reshape(case.embeddings.shape))

    def _call(self, case: Case) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the rows and the labels as they are after the call, and the loss."""
        rows = torch.tensor(
            self.bare.rows(case), dtype=getattr(torch, case.dtype), device=self.device
        ).requires_grad_()
        labels = None if case.labels is None else torch.tensor(case.labels, device=self.device)
        unit = self.bare.unit_input and case.parameters.get("normalize", True)
        value = self.bare(case, _unit_rows(rows) if unit else rows, labels)
        return rows, labels, self.bare.returned(value, "a torch.Tensor", Tensor)

    def _outcome(
        self,
        case: Case,
        called: tuple[Tensor, Tensor | None, Tensor],
        gradient: Tensor | None = None,
    ) -> Outcome:
        rows, labels, loss = called
        left = None if labels is None else labels.cpu().numpy()
        return Outcome(
            self.bare.losses(_array(loss), case),
            None if gradient is None else _array(gradient),
            loss_dtype=_name(loss),
            gradient_dtype=None if gradient is None else _name(gradient),
            intact=intact(case, _array(rows), left),
        )


implementation = BareTorch


def _unit_rows(rows: Tensor) -> Tensor:
    """Return SUP-1 and SUP-2, differentiably, in the compute dtype; squares do not overflow."""
    full = rows.to(getattr(torch, contract.COMPUTE_DTYPES[_name(rows)]))
    largest = full.detach().abs().amax(dim=-1, keepdim=True)
    scaled = full / torch.where(largest > 0, largest, 1)
    short = torch.linalg.vector_norm(scaled.detach(), dim=-1, keepdim=True) * largest
    is_zero = short < contract.MIN_NORM
    safe = torch.where(is_zero, torch.ones_like(scaled), scaled)
    unit = safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)
    return torch.where(is_zero, torch.zeros_like(unit), unit)


def _array(value: Tensor) -> Float64:
    return np.asarray(value.detach().to("cpu", torch.float64).numpy())


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
