"""`losses.ntxent` of optax, called as its documentation calls it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.applicability import DEFAULTS
from tuned_contrastive.conformance.protocol import Capabilities, Case, Float64, Outcome


class Optax:
    """`optax.losses.ntxent`; labels are required, rows are (N, D), always normalised."""

    name = "optax"
    capabilities = Capabilities(
        losses=frozenset({"supcon"}),
        reductions=("mean",),
        inputs=frozenset({"flat"}),
        unlabelled=False,
        fixed={"normalize": True, "reduction": "mean"},
        gradients=frozenset({"embeddings"}),
    )
    notes = (
        "ntxent, with jax_enable_x64: the one loss of optax that takes labels of several positives",
        "jitted, as in training",
        "float32 products at precision highest",
    )

    def __init__(self) -> None:
        # both of the process: for float64 and 64-bit labels, and for the bounds of float32
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        jax.config.update("jax_default_matmul_precision", "highest")  # type: ignore[no-untyped-call]

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        rows, labels, temperature = _arguments(case)
        return _outcome(case, rows, labels, _ntxent(rows, labels, temperature))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        rows, labels, temperature = _arguments(case)
        loss, pull = jax.vjp(lambda rows: _ntxent(rows, labels, temperature), rows)
        (gradient,) = pull(jnp.asarray(upstream, loss.dtype))
        return _outcome(case, rows, labels, loss, gradient)


implementation = Optax
_ntxent = jax.jit(optax.losses.ntxent)


def _arguments(case: Case) -> tuple[Array, Array, Array]:
    temperature = {**DEFAULTS, **case.parameters}["temperature"]
    return (
        jnp.asarray(case.embeddings, case.dtype),
        jnp.asarray(case.labels),
        jnp.asarray(temperature, case.dtype),
    )


def _outcome(
    case: Case, rows: Array, labels: Array, loss: Array, gradient: Array | None = None
) -> Outcome:
    outcome = Outcome(
        _array(loss),
        None if gradient is None else _array(gradient),
        loss_dtype=loss.dtype.name,
        gradient_dtype=None if gradient is None else gradient.dtype.name,
    )
    return replace(outcome, intact=intact(case, _array(rows), np.asarray(labels)))


def _array(value: Array) -> Float64:
    return np.asarray(value, dtype=np.float64)
