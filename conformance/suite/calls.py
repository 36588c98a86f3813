"""The calls that the suite makes beside the vectors, fixed and drawn, on exact coarse grids."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tuned_contrastive.conformance.judge import rows_share, value_share
from tuned_contrastive.conformance.protocol import Capabilities, Case, Float64, Implementation
from tuned_contrastive.reference import Gradients, supcon_gradients, tcl_gradients
from tuned_contrastive.reference.bounds import bounds

LAW = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    # `accept` keeps the worst share of all examples, so it must live as long as the test
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""How every law is tested: the same examples each time, unless the run has a seed."""

TEMPERATURES = (0.125, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0)
K1 = (0.0, 0.5, 3.0, 64.0, 4096.0)
K2 = (0.0, 0.25, 1.0, 4.0)
GRID = 8


@dataclass(frozen=True)
class Call:
    """A call in no particular dtype; every number is exact in all of them.

    `labels` is an integer or boolean array, (N,) or (B,), or None.
    """

    loss: str
    embeddings: Float64
    labels: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def case(self, dtype: str, mode: str = "eager", learnable: bool = False) -> Case:
        """Return the call in one dtype and mode."""
        return Case(
            self.loss, self.embeddings, self.labels, self.parameters, dtype, mode, learnable
        )

    def bounds(self, upstream: Float64 | None = None) -> dict[str, Float64]:
        """Return the allowed errors in units of u."""
        given = dict(self.parameters)
        found = bounds(self.loss, self.embeddings, self.labels, upstream=upstream, **given)
        return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}

    def exact(self, upstream: Float64 | None = None) -> Gradients:
        """Return the reference's losses and gradients."""
        function = supcon_gradients if self.loss == "supcon" else tcl_gradients
        return function(self.embeddings, self.labels, upstream=upstream, **self.parameters)

    def of(self, loss: str) -> "Call":
        """Return the same call of another loss."""
        return replace(self, loss=loss)

    def as_two_views(self) -> "Call":
        """Return the same rows as (B, 2, D) without labels."""
        rows, columns = self.embeddings.shape
        return replace(self, embeddings=self.embeddings.reshape(rows // 2, 2, columns), labels=None)

    def with_parameters(self, **parameters: Any) -> "Call":
        """Return the call with other parameters."""
        return replace(self, parameters={**self.parameters, **parameters})

    def with_rows(self, embeddings: Float64, labels: Any = None) -> "Call":
        """Return the call with other rows, and other labels where they are given."""
        return replace(
            self, embeddings=embeddings, labels=self.labels if labels is None else labels
        )

    def with_labels(self, labels: Any) -> "Call":
        """Return the call with other labels, or with None."""
        return replace(self, labels=labels)

    @property
    def losses_shape(self) -> tuple[int, ...]:
        """The shape of the loss."""
        return self.embeddings.shape[:-1] if self.parameters.get("reduction") == "none" else ()


def sample(loss: str, rows: int = 6, columns: int = 5, **parameters: Any) -> Call:
    """Return a fixed, asymmetric call with three classes; temperature 0.5 unless given."""
    n, d = np.indices((rows, columns))
    embeddings = ((13 * n * n + 7 * d + 5 * n * d + 3 * n) % 31 - 15) / GRID
    labels = np.arange(rows) * 2 // 3 % 3
    return Call(loss, embeddings, labels, {"temperature": 0.5, **parameters})


@st.composite
def calls(
    draw: st.DrawFn,
    /,
    claims: Capabilities,
    loss: str,
    *,
    columns: int | None = None,
    rows: tuple[int, ...] = (2, 3, 4, 5, 6, 7),
    **pinned: Any,
) -> Call:
    """Draw a call that the implementation can make; `pinned` are parameters held fast."""
    N = draw(st.sampled_from(rows))
    D = draw(st.integers(1, 4)) if columns is None else columns
    drawn = draw(st.lists(st.integers(-16, 16), min_size=N * D, max_size=N * D))
    n, d = np.indices((N, D))
    offset = (5 * n + 3 * d) % 7 - 3  # keeps even the simplest example from being symmetric
    embeddings = (np.reshape(drawn, (N, D)) + offset) / GRID
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=N, max_size=N)))
    return Call(loss, embeddings, labels, draw(parameters(claims, loss, **pinned)))


@st.composite
def parameters(
    draw: st.DrawFn, /, claims: Capabilities, loss: str, **pinned: Any
) -> dict[str, Any]:
    """Draw the parameters that an implementation lets one choose."""
    choices: dict[str, tuple[Any, ...]] = {"temperature": TEMPERATURES, "normalize": (True, False)}
    choices |= {"k1": K1, "k2": K2} if loss == "tcl" else {}
    choices["reduction"] = claims.reductions
    fixed = {name: (value,) for name, value in claims.fixed.items() if name in choices}
    held = {name: (value,) for name, value in pinned.items()}
    return {
        name: draw(st.sampled_from(values)) for name, values in {**choices, **fixed, **held}.items()
    }


def gradients(
    implementation: Implementation, call: Call, dtype: str, mode: str = "eager"
) -> tuple[Float64, Float64]:
    """Return the loss and its gradient in the embeddings, for an upstream gradient of ones."""
    outcome = implementation.gradients(call.case(dtype, mode), np.ones(call.losses_shape))
    return outcome.loss, np.asarray(outcome.embeddings)


def weights(loss: str) -> dict[str, Any]:
    """Return k1 and k2 where the loss has them, exact in every dtype."""
    return {"k1": 3.0, "k2": 0.25} if loss == "tcl" else {}


def loss_share(got: Float64, exact: Any, call: Call, dtype: str, calls: int = 2) -> float:
    """Return the share of a loss in what `calls` calls of this kind may be off together."""
    return value_share(got, np.asarray(exact), calls * call.bounds()["loss"], dtype)


def gradient_share(got: Float64, exact: Float64, allowed: Float64, dtype: str) -> float:
    """Return the share of a gradient in the embeddings; `allowed` per row, in units of u."""
    return rows_share(got, exact, allowed, dtype)


def ones(call: Call) -> Float64:
    """Return the upstream gradient that asks for the plain gradient."""
    return np.ones(call.losses_shape)
