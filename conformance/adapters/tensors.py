"""The outcome of a call of somebody's torch loss, as arrays."""

import numpy as np
from torch import Tensor

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.protocol import Case, Outcome


def outcome(
    case: Case, rows: Tensor, labels: Tensor | None, loss: Tensor, gradient: Tensor | None = None
) -> Outcome:
    """Return the loss and the gradient; rows and labels are as they were left by the call."""
    found = None if gradient is None else gradient.double().numpy().reshape(case.embeddings.shape)
    left = case.labels if labels is None else labels.numpy()
    return Outcome(
        np.asarray(loss.detach().double().numpy()),
        found,
        loss_dtype=_name(loss),
        gradient_dtype=None if gradient is None else _name(gradient),
        intact=intact(case, rows.detach().double().numpy(), left),
    )


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
