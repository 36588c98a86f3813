"""The README's migration table: the old call and ours give the same number (JAX)."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tuned_contrastive.backends.jax import supcon_loss
from tuned_contrastive.conformance.selftest import migration
from tuned_contrastive.conformance.selftest.migration import LABELS, Row, T, inputs

ROWS = [row for row in migration.rows() if row.library == "optax"]


@pytest.mark.parametrize("batch", LABELS)
@pytest.mark.parametrize("row", ROWS, ids=[row.library for row in ROWS])
def test_our_call_gives_their_number(row: Row, batch: str) -> None:
    arrays = {name: jnp.asarray(array) for name, array in inputs(batch).items()}
    theirs, ours = row.values({**arrays, "T": T, "optax": optax, "supcon_loss": supcon_loss})
    assert np.isclose(theirs, row.times(batch) * ours, rtol=1e-5, atol=0, equal_nan=True)


def test_a_batch_without_a_pair_is_nan_in_optax() -> None:
    x, labels = jnp.asarray(inputs("all")["x"]), jnp.arange(10)
    assert jnp.isnan(optax.losses.ntxent(x, labels, T))
    assert supcon_loss(x, labels, temperature=T) == 0


def test_table_has_optax() -> None:
    assert ROWS
