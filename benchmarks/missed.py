"""What missed its target, with what the profile says of its time: generated, as all of the page."""

from collections.abc import Iterator, Mapping
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks import profiling, ratios, targets
from tuned_contrastive.benchmarks.tables import duration

Document = Mapping[str, Any]
MOST = 4
"""Operations that a line names."""

LEAST = 1e-3
"""Share of the time below which a rest is one of rounding."""

BY_XLA = ", compiled by XLA"
ALL_PAIRS = ", by all pairs (dense), whose products cost 6 N^2 D flops, not 4"


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
                yield f"{line} {_judged(target, N, speed, profile)}" if of_time else line
    for title, measured, verdict in targets.further(speed):
        if verdict.mark == "missed":
            line = f"{title}, N = {measured['N']}: {verdict.told}."
            watched = _watched(profile, measured)
            told = _excess(watched) if "lean" in title else _time(watched)
            yield line if verdict.value is None else f"{line} {told}"


def _judged(
    target: targets.Target, N: int, speed: Document | None, profile: Document | None
) -> str:
    """Return whether the profile's run missed the target too, our time, and the rival's."""
    measured = targets.base_of(speed, target.framework, target.loss, N)[0]
    watched = _watched(profile, measured)
    again = None
    every = (names.OURS, names.OURS_XLA, *target.rivals)
    if all(ratios.fastest(watched, n) for n in every if ratios.fastest(measured, n)):
        again = targets.verdicts(target, profile, None)[N]
    ours = ratios.fastest(measured, names.OURS, names.OURS_XLA)
    told = [_time(watched, ours["name"] if ours else names.OURS), _rival(target, measured, watched)]
    if again is not None and again.mark in ("met", "stretch"):
        told.insert(0, f"Not repeated in the profile's run: {again.value:.3g}.")
    return " ".join(filter(None, told))


def _rival(target: targets.Target, measured: Document, watched: Document) -> str:
    """Return what the judged rival's operations take; nothing where they were not watched."""
    judged = ratios.fastest(measured, *target.rivals)
    rival = _shares(watched, judged["name"]) if judged else None
    if rival is None:
        return ""
    products, exponentials = (
        duration(rival["median"] * profiling.share_of(rival["shares"], kind))
        for kind in (profiling.PRODUCTS, profiling.EXPONENTIALS)
    )
    told = f"products {products}, exponentials {exponentials}"
    return f"The rival, {rival['name']}, {duration(rival['median'])}: {told}."


def _time(watched: Document, program: str = names.OURS) -> str:
    """Return where our time goes, beside the floor's; all of it."""
    ours = _shares(watched, program)
    if ours is None:
        return "Not profiled."
    seconds, shares, floor = ours["median"], ours["shares"], watched["floor"]
    exponents = watched["N"] ** 2 * floor["seconds_per_exponential"]
    parts, rest = [], 1.0
    for what, kind, least in (
        ("products", profiling.PRODUCTS, floor["seconds"] - exponents),
        ("exponentials", profiling.EXPONENTIALS, exponents),
    ):
        share = profiling.share_of(shares, kind)
        parts.append(f"{what} {duration(seconds * share)} (the floor's {duration(least)})")
        rest -= share
    for name, share in profiling.others(shares, MOST):
        parts.append(f"{name} {duration(seconds * share)}")
        rest -= share
    if rest > LEAST:
        parts.append(f"the rest {duration(seconds * rest)}, in operations that take less")
    how = BY_XLA if program == names.OURS_XLA else ALL_PAIRS if _is_dense(watched) else ""
    over = f"{ratios.over_floor(watched, ours):.3g} times that run's floor"
    return f"Of {duration(seconds)}, {over}{how}: {', '.join(parts)}."


def _is_dense(watched: Document) -> bool:
    """Return whether ours is made of the very operations that it has with block_size=0."""
    ours, dense = (_shares(watched, name) for name in (names.OURS, names.OURS_DENSE))
    # A graph's own name ends in a number.
    made_of = [{n.rstrip("0123456789") for n in c["shares"]} for c in (ours, dense) if c]
    return len(made_of) == 2 and made_of[0] == made_of[1]


def _excess(watched: Document) -> str:
    """Return by which operations our dense form takes longer than the lean one."""
    ours, lean = (_shares(watched, name) for name in (names.OURS_DENSE, names.LEAN))
    if ours is None or lean is None:
        return "Not profiled."
    both = f"{duration(ours['median'])} beside {duration(lean['median'])}"
    again = ratios.ratio(ours, lean)
    if again <= targets.DENSE_OVER_LEAN:
        both = f"Not repeated in the profile's run: {again:.3g}. There {both}"
    more = {
        name: ours["median"] * share - lean["median"] * lean["shares"].get(name, 0.0)
        for name, share in ours["shares"].items()
    }
    largest = sorted(more.items(), key=lambda item: -item[1])[:MOST]
    told = [f"{name} {duration(seconds)} more" for name, seconds in largest if seconds > 0]
    rest = ours["median"] - lean["median"] - sum(max(seconds, 0.0) for _, seconds in largest)
    if abs(rest) > LEAST * ours["median"]:
        told.append(f"all others {duration(abs(rest))} {'more' if rest > 0 else 'less'}")
    return f"{both}, by operation: {', '.join(told)}."


def _watched(profile: Document | None, measured: Document) -> Document:
    """Return the profile's measurement of the same case; one without candidates where none is."""
    identity = ("framework", "loss", "N", "variant")
    for each in (profile or {}).get("measurements", ()):
        if all(each[name] == measured[name] for name in identity):
            found: Document = each
            return found
    return {"candidates": []}


def _shares(watched: Document, name: str) -> Document | None:
    """Return a candidate whose operations were told."""
    found = ratios.fastest(watched, name)
    return found if found is not None and found.get("shares") else None
