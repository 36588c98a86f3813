"""Judges the suite by wrong implementations: each has to fail at the clause that it breaks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from tuned_contrastive.conformance.judge import quantity_share
from tuned_contrastive.conformance.likeness import Answers, answer, answers, applies, differ
from tuned_contrastive.conformance.mutants.table import Row, rows
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.vectors import Vector, load_vectors
from tuned_contrastive.conformance.verdict import FAIL

_SOUND: dict[tuple[type[Implementation], str, str], bool] = {}
"""What is known of the code without a fault: some mutants have it in common."""


@dataclass(frozen=True)
class Judged:
    """What the suite says of one mutant."""

    row: Row
    ran: frozenset[str]
    """The tests of its clause that apply to it."""
    failed: tuple[str, ...]
    """Those that it fails; one that ends in an error of the suite is none of them."""
    sound: bool
    """Whether the same code without the fault passes them."""
    passing: float | None
    """The share of the vectors, as far as they apply, that it passes; None where none do."""

    @property
    def killed(self) -> bool:
        """Whether the suite refuses it, and does not refuse its twin without the fault."""
        return bool(self.failed) and self.sound


def judge_mutants(tell: Callable[[str, int, int], None]) -> Iterator[Judged]:
    """Judge every mutant by the tests of its clause, and by the vectors of its loss."""
    for number, row in enumerate(rows(), 1):
        yield judge(row)
        tell(row.name, number, len(rows()))


def judge(row: Row) -> Judged:
    """Judge one mutant and its twin; what it may keep from one call to the next starts afresh."""
    subject = row.make()
    result = _run(subject, row.clause)
    return Judged(
        row,
        ran=frozenset(record.test for record in result.ran),
        failed=tuple(record.test for record in result.ran if record.status == FAIL),
        sound=_is_sound(twin_of(subject), row.clause, subject),
        passing=_passing(row.make()),
    )


def same(one: Judged, other: Judged) -> bool:
    """Return whether all that both were asked ends alike for them, some of it wrong.

    What neither gets wrong says nothing: their faults show in different places.
    """
    tests = one.ran & other.ran
    failed = tests.intersection(one.failed)
    if failed != tests.intersection(other.failed):
        return False
    first, second = _answers(one.row), _answers(other.row)
    return not differ(first, second) and bool(failed or first.wrong.keys() & second.wrong.keys())


def twin_of(subject: Implementation) -> type[Implementation]:
    """Return the class of the same code without the fault: the nearest that breaks no clause."""
    bases = (c for c in type(subject).__mro__[1:] if hasattr(c, "capabilities"))
    return next((c for c in bases if not getattr(c, "breaks", "")), type(subject))


@cache
def _answers(row: Row) -> Answers:
    """Ask a mutant for the vectors of all losses that its code has."""
    subject = row.make()
    return answers(subject, twin_of(subject).capabilities.losses)


def _run(subject: Implementation, clause: str) -> Result:
    """Run the tests of a clause; an interrupt ends more than the one run that pytest ends."""
    result = run(subject, clauses={clause})
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _is_sound(twin: type[Implementation], clause: str, subject: Implementation) -> bool:
    """Return whether the code without the fault, claiming the same, passes the clause."""
    key = (twin, clause, repr(subject.capabilities))
    if key not in _SOUND:
        faultless = twin()
        faultless.capabilities = subject.capabilities
        result = _run(faultless, clause)
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


def _passing(subject: Implementation) -> float | None:
    """Return the share of the vectors that pass, of those that apply in the first dtype."""
    claims = subject.capabilities
    dtype = claims.dtypes[0]
    passed = [
        _passes(vector, dtype, subject)
        for vector in load_vectors().values
        if applies(vector, dtype, claims)
    ]
    return float(np.mean(passed)) if passed else None


def _passes(vector: Vector, dtype: str, subject: Implementation) -> bool:
    return all(
        quantity_share(quantity, got, vector.expected, vector.bounds, dtype) <= 1
        for quantity, got in answer(subject, vector, dtype).items()
    )
