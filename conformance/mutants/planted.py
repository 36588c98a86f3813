"""A mutant that is wrong in some calls alone, and right in all others."""

from collections.abc import Collection
from typing import Any

from tuned_contrastive.conformance.mutants.batch import Array
from tuned_contrastive.conformance.mutants.plain import Plain
from tuned_contrastive.conformance.protocol import Case, Outcome


class Planted:
    """A mutant in the calls of `places`; it keeps those that it gets in `calls`."""

    def __init__(self, mutant: Plain, places: Collection[Any] = ()) -> None:
        self.mutant, self.right, self.places = mutant, Plain(), places
        self.calls: set[Any] = set()
        self.name = f"planted {type(mutant).__name__}"
        self.capabilities = mutant.capabilities

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return self._chosen(case).loss(case)

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        """Return the loss and its gradients."""
        return self._chosen(case).gradients(case, upstream)

    def _chosen(self, case: Case) -> Plain:
        given = tuple(sorted(case.parameters.items()))
        labels = None if case.labels is None else case.labels.tobytes()
        call = case.loss, case.embeddings.tobytes(), case.embeddings.shape, labels, given
        self.calls.add(call)
        return self.mutant if call in self.places else self.right
