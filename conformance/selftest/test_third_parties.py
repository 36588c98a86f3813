"""Every library that is installed deviates where known/*.toml says, and nowhere else."""

import subprocess
import sys

import pytest

from tuned_contrastive.conformance import targets

JUDGED = [name for name in targets.THIRD_PARTY if not targets.missing_package(name)]


@pytest.mark.clause("CNF-3")
@pytest.mark.parametrize("target", JUDGED)
def test_third_party_ends_as_declared(target: str) -> None:
    command = [sys.executable, "-m", "tuned_contrastive.conformance", target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_pinned_is_judged() -> None:
    assert set(targets.THIRD_PARTY) - set(JUDGED) <= set(targets.MAY_NOT_LOAD)
