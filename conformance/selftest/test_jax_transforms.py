"""The tiled form of the JAX backend: what transforms make of it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tuned_contrastive.backends.jax import blockwise, supcon_loss
from tuned_contrastive.conformance.protocol import Float64
from tuned_contrastive.conformance.selftest.jax_samples import (
    LABELS,
    SCALARS,
    UPSTREAM,
    N,
    close,
    sample_rows,
    weighted,
)


@pytest.fixture
def rows() -> Float64:
    return sample_rows()


TRANSFORMS: dict[str, Any] = {
    "grad": lambda f, x, *s: jax.grad(f)(x, *s),
    "jvp": lambda f, *v: jax.jvp(f, v, tuple(jnp.ones_like(a) * 0.5 for a in v))[1],
    "jacfwd": lambda f, *v: jax.jacfwd(f, argnums=(1, 2, 3))(*v),
    "linearize": lambda f, *v: jax.linearize(f, *v)[1](*(0.5 * jnp.cos(a) for a in v)),
    "vmap": lambda f, x, *s: jax.vmap(f, (0, None, None, 0))(
        jnp.stack([x, 2 * x[::-1] + 1]), *s[:2], jnp.stack([s[2], 2 * s[2]])
    ),
    "vmap of grad": lambda f, x, *s: jax.vmap(jax.grad(f), (0, None, None, None))(
        jnp.stack([x, x[::-1] + 1]), *s
    ),
    "grad of vmap": lambda f, x, *s: jax.grad(
        lambda x: jax.vmap(f, (0, None, None, None))(x, *s).sum()
    )(jnp.stack([x, x[::-1] + 1])),
    "grad of grad": lambda f, x, *s: jax.grad(
        lambda *v: (jax.grad(f)(*v) * jnp.cos(x)).sum(), argnums=(0, 1, 2, 3)
    )(x, *s),
    "jvp of jvp": lambda f, *v: jax.jvp(
        lambda *v: jax.jvp(f, v, v)[1], v, tuple(jnp.cos(a) for a in v)
    )[1],
    "hessian": lambda f, x, *s: jax.hessian(f, argnums=(1, 2, 3))(x, *s),
    "checkpoint": lambda f, x, *s: jax.grad(jax.checkpoint(f), argnums=(0, 1))(x, *s),
    "transposed twice": lambda f, x, *s: jax.linear_transpose(
        jax.vjp(lambda x: f(x, *s), x)[1], jnp.ones(())
    )((jnp.cos(x),)),
}


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_do_not_depend_on_the_form(rows: Float64, name: str) -> None:
    given = [jnp.asarray(value, "float32") for value in (rows, *SCALARS.values())]
    tiled, plain = (weighted(UPSTREAM, LABELS["uneven"], size) for size in (5, 0))
    found = jax.jit(lambda *v: TRANSFORMS[name](tiled, *v))(*given)
    exact = jax.jit(lambda *v: TRANSFORMS[name](plain, *v))(*given)
    jax.tree.map(lambda a, b: close(a, b, 1e-4), found, exact)


@pytest.mark.parametrize("threshold", [N, N + 1], ids=["tiles", "all pairs"])
@pytest.mark.parametrize("name", ["jvp", "vmap of grad", "grad of grad", "hessian"])
def test_transforms_on_both_sides_of_the_threshold(
    rows: Float64, name: str, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "THRESHOLD", (threshold, threshold))
    given = [jnp.asarray(value, "float32") for value in (rows, *SCALARS.values())]
    chosen, plain = (weighted(UPSTREAM, LABELS["uneven"], size) for size in (None, 0))
    found = jax.jit(lambda *v: TRANSFORMS[name](chosen, *v))(*given)
    exact = jax.jit(lambda *v: TRANSFORMS[name](plain, *v))(*given)
    jax.tree.map(lambda a, b: close(a, b, 1e-4), found, exact)


@pytest.mark.parametrize("name", ["vmap of grad", "hessian"])
def test_transforms_of_plain_calls(rows: Float64, name: str) -> None:
    given = [jnp.asarray(value, "float32") for value in (rows, *SCALARS.values())]
    tiled, plain = (weighted(UPSTREAM, LABELS["uneven"], size) for size in (5, 0))
    found, exact = (TRANSFORMS[name](function, *given) for function in (tiled, plain))
    jax.tree.map(lambda a, b: close(a, b, 1e-4), found, exact)


@pytest.mark.clause("GRD-13", "GRD-15")
def test_second_derivatives_of_few_rows_where_exponentials_are_large() -> None:
    random = np.random.default_rng(7)
    x, v = 1 + random.normal(size=(100, 4)) / 20, random.normal(size=(100, 4))

    def product(dtype: str) -> Any:
        loss = partial(supcon_loss, labels=np.zeros(100, int), temperature=0.025)
        return jax.jvp(jax.grad(loss), [jnp.asarray(x, dtype)], [jnp.asarray(v, dtype)])[1]

    with jax.enable_x64(True):
        found, exact = product("float32"), np.asarray(product("float64"))
    # The term that divides by the square of a sum of e^40 is most of it.
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)
