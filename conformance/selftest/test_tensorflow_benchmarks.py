"""What the benchmarks measure in TensorFlow is what they say."""

import pytest
from tensorflow.python.eager import context  # has no public name

from tuned_contrastive.benchmarks import frameworks, profiling
from tuned_contrastive.benchmarks.cases import Case
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


@pytest.mark.parametrize("name", [frameworks.OURS, frameworks.OURS_XLA])
def test_a_profile_names_the_operations_of_a_program(name: str) -> None:
    framework, case = TensorFlow.__new__(TensorFlow), Case("supcon", 64, 8)
    (chosen,) = (each for each in framework.candidates(case) if each.name == name)
    found = framework.operations(chosen, case, case.batch(), 2)
    assert profiling.share_of(found, profiling.PRODUCTS) > 0
    assert {"Sum", "Exp"} <= set(found)
