"""A fault that shows in the batches of some vectors alone, so that only their tests can see it."""

from typing import Any

from tuned_contrastive.conformance.mutants.batch import Array
from tuned_contrastive.conformance.mutants.plain import Plain
from tuned_contrastive.conformance.protocol import Case, Outcome
from tuned_contrastive.conformance.vectors import Vector, load_vectors


class Planted:
    """A mutant on the batches of the vectors that cite what it breaks, right on all others.

    The laws and the edges are consequences of the definitions: a wrong definition breaks them too.
    On these batches no law is tried. Views are left out: the batches of some serve INP-4 as well.
    """

    def __init__(self, mutant: Plain) -> None:
        self.mutant = mutant
        self.right = Plain()
        self.name = f"planted {type(mutant).__name__}"
        self.capabilities = mutant.capabilities
        values = load_vectors().values
        citing = (v for v in values if mutant.breaks in v.clauses and v.embeddings.ndim == 2)
        self.batches = {_key(vector) for vector in citing}

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return self._chosen(case).loss(case)

    def gradients(self, case: Case, upstream: Array) -> Outcome:
        """Return the loss and its gradients."""
        return self._chosen(case).gradients(case, upstream)

    def _chosen(self, case: Case) -> Plain:
        return self.mutant if _key(case) in self.batches else self.right


def _key(call: Case | Vector) -> tuple[Any, ...]:
    """Return what tells one batch from another; a batch is also judged unreduced."""
    given = tuple(sorted((k, v) for k, v in call.parameters.items() if k != "reduction"))
    labels = None if call.labels is None else call.labels.tobytes()
    return call.loss, call.embeddings.tobytes(), labels, given
