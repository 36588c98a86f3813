"""Judges the suite by wrong implementations: each has to fail at the clause that it breaks."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tuned_contrastive.conformance.applicability import Needs, why_not
from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.mutants.table import Row, rows
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.suite.test_vectors import case_of
from tuned_contrastive.conformance.vectors import Vector, load_vectors

_SOUND: dict[tuple[type[Implementation], str, str], bool] = {}
"""What is known of the code without a fault: some mutants have it in common."""


@dataclass(frozen=True)
class Judged:
    """What the suite says of one mutant."""

    row: Row
    failed: tuple[str, ...]
    """The tests of its clause that it fails."""
    sound: bool
    """Whether the same code without the fault passes them."""
    passing: float | None
    """The share of the vectors, as far as they apply, that it passes; None where none do."""
    fingerprint: str
    """The same for two mutants only where they cannot be told apart."""

    @property
    def killed(self) -> bool:
        """Whether the suite refuses it, and does not refuse its twin without the fault."""
        return bool(self.failed) and self.sound


def judge_mutants(tell: Callable[[str, int, int], None] | None = None) -> list[Judged]:
    """Judge every mutant by the tests of its clause, and by the vectors of its loss."""
    found = []
    for number, row in enumerate(rows(), 1):
        found.append(judge(row))
        if tell:
            tell(row.name, number, len(rows()))
    return found


def judge(row: Row) -> Judged:
    """Judge one mutant and its twin."""
    subject = row.make()
    result = _run(subject, row.clause)
    failed = tuple(record.test for record in result.failures if row.clause in record.clauses)
    passing, bits = _over_vectors(subject)
    seen = hashlib.sha256("\n".join((bits, *failed)).encode()).hexdigest()
    return Judged(row, failed, _is_sound(_root(subject), row.clause, subject), passing, seen)


def _run(subject: Implementation, clause: str) -> Result:
    """Run the tests of a clause; an interrupt ends more than the one run that pytest ends."""
    result = run(subject, clauses={clause})
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _root(subject: Implementation) -> type[Implementation]:
    """Return the class of the same code without the fault."""
    return next(c for c in reversed(type(subject).__mro__) if hasattr(c, "capabilities"))


def _is_sound(root: type[Implementation], clause: str, subject: Implementation) -> bool:
    """Return whether the code without the fault, claiming the same, passes the clause."""
    key = (root, clause, repr(subject.capabilities))
    if key not in _SOUND:
        twin = root()
        twin.capabilities = subject.capabilities
        result = _run(twin, clause)
        _SOUND[key] = bool(result.ran) and not result.failures
    return _SOUND[key]


def told(judged: Iterable[Judged]) -> str:
    """Return killed/all for each family of clauses, and who survived."""
    families: dict[str, list[Judged]] = {}
    for each in judged:
        families.setdefault(each.row.family, []).append(each)
    lines = [
        f"{family:<6} {sum(each.killed for each in members):>3}/{len(members)}"
        for family, members in families.items()
    ]
    for each in (each for members in families.values() for each in members if not each.killed):
        why = "its twin without the fault fails, too" if each.failed else "no test fails"
        lines.append(f"FAIL {each.row.name} survives at {each.row.clause}: {why}")
    return "\n".join(lines)


def _over_vectors(subject: Implementation) -> tuple[float | None, str]:
    """Return the share of the vectors that pass, and a digest of what came out."""
    dtype, digest, passed = subject.capabilities.dtypes[0], hashlib.sha256(), []
    for vector in load_vectors().values:
        if _applies(vector, dtype, subject):
            passed.append(_passes(vector, dtype, subject, digest.update))
    return float(np.mean(passed)) if passed else None, digest.hexdigest()


def _applies(vector: Vector, dtype: str, subject: Implementation) -> bool:
    views = vector.embeddings.ndim == 3
    needs = Needs(
        loss=vector.loss, dtype=dtype, parameters=vector.parameters, views=views,
        flat=not views, unlabelled=vector.labels is None,
    )  # fmt: skip
    return dtype in vector.dtypes and why_not(needs, subject.capabilities) is None


def _passes(
    vector: Vector, dtype: str, subject: Implementation, see: Callable[[bytes], None]
) -> bool:
    differentiable = "embeddings" in subject.capabilities.gradients
    case = case_of(vector, dtype)
    outcome = subject.gradients(case, vector.upstream) if differentiable else subject.loss(case)
    shares = []
    quantities = ("loss", "embeddings") if differentiable else ("loss",)
    for quantity in (name for name in quantities if name in vector.expected):
        got = getattr(outcome, quantity)
        see(np.asarray(got, np.float64).tobytes())
        shares.append(quantity_share(quantity, got, vector.expected, vector.bounds, dtype))
    return max(shares) <= 1
