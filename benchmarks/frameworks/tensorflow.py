"""Runs candidates in TensorFlow: `tf.function`, as a graph and compiled by XLA."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tuned_contrastive.backends.tensorflow import supcon_loss, tcl_loss
from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Batch, Case
from tuned_contrastive.benchmarks.frameworks import Candidate, Step
from tuned_contrastive.benchmarks.peers import tensorflow as peers

OURS: dict[str, Callable[..., Any]] = {"supcon": supcon_loss, "tcl": tcl_loss}
REPEATS = 32


class TensorFlow:
    """TensorFlow on the CPU."""

    name = "tensorflow"

    def __init__(self, threads: int, device: str) -> None:
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(threads)

    def candidates(self, case: Case) -> list[Candidate]:
        """Return ours and the lean formula, both as a graph and under XLA."""
        ours, lean = OURS[case.loss], peers.LEAN[case.loss]
        dense = frameworks.with_block_size(ours, 0)
        return [
            Candidate(frameworks.OURS, ours, mode="graph", is_ours=True),
            Candidate(frameworks.OURS_XLA, ours, mode="xla", is_ours=True),
            Candidate(frameworks.OURS_DENSE, dense, 9, "graph", is_ours=True),
            Candidate(frameworks.LEAN, lean, 6, mode="graph"),
            Candidate(frameworks.LEAN_XLA, lean, 3, mode="xla"),
        ]

    def rival(self, name: str, loss: Callable[..., Any]) -> Candidate:
        """Return a user's callable as a candidate, in a graph."""
        return Candidate(name, lambda embeddings, labels, **_: loss(embeddings, labels), 0, "graph")

    def step(self, candidate: Candidate, case: Case, batch: Batch) -> Step:
        """Return a call of value and gradient as one function."""
        compiled, *arguments = self._program(candidate, case, batch)
        return lambda: compiled(*arguments)

    def numbers(self, found: Any, case: Case) -> dict[str, NDArray[np.float64]]:
        """Return a step's result by name."""
        names = ("loss", "embeddings", *(case.parameters if case.learnable else ()))
        return {
            name: np.asarray(tf.convert_to_tensor(value), np.float64)
            for name, value in zip(names, found, strict=True)
        }

    def floor_steps(self, side: int) -> tuple[Step, Step, int]:
        """Return a product and exponentials, each a function of a graph."""
        a, b = tf.random.normal((side, side)), tf.random.normal((side, side))
        block = tf.random.uniform((512, 512))
        product = tf.function(tf.matmul)

        @tf.function  # type: ignore[untyped-decorator]
        def exponents(block: Any) -> Any:
            found = [tf.exp(block)]
            for _ in range(REPEATS - 1):  # one after the other, so that each is in the cache
                with tf.control_dependencies(found[-1:]):
                    found.append(tf.exp(block))
            return [each[0, 0] for each in found]  # of one that nobody reads the graph is rid

        return lambda: product(a, b), lambda: exponents(block), REPEATS * 512 * 512

    def compiled_step(
        self, candidate: Candidate, case: Case, batch: Batch
    ) -> tuple[Step, int | None]:
        """Return the step with its graph traced; TensorFlow has no figure."""
        compiled, *arguments = self._program(candidate, case, batch)
        concrete = compiled.get_concrete_function(*arguments)
        return lambda: concrete(*arguments), None

    def operations(
        self, candidate: Candidate, case: Case, batch: Batch, calls: int
    ) -> dict[str, float]:
        """Return the seconds of each kind of operation in some steps.

        A fusion of XLA counts as its last operation.
        """
        from tensorflow.tsl.profiler.protobuf import xplane_pb2  # has no public name

        compiled, *arguments = self._program(candidate, case, batch)
        compiled(*arguments)
        kinds: dict[str, str] | None = None
        if candidate.mode == "xla":
            told = compiled.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")
            kinds = dict(re.findall(r'%([\w.-]+) = .*op_type="([^"]*)"', told))
        with tempfile.TemporaryDirectory() as folder:
            with tf.profiler.experimental.Profile(folder):
                for _ in range(calls):
                    compiled(*arguments)
            (file,) = Path(folder).rglob("*.xplane.pb")
            space = xplane_pb2.XSpace.FromString(file.read_bytes())
        found: defaultdict[str, float] = defaultdict(float)
        for plane in space.planes:
            for line in plane.lines:
                spans = [
                    (plane.event_metadata[e.metadata_id].name, e.offset_ps / 1e12,
                     (e.offset_ps + e.duration_ps) / 1e12)
                    for e in line.events
                ]  # fmt: skip
                for name, seconds in frameworks.own_seconds(spans).items():
                    node, _, kind = name.rpartition(":")
                    if kinds is not None:
                        if name in kinds:
                            found[kinds[name]] += seconds
                    elif node and not node.endswith(":"):  # an operation, not a function of C++
                        found[kind] += seconds
        return dict(found)

    def _program(self, candidate: Candidate, case: Case, batch: Batch) -> tuple[Any, ...]:
        rows, classes = frameworks.shaped(candidate, case, batch)
        x = tf.constant(rows)
        labels = None if classes is None else tf.constant(classes)
        fixed: dict[str, Any] = {} if case.learnable else dict(case.parameters)
        varied = [tf.constant(v, tf.float32) for v in case.parameters.values() if case.learnable]

        def value_and_gradient(x: Any, labels: Any, varied: list[Any]) -> Any:
            given = {**fixed, **dict(zip(case.parameters, varied, strict=False))}
            with tf.GradientTape() as tape:
                tape.watch([x, *varied])
                loss = candidate.loss(x, labels, **given)
            return loss, *tape.gradient(loss, [x, *varied])

        compiled = tf.function(value_and_gradient, jit_compile=candidate.mode == "xla")
        return compiled, x, labels, varied


make = TensorFlow
