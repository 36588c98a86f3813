"""What missed its target, with what the profile says of its time: generated, as all of the page."""

from collections.abc import Iterator, Mapping
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks import profiling, targets
from tuned_contrastive.benchmarks.tables import duration

Document = Mapping[str, Any]
MOST = 4
"""Operations that a line names."""


def lines(found: Mapping[str, Document]) -> str:
    """Return a line for each target that was missed; nothing where none was.

    Parameters
    ----------
    found : mapping
        Results by kind: ``speed``, ``memory`` and ``profile``, as far as they are there.
    """
    return "".join(f"- {line}\n" for line in _lines(found))


def _lines(found: Mapping[str, Document]) -> Iterator[str]:
    speed, profile = found.get("speed"), found.get("profile")
    for target in targets.TARGETS:
        for N, verdict in targets.verdicts(target, speed, found.get("memory")).items():
            if verdict.mark == "missed":
                must = target.goals[N][0]
                goal = f" ({must:g})" if must else ""
                line = f"{target.title}, N = {N}: {verdict.told}{goal}."
                of_time = target.measure != "growth" and verdict.value is not None
                key = (target.framework, target.loss, N, "base")
                yield f"{line} {_time(profile, key)}" if of_time else line
    for title, measured, verdict in targets.further(speed):
        if verdict.mark == "missed":
            key = (measured["framework"], measured["loss"], measured["N"], measured["variant"])
            line = f"{title}, N = {measured['N']}: {verdict.told}."
            told = _excess(profile, key) if "lean" in title else _time(profile, key)
            yield line if verdict.value is None else f"{line} {told}"


def _time(profile: Document | None, key: tuple[Any, ...]) -> str:
    """Return where our time goes, beside the floor's."""
    measured, ours = _watched(profile, key, names.OURS)
    if measured is None or ours is None:
        return "Not profiled."
    seconds, shares, floor = ours["median"], ours["shares"], measured["floor"]
    exponents = measured["N"] ** 2 * floor["seconds_per_exponential"]
    parts = []
    for what, kind, least in (
        ("products", profiling.PRODUCTS, floor["seconds"] - exponents),
        ("exponentials", profiling.EXPONENTIALS, exponents),
    ):
        taken = seconds * profiling.share_of(shares, kind)
        parts.append(f"{what} {duration(taken)} (the floor's {duration(least)})")
    parts += [f"{n} {duration(seconds * share)}" for n, share in profiling.others(shares, MOST)]
    over = f"{seconds / floor['seconds']:.3g} times that run's floor"
    return f"Of {duration(seconds)}, {over}: {', '.join(parts)}."


def _excess(profile: Document | None, key: tuple[Any, ...]) -> str:
    """Return by which operations our dense form takes longer than the lean one."""
    (_, ours), (_, lean) = (_watched(profile, key, n) for n in (names.OURS_DENSE, names.LEAN))
    if ours is None or lean is None:
        return "Not profiled."
    more = {
        name: ours["median"] * share - lean["median"] * lean["shares"].get(name, 0.0)
        for name, share in ours["shares"].items()
    }
    largest = sorted(more.items(), key=lambda item: -item[1])[:MOST]
    told = ", ".join(f"{name} {duration(seconds)}" for name, seconds in largest if seconds > 0)
    both = f"{duration(ours['median'])} beside {duration(lean['median'])}"
    if ours["median"] <= targets.DENSE_OVER_LEAN * lean["median"]:
        return f"Not in the run of the profile: {both}."
    return f"{both}, of which more: {told}."


def _watched(
    profile: Document | None, key: tuple[Any, ...], name: str
) -> tuple[Document | None, Document | None]:
    """Return the profile of a case, and that of one candidate in it."""
    for measured in (profile or {}).get("measurements", ()):
        case = (measured["framework"], measured["loss"], measured["N"], measured["variant"])
        if case == key:
            found = (c for c in measured["candidates"] if c["name"] == name and c.get("shares"))
            return measured, next(found, None)
    return None, None
