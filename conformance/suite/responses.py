"""Measures dl_i/ds_ij of one drawn anchor, and what it may be off (LAW-12 to LAW-15)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from tuned_contrastive.conformance.protocol import Capabilities, Float64, Implementation
from tuned_contrastive.conformance.suite.calls import K1, K2, Call, calls
from tuned_contrastive.conformance.suite.laws import strictly_positive
from tuned_contrastive.reference import Response, responses
from tuned_contrastive.spec.tolerance import UNIT_ROUNDOFF


@dataclass(frozen=True)
class Anchor:
    """A call of TCL and one of its anchors."""

    call: Call
    row: int

    @property
    def supcon(self) -> Call:
        """The same call of SupCon."""
        given = {n: v for n, v in self.call.parameters.items() if n not in ("k1", "k2")}
        return Call("supcon", self.call.embeddings, self.call.labels, given)

    @property
    def exact(self) -> Response:
        """The reference's responses."""
        given = {n: v for n, v in self.call.parameters.items() if n != "reduction"}
        return responses(self.call.embeddings, self.call.labels, **given)

    @property
    def positives(self) -> NDArray[np.bool_]:
        """The pairs of P(i)."""
        return np.asarray(self.exact.positives[self.row])

    @property
    def negatives(self) -> NDArray[np.bool_]:
        """The pairs of N(i)."""
        return np.asarray(self.exact.negatives[self.row])


@st.composite
def anchors(
    draw: st.DrawFn,
    claims: Capabilities,
    k1: tuple[float, ...] = K1,
    k2: tuple[float, ...] = K2,
) -> Anchor:
    """Draw a call and a row of it that is an anchor and not 0."""
    drawn = calls(
        claims,
        "tcl",
        rows=(3, 4, 5, 6, 7),
        normalize=False,
        reduction="none",
        k1=draw(st.sampled_from(k1)),
        k2=draw(st.sampled_from(k2)),
    )
    call = draw(drawn)
    same = np.equal.outer(call.labels, call.labels).sum(axis=1) > 1
    usable = np.flatnonzero(same & np.any(call.embeddings, axis=1))
    assume(usable.size > 0)
    return Anchor(call, int(draw(st.sampled_from(usable.tolist()))))


def measure(
    implementation: Implementation, anchor: Anchor, call: Call, dtype: str
) -> tuple[Float64, Float64]:
    """Return dl_i/ds_ij for all j, 0 for j = i, and the error allowed to each."""
    upstream = (np.arange(len(call.embeddings)) == anchor.row).astype(np.float64)
    gradient = implementation.gradients(call.case(dtype), upstream).embeddings
    z = call.embeddings[anchor.row]
    found = np.where(upstream == 0, np.asarray(gradient) @ z / (z @ z), 0.0)
    allowed = call.bounds(upstream)["embeddings"] * UNIT_ROUNDOFF[dtype] / np.sqrt(z @ z)
    return found, np.where(upstream == 0, allowed, 0.0)


def sum_share(
    implementation: Implementation, anchor: Anchor, call: Call, exact: Any, dtype: str
) -> float:
    """Return the share of sum_j dl_i/ds_ij in the sum of what its terms may be off."""
    found, allowed = measure(implementation, anchor, call, dtype)
    return float(np.abs(found.sum() - exact) / allowed.sum())


def difference_share(
    implementation: Implementation,
    anchor: Anchor,
    larger: Call,
    smaller: Call,
    pairs: NDArray[np.bool_],
    dtype: str,
) -> float:
    """Return how far responses of one call fall below those of another, over what is allowed.

    Infinity where they are not above it though they surely must be.
    """
    above, above_allowed = measure(implementation, anchor, larger, dtype)
    below, below_allowed = measure(implementation, anchor, smaller, dtype)
    exact = _exact(larger, anchor.row) - _exact(smaller, anchor.row)
    allowed = above_allowed + below_allowed
    return strictly_positive((above - below)[pairs], exact[pairs], allowed[pairs])


def _exact(call: Call, row: int) -> Float64:
    """Return the reference's responses of one anchor to a call of either loss."""
    given = {name: value for name, value in call.parameters.items() if name != "reduction"}
    found = responses(call.embeddings, call.labels, **given)
    return np.asarray((found.tcl if call.loss == "tcl" else found.supcon)[row])
