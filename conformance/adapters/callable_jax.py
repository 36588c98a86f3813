"""A bare JAX function, differentiated by `jax.vjp`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from tuned_contrastive.conformance.adapters import intact
from tuned_contrastive.conformance.adapters.callable import Bare
from tuned_contrastive.conformance.protocol import Case, Float64, Outcome
from tuned_contrastive.spec import contract

PRODUCTS = "float32 products at precision highest"


class BareJax:
    """A JAX function or class with the gradient in its embeddings."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        # both of the process: for float64 and 64-bit labels, and for the bounds of float32
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        jax.config.update("jax_default_matmul_precision", "highest")  # type: ignore[no-untyped-call]
        platform, _, index = bare.device.partition(":")
        self.device = jax.devices(platform)[int(index or 0)]  # raises where there is none
        self.name = bare.name
        self.capabilities = bare.capabilities
        self.notes = (*bare.notes, f"on {self.device}, with jax_enable_x64", PRODUCTS)

    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        rows, labels = self._rows(case), self._labels(case)
        return self._outcome(case, rows, labels, self._call(case, rows, labels))

    def gradients(self, case: Case, upstream: Float64) -> Outcome:
        """Return the loss and its gradient in the embeddings."""
        rows, labels = self._rows(case), self._labels(case)
        loss, pull = jax.vjp(lambda rows: self._call(case, rows, labels), rows)
        arriving = self.bare.arriving(upstream, loss.shape)
        (found,) = pull(self._put(arriving, loss.dtype.name))
        gradient = found.reshape(case.embeddings.shape)
        return self._outcome(case, rows, labels, loss, gradient)

    def _rows(self, case: Case) -> Array:
        return self._put(self.bare.rows(case), case.dtype)

    def _labels(self, case: Case) -> Array | None:
        return None if case.labels is None else self._put(case.labels, case.labels.dtype.name)

    def _call(self, case: Case, rows: Array, labels: Array | None) -> Array:
        unit = self.bare.unit_input and case.parameters.get("normalize", True)
        value = self.bare(case, _unit_rows(rows) if unit else rows, labels)
        kinds = (Array, np.ndarray, np.generic, float, int)
        return jnp.asarray(self.bare.returned(value, "a jax.Array or a number", *kinds))

    def _outcome(
        self,
        case: Case,
        rows: Array,
        labels: Array | None,
        loss: Array,
        gradient: Array | None = None,
    ) -> Outcome:
        left = None if labels is None else np.asarray(labels)
        return Outcome(
            self.bare.losses(_array(loss), case),
            None if gradient is None else _array(gradient),
            loss_dtype=loss.dtype.name,
            gradient_dtype=None if gradient is None else gradient.dtype.name,
            intact=intact(case, _array(rows), left),
        )

    def _put(self, value: object, dtype: str) -> Array:
        put: Array = jax.device_put(np.asarray(value, jnp.dtype(dtype)), self.device)
        return put


implementation = BareJax


def _unit_rows(rows: Array) -> Array:
    """Return SUP-1 and SUP-2, differentiably, in the compute dtype; squares do not overflow."""
    full = rows.astype(contract.COMPUTE_DTYPES[rows.dtype.name])
    largest = jnp.abs(jax.lax.stop_gradient(full)).max(axis=-1, keepdims=True)
    scaled = full / jnp.where(largest > 0, largest, 1)
    squares = jnp.square(scaled).sum(axis=-1, keepdims=True)
    is_zero = jnp.sqrt(jax.lax.stop_gradient(squares)) * largest < contract.MIN_NORM
    # both replaced before the root and the quotient, whose derivatives are NaN at 0
    return jnp.where(is_zero, 0, scaled) / jnp.sqrt(jnp.where(is_zero, 1, squares))


def _array(value: Array) -> Float64:
    return np.asarray(value, dtype=np.float64)
