"""The options of the command: what there is, and what goes with what."""

import argparse
from collections.abc import Mapping

from tuned_contrastive.conformance.adapters.callable import DTYPES as DTYPES_OF
from tuned_contrastive.conformance.protocol import DTYPES
from tuned_contrastive.conformance.targets import OWN, TargetError, known_targets

LISTS = ("clauses", "vectors", "mutants")
REPORTS = ("--json", "--markdown", "--junit", "--html")
NARROWING = ("--clause", "--test", "--vector", "--fail-fast")
BARE = ("--framework", "--losses", "--set", "--assume", "--input", "--device", "--dtype")
MEASURING = ("--seed", "--performance")

ALONE = {"--list": "it judges nothing", "--mutants": "it judges the suite itself"}
"""What goes with nothing else, and why."""

APART = (
    ("--show", (*REPORTS, "--compared", "--acknowledge", *MEASURING), "it judges nothing"),
    ("--show", ("--clause", "--test", "--fail-fast"), "it runs no test"),
    ("all", ("--show", "--program", *BARE), "that is for one target"),
    ("--program", ("a target",), "it stands instead of one"),
    ("--program", BARE, "that is for a bare function or class"),
    ("--compared", NARROWING, "it needs the whole suite"),
    ("--acknowledge", (*NARROWING, "--device", "--dtype"), "it needs the whole suite"),
    ("--vector", MEASURING, "no test of a vector draws or measures"),
)
"""What does not go with what, and why: nothing that is given may be without effect."""

NEEDS = {"--show": "--vector", "--time-limit": "--program", "--compared": "all"}

LONGEST_TIME = 1e6
"""More seconds would be beyond what the clock of a thread that waits can hold."""

EXAMPLES = """examples:
  one of ours, or of those that are declared (make conformance judges all of them):
    python -m tuned_contrastive.conformance torch
  a function of yours, here with PyTorch's arrays:
    python -m tuned_contrastive.conformance my_loss.py:my_supcon --framework torch \\
        --losses supcon --assume normalizes
  a program of any language, over one line of JSON per case (spec/protocol.md):
    python -m tuned_contrastive.conformance --program "node client.mjs"
  one clause until it fails, then one vector with its numbers:
    python -m tuned_contrastive.conformance torch --clause TCL-4 --fail-fast
    python -m tuned_contrastive.conformance torch --vector supcon-001 --show
  what there is, and whether the suite refuses what is wrong:
    python -m tuned_contrastive.conformance --list clauses
    python -m tuned_contrastive.conformance --mutants
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tuned_contrastive.conformance",
        description="Tells whether a SupCon or TCL implementation is right, clause by clause.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join((*known_targets(), "all"))
    made.add_argument(
        "target", nargs="?", help=f"{names}, package.module:attribute or path/file.py:attribute"
    )
    made.add_argument("--list", choices=LISTS, help="say what there is, a line each")
    made.add_argument(
        "--mutants", action="store_true", help="judge the suite: it has to refuse each of them"
    )
    made.add_argument("--json", metavar="FILE", help="write the results as JSON")
    made.add_argument("--markdown", metavar="FILE", help="write the matrix as Markdown")
    made.add_argument("--junit", metavar="FILE", help="write the cases as JUnit XML")
    made.add_argument(
        "--html", metavar="FILE", help="write matrix and cases as one page to open in a browser"
    )
    made.add_argument(
        "--compared", metavar="FILE", help="with all: write the page of spec/implementations.md"
    )
    made.add_argument(
        "--seed", type=int, metavar="N", help="draw the laws' examples with this seed"
    )
    made.add_argument(
        "--clause", action="append", metavar="ID", help="run only the tests that cite this clause"
    )
    made.add_argument("--test", action="append", metavar="NAME", help="run only this test")
    made.add_argument(
        "--vector", action="append", metavar="ID", help="run only the tests on this vector"
    )
    made.add_argument(
        "--show", action="store_true", help="print the vector, what came out, and the difference"
    )
    made.add_argument(
        "--fail-fast", action="store_true", help="stop at the first failure that is not declared"
    )
    made.add_argument(
        "--acknowledge", action="store_true", help="record the shares of the allowed error"
    )
    made.add_argument(
        "--performance", action="store_true", help="measure memory and time, too (PRF-1, PRF-2)"
    )
    program = made.add_argument_group("a program of any language, instead of a target")
    program.add_argument("--program", metavar="COMMAND", help="what starts it (spec/protocol.md)")
    program.add_argument("--time-limit", type=float, metavar="SECONDS", help="for one case (10)")
    bare = made.add_argument_group("a bare function or module class, instead of the protocol")
    bare.add_argument("--framework", choices=tuple(DTYPES_OF), help="whose arrays it takes")
    bare.add_argument("--losses", choices=("supcon", "tcl"), help="which loss it is")
    bare.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter that always has this value",
    )
    bare.add_argument(
        "--assume",
        choices=("normalizes", "unit-input"),
        help="what it does without a parameter normalize",
    )
    bare.add_argument("--input", choices=("flat", "views"), help="(N, D) or (B, V, D)")
    bare.add_argument("--device", help="where its arrays are, cpu by default")
    bare.add_argument("--dtype", action="append", choices=DTYPES, help="judge only this dtype")
    return made


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, values that cannot be, and a run of nothing."""
    given = _given(options)
    for name, value in given.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise TargetError(f"{name} must not be empty")
    _check_pairs(given)
    if not given.keys() & {*ALONE, "all", "a target", "--program"}:
        raise TargetError("give a target, or a --program")
    if options.acknowledge and options.target not in (*OWN, "all"):
        raise TargetError(f"--acknowledge goes with our own targets: {', '.join(OWN)}, or all")
    if options.time_limit is not None and not 0 < options.time_limit < LONGEST_TIME:
        raise TargetError(
            f"--time-limit must be > 0 and < {LONGEST_TIME:g}, got {options.time_limit:g}"
        )


def _given(options: argparse.Namespace) -> Mapping[str, object]:
    """Return what the user gave, by the name that it has in a sentence."""
    values = dict(vars(options))
    target = values.pop("target")
    given = {f"--{name.replace('_', '-')}": value for name, value in values.items()}
    given["all" if target == "all" else "a target"] = target
    return {n: v for n, v in given.items() if v is not None and v is not False and v != []}


def _check_pairs(given: Mapping[str, object]) -> None:
    alone = ((name, [other for other in given if other != name], ALONE[name]) for name in ALONE)
    for name, others, why in (*alone, *APART):
        for other in others:
            if name in given and other in given:
                raise TargetError(f"{name} does not go with {other}: {why}")
    for name, needed in NEEDS.items():
        if name in given and needed not in given:
            raise TargetError(f"{name} goes with {needed}")
