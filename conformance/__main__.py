"""The command: ``python -m tuned_contrastive.conformance TARGET``."""

import argparse
import sys

from tuned_contrastive.conformance import listing
from tuned_contrastive.conformance.adapters.callable import DTYPES as DTYPES_OF
from tuned_contrastive.conformance.command import judge_all, judge_mutants, judge_one, show
from tuned_contrastive.conformance.protocol import DTYPES
from tuned_contrastive.conformance.targets import TargetError, known_targets
from tuned_contrastive.conformance.vectors import VectorError

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


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 as declared, 1 otherwise, 2 wrong usage.

    130 where ctrl-C ended it: what had been judged is reported, marked as partial.
    """
    made = parser()
    options = made.parse_args(arguments)
    try:
        return _run(options, made)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except VectorError as error:
        sys.stderr.write(f"the vectors are not what their manifest declares (CNF-1): {error}\n")
        return 1


def _run(options: argparse.Namespace, made: argparse.ArgumentParser) -> int:
    """Do what the options ask for."""
    if options.list:
        sys.stdout.write(f"{listing.listed(options.list)}\n")
        return 0
    if options.mutants:
        return judge_mutants()
    if bool(options.target) == bool(options.program):
        made.error("give a target, or a --program")
    if options.show:
        return show(options)
    return judge_all(options) if options.target == "all" else judge_one(options)


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
    made.add_argument("--list", choices=listing.KINDS, help="say what there is, a line each")
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
    made.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    made.add_argument(
        "--acknowledge", action="store_true", help="record the shares of the allowed error"
    )
    made.add_argument(
        "--performance", action="store_true", help="measure memory and time, too (PRF-1, PRF-2)"
    )
    program = made.add_argument_group("a program of any language, instead of a target")
    program.add_argument("--program", metavar="COMMAND", help="what starts it (spec/protocol.md)")
    program.add_argument(
        "--time-limit", type=float, default=10.0, metavar="SECONDS", help="for one case (10)"
    )
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


if __name__ == "__main__":
    sys.exit(main())
