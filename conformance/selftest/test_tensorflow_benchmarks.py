"""What the benchmarks measure in TensorFlow is what they say."""

from tensorflow.python.eager import context  # has no public name

from tuned_contrastive.benchmarks.frameworks.tensorflow import TensorFlow


def test_the_floor_computes_every_exponential() -> None:
    framework = TensorFlow.__new__(TensorFlow)  # whose threads are set once in a process, at most
    _, exponents, count = framework.floor_steps(64)
    ran = context.context()
    ran.enable_run_metadata()
    exponents()
    (graph,) = ran.export_run_metadata().partition_graphs
    ran.disable_run_metadata()
    assert sum(node.op == "Exp" for node in graph.node) == count // 512**2 == 32
