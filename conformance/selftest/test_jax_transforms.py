"""The tiled form of the JAX backend: what transforms make of it."""

import os
import subprocess
import sys
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
from tuned_contrastive.reference import tcl_gradients


@pytest.fixture
def rows() -> Float64:
    return sample_rows()


TRANSFORMS: dict[str, Any] = {
    "grad": lambda f, x, *s: jax.grad(f)(x, *s),
    "jvp": lambda f, *v: jax.jvp(f, v, tuple(jnp.cos(a) for a in v))[1],
    "jacfwd": lambda f, *v: jax.jacfwd(f, argnums=(1, 2, 3))(*v),
    "linearize": lambda f, *v: jax.linearize(f, *v)[1](*(jnp.cos(a) for a in v)),
    "vmap": lambda f, x, *s: jax.vmap(f, (0, None, None, 0))(
        jnp.stack([x, 2 * x[::-1] + 1]), *s[:2], jnp.stack([s[2], 2 * s[2]])
    ),
    "vmap of grad": lambda f, x, *s: jax.vmap(jax.grad(f), (0, None, None, None))(
        jnp.stack([x, x[::-1] + 1]), *s
    ),
    "grad of vmap": lambda f, x, *s: jax.grad(
        lambda x: jax.vmap(f, (0, None, None, None))(x, *s).sum()
    )(jnp.stack([x, x[::-1] + 1])),
    "checkpoint": lambda f, x, *s: jax.grad(jax.checkpoint(f), argnums=(0, 1))(x, *s),
    "transposed twice": lambda f, x, *s: jax.linear_transpose(
        jax.vjp(lambda x: f(x, *s), x)[1], jnp.ones(())
    )((jnp.cos(x),)),
    "grad of grad": lambda f, x, *s: jax.grad(
        lambda *v: (jax.grad(f)(*v) * jnp.cos(x)).sum(), argnums=(0, 1, 2, 3)
    )(x, *s),
    "jvp of jvp": lambda f, *v: jax.jvp(
        lambda *v: jax.jvp(f, v, v)[1], v, tuple(jnp.cos(a) for a in v)
    )[1],
    "hessian": lambda f, x, *s: jax.hessian(f, argnums=(1, 2, 3))(x, *s),
}

FIRST: dict[str, Any] = {
    "grad": lambda at, *v: at(*v)[1],
    "jvp": lambda at, *v: sum((d * np.cos(a)).sum() for d, a in zip(at(*v)[1:], v, strict=True)),
    "jacfwd": lambda at, *v: at(*v)[2:],
    "vmap": lambda at, x, *s: np.stack([at(x, *s)[0], at(2 * x[::-1] + 1, *s[:2], 2 * s[2])[0]]),
    "vmap of grad": lambda at, x, *s: np.stack([at(x, *s)[1], at(x[::-1] + 1, *s)[1]]),
    "checkpoint": lambda at, *v: at(*v)[1:3],
    "transposed twice": lambda at, x, *s: ((at(x, *s)[1] * np.cos(x)).sum(),),
}
"""What they are by the reference's loss and gradients in x, T, k1 and k2."""
FIRST |= {"linearize": FIRST["jvp"], "grad of vmap": FIRST["vmap of grad"]}


def compiled(function: Any, optimised: bool = False) -> Any:
    """Return a program; one that is not optimised is made sooner."""
    return jax.jit(
        function, compiler_options={} if optimised else {"xla_backend_optimization_level": 0}
    )


def expected(name: str, x: Float64, *scalars: Any) -> Any:
    """Return what a transform gives: second derivatives by all pairs, the rest by the reference."""
    labels = LABELS["uneven"]
    if name not in FIRST:
        plain = weighted(UPSTREAM, labels, 0)
        return compiled(lambda *v: TRANSFORMS[name](plain, *v))(*single(x, *scalars))

    def at(x: Float64, *scalars: Any) -> tuple[Any, ...]:
        given = dict(zip(SCALARS, scalars, strict=True), reduction="none")
        found = tcl_gradients(x, labels, **given, upstream=UPSTREAM)
        loss = (UPSTREAM * found.per_anchor).sum()
        return loss, found.embeddings, found.temperature, found.k1, found.k2

    return FIRST[name](at, x, *scalars)


