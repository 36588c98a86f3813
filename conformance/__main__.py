"""The command: ``python -m tuned_contrastive.conformance TARGET``."""

import argparse
import sys

from tuned_contrastive.conformance.adapters.callable import DTYPES as DTYPES_OF
from tuned_contrastive.conformance.command import judge_all, judge_one
from tuned_contrastive.conformance.protocol import DTYPES
from tuned_contrastive.conformance.targets import TargetError, known_targets
from tuned_contrastive.conformance.vectors import VectorError


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 as declared, 1 otherwise, 2 wrong usage."""
    options = parser().parse_args(arguments)
    try:
        return judge_all(options) if options.target == "all" else judge_one(options)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except VectorError as error:
        sys.stderr.write(f"the vectors are not what their manifest declares (CNF-1): {error}\n")
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tuned_contrastive.conformance",
        description="Tells whether a SupCon or TCL implementation is right, clause by clause.",
    )
    names = ", ".join((*known_targets(), "all"))
    made.add_argument("target", help=f"{names}, package.module:attribute or path/file.py:attribute")
    made.add_argument("--json", metavar="FILE", help="write the results as JSON")
    made.add_argument("--markdown", metavar="FILE", help="write the matrix as Markdown")
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
        "--performance", action="store_true", help="measure memory and time, too (PRF-1, PRF-2)"
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
