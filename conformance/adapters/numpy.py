"""The NumPy reference as an implementation: float64, closed-form gradients."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuned_contrastive import reference
from tuned_contrastive.conformance.adapters import native
from tuned_contrastive.conformance.protocol import Capabilities, Case, Float64, Outcome

LOSSES = {"supcon": reference.supcon_loss, "tcl": reference.tcl_loss}
GRADIENTS = {"supcon": reference.supcon_gradients, "tcl": reference.tcl_gradients}


class NumpyReference:
    """`tuned_contrastive.reference`, called as a user calls it."""

    name = "numpy"
    capabilities = Capabilities(
        dtypes=("float64",),
        errors="text",
        features=frozenset({"native-labels", "defaults"}),
    )

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        value = LOSSES[case.loss](case.embeddings, case.labels, **case.parameters)
        return Outcome(np.asarray(value), loss_dtype=str(np.asarray(value).dtype))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradients."""
        found = GRADIENTS[case.loss](
            case.embeddings, case.labels, upstream=upstream, **case.parameters
        )
        given = {name: getattr(found, name) for name in ("temperature", "k1", "k2")}
        scalars: dict[str, Any] = {n: v if v is None else np.asarray(v) for n, v in given.items()}
        return Outcome(
            np.asarray(found.loss),
            found.embeddings,
            **scalars,
            loss_dtype=str(np.asarray(found.loss).dtype),
            gradient_dtype=str(found.embeddings.dtype),
        )

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Call with arguments made from portable descriptions."""
        given = {name: native(value, np.ones) for name, value in arguments.items()}
        return LOSSES[loss](**given)

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as an array or as a list."""
        labels = case.labels.tolist() if kind == "list" and case.labels is not None else case.labels
        return self.loss(Case(**{**vars(case), "labels": labels}))


implementation = NumpyReference()
