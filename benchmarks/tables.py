"""Markdown tables from results: figures, targets met or missed, fitted exponents."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks import profiling, ratios, targets

Document = Mapping[str, Any]
FIT_FROM = 4096
"""Below it, what does not grow with N counts too much."""

OTHERS = 5
"""Operations that a profile names beside products and exponentials."""


def document(found: Document, alone: bool = True) -> str:
    """Return all tables of one result; alone it has those of targets and growth, too."""
    parts = [origin(found)]
    if found["what"] == "speed":
        parts += [_speed_table(*group) for group in _groups(found)]
        parts += [targets_table(found, None)] if alone else []
    elif found["what"] == "profile":
        return f"{parts[0]}\n{profile(found)}"
    else:
        parts += [_memory_table(*group) for group in _groups(found)]
        parts += [targets_table(None, found)] if alone else []
    parts.append(exponents(found))
    return "\n".join(part for part in parts if part)


def origin(found: Document) -> str:
    """Return one sentence on machine, versions and date, and one on what was measured apart.

    A measurement that was kept from another run tells that run's date and revision, and its
    processor where that was another.
    """
    where = found["environment"]
    apart: dict[str, list[str]] = {}
    every = Counter(each["framework"] for each in found["measurements"])
    for each in found["measurements"]:
        if "run" in each:
            at = f" at {each['run']['revision']}" if each["run"]["revision"] else ""
            cpu = each["run"].get("cpu", where["cpu"])
            on = "" if cpu == where["cpu"] else f" on {cpu}"
            run = f"{each['run']['date']}{at}{on}"
            apart.setdefault(run, []).append(each["framework"])
    told = [
        f"{run} ({', '.join(f'{n} of the {every[name]} cases of {name}' for name, n in of)})"
        for run, of in ((run, Counter(each).items()) for run, each in sorted(apart.items()))
    ]
    compared = "only times of one run compare, the machine's speed changes"
    others = f" In other runs, {compared}: {'; '.join(told)}." if told else ""
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    at = f", at {where['revision']}" if where.get("revision") else ""
    gib = f"{where['memory_gib']} GiB, " if where["memory_gib"] else ""
    kind = ("quick, " if found["quick"] else "") + ("partial, " if found["partial"] else "")
    return (
        f"{found['what'].capitalize()}, {kind}{where['date']}, {where['cpu']}, {where['cores']} "
        f"cores, {where['threads']} threads, {gib}Python {where['python']}, {versions}{at}."
        f"{others}\n"
    )


def targets_table(speed: Document | None, memory: Document | None) -> str:
    """Return the table of targets with a mark for each, and those beside the table."""
    sizes = sorted({N for target in targets.TARGETS for N in target.goals})
    rows = []
    for target in targets.TARGETS:
        of = targets.verdicts(target, speed, memory)
        rows.append([target.title, *(_cell(target.goals.get(N), of.get(N)) for N in sizes)])
    further: dict[str, dict[int, targets.Verdict]] = {}
    for title, measured, verdict in targets.further(speed):
        further.setdefault(title, {})[measured["N"]] = verdict
    for title, by_size in further.items():
        goal = targets.DENSE_OVER_LEAN if "lean" in title else targets.NO_CLIFF
        rows.append([title, *(_cell((goal, None), by_size.get(N)) for N in sizes)])
    rows = [row for row in rows if not {*row[1:]} <= {"", targets.UNJUDGED}]
    if not rows:
        return ""
    return table(["target: found, mark (must, stretch)", *(f"N = {N}" for N in sizes)], rows)


def exponents(found: Document) -> str:
    """Return the exponents of cost over N that fit our base cases."""
    said = []
    for framework, loss, variant, measured in _groups(found):
        if variant != "base":
            continue
        points = [(each["N"], value) for each in measured if (value := _ours(found, each))]
        points = [point for point in points if point[0] >= FIT_FROM]
        if len(points) > 1:
            told = f"{framework} {targets.LOSS_NAMES[loss]} N^{fitted_exponent(points):.2f}"
            said.append(f"{told} ({points[0][0]} to {points[-1][0]})")
    what = "time" if found["what"] == "speed" else "memory"
    return f"Fitted growth of our {what}: {', '.join(said)}.\n" if said else ""


def fitted_exponent(points: Sequence[tuple[int, float]]) -> float:
    """Return the slope of the least-squares line through the logarithms."""
    x, y = ([math.log(point[axis]) for point in points] for axis in (0, 1))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return over / sum((a - mean_x) ** 2 for a in x)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def duration(seconds: float) -> str:
    """Return three digits of a time in the unit that suits it."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def summary(speed: Document) -> str:
    """Return the README's table: our time, and times faster than the fastest rival."""
    base = [each for each in speed["measurements"] if each["variant"] == "base"]
    sizes = sorted({each["N"] for each in base})
    rows = []
    for framework, loss, variant, measured in _groups(speed):
        if variant == "base":
            by_size = {each["N"]: _faster(each) for each in measured}
            title = f"{framework} {targets.LOSS_NAMES[loss]}"
            rows.append([title, *(by_size.get(N, "–") for N in sizes)])
    return table(["value and gradient", *(f"N = {N}" for N in sizes)], rows)


