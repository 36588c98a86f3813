"""Small measurements, as the benchmarks write them, for the tests of what reads them."""

from typing import Any

from tuned_contrastive.benchmarks import frameworks
from tuned_contrastive.benchmarks.cases import Case

Document = dict[str, Any]


def candidate(name: str, seconds: float | None) -> Document:
    """Return what is written of a candidate, which does not fit if it took None."""
    if seconds is None:
        return {"name": name, "status": "out of memory", "reason": "would need 128 GiB"}
    told = {"quartiles": [seconds, seconds], "first_call": seconds, "peak_bytes": 2**26}
    return {"name": name, "status": "timed", "median": seconds, "seconds": [seconds] * 3, **told}


def measurement(N: int, ours: float | None, rival: float | None) -> Document:
    """Return a measurement of torch TCL, ours beside the released form."""
    records = [candidate(frameworks.OURS, ours), candidate(frameworks.RELEASED, rival)]
    floor = {"seconds": 0.005, "flops_per_second": 1e11, "seconds_per_exponential": 1e-9}
    identity = Case("tcl", N).as_json()
    return {"framework": "torch", **identity, "floor": floor, "candidates": records}
