"""The README's example for PyTorch, JAX and Keras, over seeds; each framework in its own process.

The worker, ``python -m tuned_contrastive.benchmarks.accuracy.frameworks NAME``, reads the keys of
runs as one list of JSON and writes one record a line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.benchmarks.accuracy.data import Part, load
from tuned_contrastive.benchmarks.accuracy.plan import Run

WORKER = [sys.executable, "-m", "tuned_contrastive.benchmarks.accuracy.frameworks"]
HIDDEN, WIDTH, BATCH, RATE = 64, 16, 128, 1e-3
Encode = Callable[[NDArray[np.float32]], Any]


def carry_out(framework: str, runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Yield the records of one framework's runs, as its process finishes them.

    Raises
    ------
    RuntimeError
        Where the process breaks down, with the last line that it said.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        worker = subprocess.Popen(
            [*WORKER, framework], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            text=True, env=environment,
        )  # fmt: skip
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(json.dumps([run.as_json() for run in runs]))
            worker.stdin.close()
            yield from map(json.loads, worker.stdout)
            code = worker.wait()
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        if code:
            said.seek(0)
            lines = said.read().strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"the process of {framework} ended with {code}: {lines[-1]}")


def measured(run: Run) -> dict[str, Any]:
    """Return the record of a run: the probe's accuracy on the test rows."""
    from sklearn.linear_model import LogisticRegression

    began = time.perf_counter()
    split = load(run.dataset, run.seed)
    encode = TRAINED[run.role](run.loss, split.train, run.seed, int(dict(run.parameters)["epochs"]))
    features, test = (np.asarray(encode(flat(part))) for part in (split.train, split.test))
    probe = LogisticRegression(max_iter=2000).fit(features, split.train.y)
    accuracy = float(probe.score(test, split.test.y))
    seconds = round(time.perf_counter() - began, 3)
    rows = {"train": len(features), "test": len(test)}
    found = {"test": {"linear": accuracy}, "rows": rows, "seconds": seconds}
    return {"key": run.key, "run": run.as_json(), **found}


def flat(part: Part) -> NDArray[np.float32]:
    """Return rows as vectors."""
    return part.x.reshape(len(part.x), -1)


def _torch(loss: str, train: Part, seed: int, epochs: int) -> Encode:
    import torch

    from tuned_contrastive.backends.torch import SupConLoss, TCLLoss

    torch.manual_seed(seed)
    x, y = torch.tensor(flat(train)), torch.tensor(train.y)
    encoder = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, WIDTH)
    )
    criterion = TCLLoss() if loss == "tcl" else SupConLoss()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=RATE)
    for batch in [
        batch for _ in range(epochs) for batch in torch.split(torch.randperm(len(x)), BATCH)
    ]:
        optimizer.zero_grad()
        criterion(encoder(x[batch]), y[batch]).backward()
        optimizer.step()
    return lambda rows: encoder(torch.tensor(rows)).detach()


def _jax(loss: str, train: Part, seed: int, epochs: int) -> Encode:
    import jax
    import optax

    from tuned_contrastive.backends.jax import supcon_loss, tcl_loss

    x, y = flat(train), train.y.astype(np.int32)
    keys = jax.random.split(jax.random.key(seed))
    weights = [
        jax.random.normal(keys[0], (x.shape[1], HIDDEN)) / x.shape[1] ** 0.5,
        jax.random.normal(keys[1], (HIDDEN, WIDTH)) / HIDDEN**0.5,
    ]
    criterion = tcl_loss if loss == "tcl" else supcon_loss

    def encode(weights: Any, rows: Any) -> Any:
        return jax.nn.relu(rows @ weights[0]) @ weights[1]

    def objective(weights: Any, rows: Any, labels: Any) -> jax.Array:
        return criterion(encode(weights, rows), labels)

    optimizer, slope = optax.adam(RATE), jax.jit(jax.grad(objective))
    state, rng = optimizer.init(weights), np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):  # whole batches: one shape to compile
            batch = order[start : start + BATCH]
            updates, state = optimizer.update(slope(weights, x[batch], y[batch]), state)
            weights = optax.apply_updates(weights, updates)
    return lambda rows: encode(weights, rows)


def _keras(loss: str, train: Part, seed: int, epochs: int) -> Encode:
    import keras

    from tuned_contrastive.backends.tensorflow import SupConLoss, TCLLoss

    keras.utils.set_random_seed(seed)
    x = flat(train)
    dense = keras.layers.Dense
    encoder = keras.Sequential(
        [keras.Input(x.shape[1:]), dense(HIDDEN, activation="relu"), dense(WIDTH)]
    )
    criterion = TCLLoss() if loss == "tcl" else SupConLoss()
    encoder.compile(optimizer=keras.optimizers.Adam(RATE), loss=criterion)
    encoder.fit(x, train.y, batch_size=BATCH, epochs=epochs, verbose=0)
    return lambda rows: encoder.predict(rows, verbose=0)


TRAINED = {"torch": _torch, "jax": _jax, "keras": _keras}


def main() -> None:
    """Answer the request on standard input."""
    for asked in json.load(sys.stdin):
        asked["parameters"] = tuple(sorted(asked["parameters"].items()))
        sys.stdout.write(json.dumps(measured(Run(**asked))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