def single(*values: Any) -> list[Any]:
    return [jnp.asarray(value, "float32") for value in values]


@pytest.mark.parametrize(
    ("name", "threshold"),
    [(name, N) for name in TRANSFORMS]
    + [(name, N + 1) for name in ("jvp", "vmap of grad", "grad of grad", "hessian")],
)
def test_transforms_on_both_sides_of_the_threshold(
    rows: Float64, name: str, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockwise, "THRESHOLD", (threshold, threshold))
    monkeypatch.setattr(blockwise, "BLOCK_SIZE", {"cpu": (10, 5)})
    loss = weighted(UPSTREAM, LABELS["uneven"], None)
    optimised = name in ("vmap of grad", "hessian")  # one that goes by tiles, one by all pairs
    transformed = compiled(lambda *v: TRANSFORMS[name](loss, *v), optimised)
    found = transformed(*single(rows, *SCALARS.values()))
    exact = expected(name, rows, *SCALARS.values())
    jax.tree.map(lambda a, b: close(a, b, 1e-4), found, exact)


def test_a_map_of_plain_calls(rows: Float64) -> None:
    name, loss = "vmap of grad", weighted(UPSTREAM, LABELS["uneven"], 5)
    found = TRANSFORMS[name](loss, *single(rows, *SCALARS.values()))
    exact = expected(name, rows, *SCALARS.values())
    jax.tree.map(lambda a, b: close(a, b, 1e-4), found, exact)


@pytest.mark.clause("GRD-13", "GRD-15")
def test_second_derivatives_of_few_rows_where_exponentials_are_large() -> None:
    random = np.random.default_rng(7)
    x, v = 1 + random.normal(size=(100, 4)) / 20, random.normal(size=(100, 4))

    def product(dtype: str) -> Any:
        loss = partial(supcon_loss, labels=np.zeros(100, int), temperature=0.025)
        along = jax.jit(lambda x, v: jax.jvp(jax.grad(loss), [x], [v])[1])
        return along(jnp.asarray(x, dtype), jnp.asarray(v, dtype))

    with jax.enable_x64(True):
        found, exact = product("float32"), np.asarray(product("float64"))
    # The term that divides by the square of a sum of e^40 is most of it.
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)


SHARDED = """
from functools import partial
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
from tuned_contrastive.backends.jax import tcl_loss

mesh, cut, whole = jax.make_mesh((2,), "a", axis_types=(AxisType.Auto,)), P("a"), P()
loss = partial(tcl_loss, temperature=0.3, k1=2.0, k2=0.5, normalize=False, block_size=3)
both = jax.jit(jax.value_and_grad(loss))
draw = np.random.default_rng(0)
given = jnp.asarray(draw.standard_normal((20, 5))), jnp.asarray(draw.integers(0, 4, 20))
for specs in ((cut, cut), (cut, whole), (whole, cut)):
    inputs = [v if s == cut else v[:10] for v, s in zip(given, specs)]
    first, second = ([v[k : k + 10] if s == cut else v for v, s in zip(inputs, specs)]
                     for k in (0, 10))

    def shard(x, y):
        x = x if specs[0] == cut else jax.lax.pcast(x, "a", to="varying")
        value, gradient = jax.value_and_grad(loss)(x, y)
        return value[None], gradient

    found = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=cut))(*inputs)
    for value, *halves in zip(found, both(*first), both(*second)):
        expected = np.concatenate([np.atleast_1d(half) for half in halves])
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
"""


def test_shards_of_a_mesh_have_losses_of_their_own() -> None:
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([sys.executable, "-c", SHARDED], env=environment, check=True)
