"""The benchmarks' command for a GPU, as far as it goes without one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tuned_contrastive.benchmarks import (
    frameworks,
    gpu,
    gpu_tables,
)
from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.conformance import files
from tuned_contrastive.conformance.selftest import sample_reports
from tuned_contrastive.conformance.selftest.sample_measurements import candidate, measurement

Document = dict[str, Any]


def test_gpu_without_one_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["gpu", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == "no CUDA device is visible to torch or jax: nothing was measured\n"
    assert not (tmp_path / "out").exists()


def test_gpu_cases_begin_small_and_end_large() -> None:
    sizes = [case.N for case in gpu.cases()]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1], len(sizes)) == (1024, 262144, 40)


def test_gpu_counts_the_clauses_of_a_report(tmp_path: Path) -> None:
    entry = sample_reports.every_kind()["results"][0]
    (tmp_path / "conformance-torch.json").write_text(
        files.as_json(sample_reports.every_kind() | {"results": [entry]}), encoding="utf-8"
    )
    counts = gpu._clauses(tmp_path, "torch")["clauses"]
    assert counts == Counter(clause["status"] for clause in entry["clauses"])


@pytest.mark.parametrize(("code", "status"), [(0, "conforms"), (1, "failed")])
def test_gpu_suites_leave_each_other_memory(
    code: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Document] = []

    class Ended:
        def __init__(self, command: list[str], **given: Any) -> None:
            started.append(given)

        def wait(self, seconds: float) -> int:
            return code

    monkeypatch.setattr("tuned_contrastive.benchmarks.gpu.subprocess.Popen", Ended)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    found = gpu._conformance(["torch", "jax"], tmp_path, 9.0)
    assert [each["status"] for each in found] == [status] * 2
    assert {given["env"]["XLA_PYTHON_CLIENT_PREALLOCATE"] for given in started} == {"false"}


def test_gpu_table_tells_what_did_not_fit() -> None:
    found = _gpu_document()
    told = gpu_tables.document(found)
    assert "Conformance of torch on CUDA: conforms (3 pass, 1 n/a)." in told
    assert "jax has no CUDA device here" in told
    assert "| torch | TCL | 1024 | 128 | float32 | 10 ms | 2 | 64 | 500 ms | 64 |" in told
    assert "- torch tcl N = 1024 base: lean dense, torch.compile, skipped, no time left" in told
    assert told.rindex("Not timed") < told.index("| framework |")
    assert "without a check" not in told


def test_gpu_table_tells_what_was_not_checked() -> None:
    found = _gpu_document()
    larger = found["measurements"][0] | {"checked": False}
    found["measurements"] += [larger | {"N": 65536}, larger | {"N": 262144, "candidates": []}]
    assert "Timed without a check of the numbers, as the truth takes long: N = 65536.\n" in (
        gpu_tables.document(found)
    )


def test_gpu_figure_is_drawn_from_its_json(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text(files.as_json(_gpu_document()), encoding="utf-8")
    assert main(["report", "--results", str(tmp_path)]) == 0
    assert (tmp_path / "gpu.svg").read_text(encoding="utf-8").count("torch, TCL") == 1
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "![time over N](gpu.svg)" in page
    assert "## Targets" not in page


def _gpu_document() -> Document:
    measured = measurement(1024, 0.01, 0.5) | {"checked": True}
    skipped = {"status": "skipped", "reason": "no time left"}
    measured["candidates"][1] = candidate(frameworks.LEAN, 0.5)
    measured["candidates"].append({"name": frameworks.LEAN_COMPILED, **skipped})
    where = {"card": "a card", "date": "today", "versions": {"torch": "2"}}
    clauses = {"pass": 3, "n/a": 1}
    return {
        "what": "gpu", "partial": False, "environment": where, "missing": ["jax"],
        "conformance": [{"framework": "torch", "status": "conforms", "clauses": clauses}],
        "measurements": [measured],
    }  # fmt: skip
