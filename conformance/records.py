"""What happened in a run: one record per test that ran, one per test that did not apply."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ran:
    """One test that ran; `share` is the largest share of the allowed error that it measured."""

    test: str
    clauses: tuple[str, ...]
    status: str
    """"pass", "fail", or "error" where the suite itself broke."""
    share: float | None = None
    message: str = ""
    vector: str | None = None
    dtype: str | None = None
    quantity: str | None = None


@dataclass(frozen=True)
class NotApplicable:
    """One test that the implementation's claims leave out."""

    test: str
    clauses: tuple[str, ...]
    reason: str
    vector: str | None = None


@dataclass
class Records:
    """Everything that one run saw."""

    ran: list[Ran] = field(default_factory=list)
    not_applicable: list[NotApplicable] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    """The tests on vectors that apply, as collected: all of them must be in `ran`."""
    broken: list[str] = field(default_factory=list)
    """What kept the suite from being collected."""