def _faster(measured: Document) -> str:
    ours = ratios.fastest(measured, names.OURS, names.OURS_XLA)
    rival = ratios.fastest_rival(measured)
    if ours is None:
        return "ours has no figure"
    faster = f"{ratios.ratio(rival, ours):.2g}x" if rival else ratios.told_without(measured)
    return f"{duration(ours['median'])}, {faster}"


def _speed_table(framework: str, loss: str, variant: str, measured: Sequence[Document]) -> str:
    rows = []
    for each in measured:
        rival = ratios.fastest_rival(each)
        rows.append(
            [str(each["N"]), "floor", duration(each["floor"]["seconds"]), *["", "", "", ""]]
        )
        for candidate in each["candidates"]:
            rows.append([str(each["N"]), *_candidate(candidate, each, rival)])
    head = [
        "N",
        "",
        "median",
        "quartiles, rounds",
        "over the floor",
        "over the fastest rival",
        "first call, compilation in it",
    ]
    title = f"### {framework}, {targets.LOSS_NAMES[loss]}, {variant}\n\n"
    return title + table(head, rows)


def _candidate(candidate: Document, measured: Document, rival: Document | None) -> list[str]:
    if candidate["status"] != "timed":
        told = f"not timed, {candidate['status']}: {candidate['reason']}".replace("|", "/")
        return [candidate["name"], told, "", "", "", ""]
    seconds = candidate["median"]
    low, high = candidate["quartiles"]
    return [
        candidate["name"],
        duration(seconds),
        f"{duration(low)} to {duration(high)}, {len(candidate['seconds'])}",
        f"{ratios.over_floor(measured, candidate):.3g}",
        f"{ratios.ratio(candidate, rival):.3g}" if rival else "",
        duration(candidate["first_call"]),
    ]


def _memory_table(framework: str, loss: str, variant: str, measured: Sequence[Document]) -> str:
    rows = []
    for each in measured:
        if each["status"] == "measured":
            compiled = each["compiled_bytes"]
            cells = [f"{each['bytes'] / 2**20:.4g}"]
            cells.append("" if compiled is None else f"{compiled / 2**20:.4g}")
        else:
            cells = [f"{each['status']}: {each['reason']}".replace("|", "/"), ""]
        rows.append([str(each["N"]), each["name"], *cells])
    title = f"### {framework}, {targets.LOSS_NAMES[loss]}, {variant}: growth of peak memory\n\n"
    return title + table(["N", "", "MiB", "compiler's own figure, MiB"], rows)


def profile(found: Document) -> str:
    """Return what of each step's time its products, its exponentials and the rest take."""
    rows = []
    for each in found["measurements"]:
        floor = each["floor"]
        exponentials = each["N"] ** 2 * floor["seconds_per_exponential"]
        name = f"{each['framework']} {targets.LOSS_NAMES[each['loss']]}"
        variant = "" if each["variant"] == "base" else f", {each['variant']}"
        title = [name + variant, str(each["N"])]
        whole = floor["seconds"]
        cells = [duration(value) for value in (whole, whole - exponentials, exponentials)]
        rows.append([*title, "floor", *cells, ""])
        for candidate in (c for c in each["candidates"] if c.get("shares")):
            seconds, shares = candidate["median"], candidate["shares"]
            products, terms = (
                duration(seconds * profiling.share_of(shares, kind))
                for kind in (profiling.PRODUCTS, profiling.EXPONENTIALS)
            )
            rest = ", ".join(
                f"{name} {duration(seconds * share)}"
                for name, share in profiling.others(shares, OTHERS)
            )
            rows.append([*title, candidate["name"], duration(seconds), products, terms, rest])
    return table(["", "N", "", "all", "products", "exponentials", "most of the rest"], rows)


def _groups(found: Document) -> Iterator[tuple[str, str, str, list[Document]]]:
    """Yield the measurements of each framework, loss and variant, by their number of rows."""
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for each in found["measurements"]:
        key = (each["framework"], each["loss"], each["variant"])
        groups.setdefault(key, []).append(each)
    for (framework, loss, variant), measured in groups.items():
        yield framework, loss, variant, sorted(measured, key=lambda each: int(each["N"]))


def _ours(found: Document, measured: Document) -> float | None:
    if found["what"] == "speed":
        return ratios.median_of(measured, names.OURS)
    is_ours = measured["name"] == names.OURS and measured["status"] == "measured"
    return float(measured["bytes"]) if is_ours and measured["bytes"] else None


def _cell(goal: tuple[float, float | None] | None, verdict: targets.Verdict | None) -> str:
    if goal is None or verdict is None:
        return ""
    must, stretch = goal
    if not must or verdict.mark == "not measured":
        return verdict.told
    return f"{verdict.told} ({must:g}{'' if stretch is None else f', {stretch:g}'})"
