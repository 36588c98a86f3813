"""The lock of the clauses: the hash of each text, and the tests to read again when it changes.

``python -m tuned_contrastive.conformance.lock`` tells what differs from ``spec/clauses.lock``, and
exits with 1 if anything does; ``--update`` then writes it.
"""

import argparse
import ast
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance.parametrise import MODE_CLAUSES, cited
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.conformance.writing import write_text
from tuned_contrastive.spec.clauses import load_clauses

HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "spec" / "clauses.lock"
Lock = Mapping[str, Mapping[str, Any]]
NOTHING: Mapping[str, Any] = {"sha256": "", "tests": ()}
"""The entry of a clause that is new, or gone."""


def main(arguments: list[str] | None = None) -> int:
    """Tell which clauses differ and which tests cite them, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tuned_contrastive.conformance.lock",
        description="Tells which clauses changed, and which tests to read again.",
    )
    parser.add_argument("--update", action="store_true", help="write the lock once they were read")
    options = parser.parse_args(arguments)
    found, locked = current(), load()
    told = changes(locked, found)
    sys.stdout.write("".join(f"{line}\n" for line in told))
    if options.update:
        write_text(LOCK, json.dumps(found, indent=1) + "\n")
        return 0
    return 0 if found == locked else 1


def load() -> Lock:
    """Return the lock as it is written; empty where there is none."""
    if not LOCK.is_file():
        return {}
    found: Lock = json.loads(LOCK.read_text(encoding="utf-8"))
    return found


def current() -> Lock:
    """Return the lock that the specification and the tests as they are would have."""
    tests = citations()
    return {
        name: {"sha256": clause.digest, "tests": sorted(set(tests.get(name, ())))}
        for name, clause in load_clauses().items()
    }


def changes(locked: Lock, found: Lock) -> list[str]:
    """Return what differs, in words: a line per clause, and one per test to read again."""
    lines = []
    for name in dict.fromkeys((*locked, *found)):
        old, new = locked.get(name, NOTHING), found.get(name, NOTHING)
        if old == new:
            continue
        told = "is cited by other tests"
        if old["sha256"] != new["sha256"]:
            told = "changed; read these tests again"
        lines.append(f"{name} {told}")
        lines += [f"  {test}" for test in sorted({*old["tests"], *new["tests"]})]
    return lines


def citations() -> dict[str, list[str]]:
    """Return by clause the tests that cite it, and the files of vectors that do."""
    found: dict[str, list[str]] = {}
    for clause, test in _citing():
        found.setdefault(clause, []).append(test)
    return found


def _citing() -> Iterator[tuple[str, str]]:
    """Yield clause and test, read from the source without importing it."""
    for path in sorted(HERE.rglob("test_*.py")):
        place = path.relative_to(HERE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                marks = [mark for mark in node.decorator_list if _is_citation(mark)]
                yield from ((c, f"{place}::{node.name}") for mark in marks for c in _named(mark))
    for mode, clauses in MODE_CLAUSES.items():
        yield from ((clause, f"suite/test_vectors.py, mode {mode}") for clause in clauses)
    vectors = load_vectors()
    named: list[tuple[str, Sequence[str]]] = [(each.id, each.clauses) for each in vectors.rejects]
    for vector in vectors.values:  # some are cited by a quantity or a dtype, in no vector's file
        for dtype, quantity in product(vector.dtypes, vector.expected):
            named.append((vector.id, cited(vector, dtype, quantity)))
    for name, clauses_cited in named:
        yield from ((clause, f"vectors of {name.rpartition('-')[0]}") for clause in clauses_cited)


def _is_citation(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.clause"


def _named(mark: Any) -> list[str]:
    return [arg.value for arg in mark.args if isinstance(getattr(arg, "value", None), str)]


if __name__ == "__main__":
    sys.exit(main())
