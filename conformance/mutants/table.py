"""The mutants with the clause that each breaks, as table.toml has them."""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance import mutants
from tuned_contrastive.conformance.mutants.calling import Accepts
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.targets import require
from tuned_contrastive.conformance.vectors import load_vectors

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One wrong implementation."""

    name: str
    clause: str
    make: Callable[[], Implementation]

    @property
    def family(self) -> str:
        """The clause's letters."""
        return self.clause.partition("-")[0]


@cache
def load_table() -> Mapping[str, Any]:
    """Return table.toml as it stands."""
    return tomllib.loads((HERE / "table.toml").read_text(encoding="utf-8"))


@cache
def all_mutants() -> dict[str, type[Any]]:
    """Return every class of the folder that breaks a clause, by module and name.

    TargetError where PyTorch, whose losses some of them break, is not installed.
    """
    require("torch")
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "__init__")
    modules = [import_module(f"{mutants.__name__}.{name}") for name in names]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and vars(value).get("breaks")
    }


@cache
def rows() -> tuple[Row, ...]:
    """Return all that must be refused: the table's rows, then what it names further."""
    found = [row_of(entry) for entry in load_table()["rows"]]
    known = all_mutants()
    found += [Row(name, known[name].breaks, known[name]) for name in load_table()["further"]]
    return tuple(found)


def row_of(entry: Mapping[str, str]) -> Row:
    """Return what a row of the table means."""
    if "reject" in entry:
        (reject,) = (r for r in load_vectors().rejects if r.id == entry["reject"])
        return Row(f"accepts {reject.id}", entry["clause"], lambda: Accepts(reject))
    return Row(entry["mutant"], entry["clause"], all_mutants()[entry["mutant"]])
