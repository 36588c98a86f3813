"""The short table of a GPU's results."""

from collections.abc import Mapping
from typing import Any

from tuned_contrastive.benchmarks import frameworks as names
from tuned_contrastive.benchmarks import ratios, tables, targets

Document = Mapping[str, Any]


def document(found: Document) -> str:
    """Return where it ran, what conforms there, and one row for each loss, size and dtype."""
    where = found["environment"]
    partial = " Partial: it was interrupted." if found["partial"] else ""
    parts = [f"{where['card']}, {where['date']}, {_versions(where)}.{partial}\n"]
    parts += [f"{name} has no CUDA device here: not judged, not measured.\n"
              for name in found["missing"]]  # fmt: skip
    for each in found["conformance"]:
        counts = ", ".join(f"{number} {status}" for status, number in each["clauses"].items())
        parts.append(f"Conformance of {each['framework']} on CUDA: {each['status']} ({counts}).\n")
    parts += [f"Broken down: {each}\n" for each in found.get("broken", ())]
    measured = found["measurements"]
    if measured:
        skipped = [
            f"{each['framework']} {each['loss']} N = {each['N']} {each['variant']}: "
            f"{candidate['name']}, {candidate['status']}, {candidate['reason']}"
            for each in measured
            for candidate in each["candidates"]
            if candidate["status"] in ("skipped", "failed", "wrong")
        ]
        parts += ["Not timed:\n", "".join(f"- {line}\n" for line in skipped)] if skipped else []
        if unchecked := sorted({each["N"] for each in measured if _is_unchecked(each)}):
            sizes = ", ".join(map(str, unchecked))
            why = "as the truth takes long"
            parts.append(f"Timed without a check of the numbers, {why}: N = {sizes}.\n")
        parts.append(tables.table(HEAD, [_row(each) for each in measured]))
    return "\n".join(parts)


HEAD = (
    "framework", "loss", "N", "D", "dtype", "ours", "over the floor", "peak, MiB",
    "dense autodiff", "its peak, MiB", "dense compiled",
)  # fmt: skip


def _row(measured: Document) -> list[str]:
    by_name = {each["name"]: each for each in measured["candidates"]}
    ours = ratios.median_of(measured, names.OURS)
    floor = measured["floor"]["seconds"]
    return [
        measured["framework"], targets.LOSS_NAMES[measured["loss"]], str(measured["N"]),
        str(measured["D"]), measured["dtype"],
        _time(by_name.get(names.OURS)), f"{ours / floor:.3g}" if ours else "",
        _peak(by_name.get(names.OURS)),
        _time(by_name.get(names.LEAN)), _peak(by_name.get(names.LEAN)),
        _time(by_name.get(names.LEAN_COMPILED)),
    ]  # fmt: skip


def _is_unchecked(measured: Document) -> bool:
    timed = any(candidate["status"] == "timed" for candidate in measured["candidates"])
    return timed and not measured["checked"]


def _time(candidate: Document | None) -> str:
    if candidate is None:
        return ""
    if candidate["status"] != "timed":
        return str(candidate["status"])
    return tables.duration(candidate["median"])


def _peak(candidate: Document | None) -> str:
    if candidate is None or candidate["status"] != "timed":
        return ""
    return f"{candidate['peak_bytes'] / 2**20:.4g}"


def _versions(where: Document) -> str:
    return ", ".join(f"{name} {version}" for name, version in where["versions"].items())
