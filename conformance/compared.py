"""The page "implementations compared": clauses down, libraries across, deviations in their words.

It follows from what a run of all targets found, kept beside it as JSON, and from known/*.toml.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance.known import load_deviations
from tuned_contrastive.conformance.run import environment
from tuned_contrastive.conformance.targets import OWN, distribution
from tuned_contrastive.conformance.writing import write_text
from tuned_contrastive.spec.clauses import FAMILIES, load_clauses
from tuned_contrastive.spec.contract import SPEC_VERSION

TITLES = {
    "numpy": "our reference",
    "torch": "our backend",
    "tensorflow": "our backend",
    "jax": "our backend",
    "pytorch_metric_learning": "SupConLoss",
    "pytorch_metric_learning_ntxent": "NTXentLoss",
    "optax": "ntxent",
    "monai": "ContrastiveLoss",
    "info_nce": "InfoNCE",
    "info_nce_paired": "InfoNCE, paired",
    "lightly": "NTXentLoss",
}
"""What each target is called by its users."""

LEFT_OUT = {"DST", "PRF", "CNF"}
"""Families that the page does not show: several ranks, memory and time, the suite itself."""

MARKS = {"pass": "yes", "not-applicable": "–", "fail": "FAIL", "error": "ERROR"}
HEAD = """\
# Implementations compared

Which clauses of the [specification](spec.md), version {version}, hold of which implementation.
Written by `python -m tuned_contrastive.conformance all --compared spec/implementations.md`.

"yes": every test that cites the clause passes. "–": the implementation does not offer what the
clause is about, or none of the suite's inputs that would show it is one that it takes: nothing is
said about that clause. Anything else says in the words of that library's users why some test of
the clause fails; a test may cite other clauses, too. A library that takes two views and no labels
is judged where every class has two rows. Memory, time and several ranks are left out. What is
not installed is a formula in
[section 12](spec.md#12-differences-from-published-code). What it had to fail and to pass stood in
[`rivals.toml`](../conformance/selftest/rivals.toml) before it ran; what its run refuted of that, or
showed beyond it, is in [`rivals_found.toml`](../conformance/selftest/rivals_found.toml).
"""
Facts = dict[str, Any]


def write(page: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the page, and the facts of the run beside it."""
    facts = facts_of(entries, environment())
    text, told = json.dumps(facts, indent=1, ensure_ascii=False), page_of(facts)
    write_text(facts_beside(page), text + "\n")
    write_text(page, told)


def facts_beside(page: Path) -> Path:
    """Return where the facts of a page are kept."""
    return page.parent / f"{page.stem}.json"


def facts_of(entries: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> Facts:
    """Return how every clause ended for every target, and the versions that were judged."""
    judged = [entry["target"] for entry in entries]
    packages = sorted({distribution(target) for target in judged})
    return {
        "spec_version": SPEC_VERSION,
        "versions": {package: versions[package].partition("+")[0] for package in packages},
        "clauses": {
            entry["target"]: {clause["id"]: clause["status"] for clause in entry["clauses"]}
            for entry in entries
        },
    }


def page_of(facts: Facts) -> str:
    """Return the page in Markdown."""
    parts = [HEAD.format(version=facts["spec_version"])]
    shown = [(family, title) for family, title in FAMILIES.items() if family not in LEFT_OUT]
    for section, (family, title) in enumerate(shown, 2):
        anchor = f"{section}-{title.lower().replace(' ', '-')}"
        rows = [name for name in load_clauses() if name.startswith(f"{family}-")]
        parts.append("\n".join([f"## {title}", "", *_table(facts, rows, anchor), ""]))
    parts.append("\n".join(["## Library by library", "", *_libraries(facts)]))
    missing = [f"{distribution(t)} {TITLES[t]}" for t in TITLES if t not in facts["clauses"]]
    if missing:
        parts.append(
            f"Not judged, because not installed or not loading there: {', '.join(missing)}.\n"
        )
    return "\n".join(parts)


def _table(facts: Facts, clauses: Sequence[str], anchor: str) -> Iterator[str]:
    heads = [_title(facts, target) for target in facts["clauses"]]
    yield f"| clause | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for name in clauses:
        cells = [_cell(target, name, ended[name]) for target, ended in facts["clauses"].items()]
        yield f"| [{name}](spec.md#{anchor}) | {' | '.join(cells)} |"


def _title(facts: Facts, target: str) -> str:
    name, package = TITLES[target], distribution(target)
    version = f"{package} {facts['versions'][package]}"
    return f"{name}, {version}" if target in OWN else f"{version} `{name}`"


def _cell(target: str, clause: str, status: str) -> str:
    if status != "known":
        return MARKS[status]
    told = (d.reason for d in load_deviations(target) if clause in d.clauses)
    return "; ".join(dict.fromkeys(told))


def _libraries(facts: Facts) -> Iterator[str]:
    for target in facts["clauses"]:
        deviations = load_deviations(target)
        for deviation in deviations:
            kept = [name for name in load_clauses() if name in deviation.clauses]
            yield (
                f"- {_title(facts, target)}, [{deviation.code}]({deviation.link}): "
                f"{deviation.reason} ({', '.join(kept)})."
            )
    yield ""
