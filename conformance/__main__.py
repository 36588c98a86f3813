"""The command: ``python -m tuned_contrastive.conformance TARGET``."""

import argparse
import sys

from tuned_contrastive.conformance import listing
from tuned_contrastive.conformance.command import (
    INTERRUPTED,
    judge_all,
    judge_mutants,
    judge_one,
    show,
)
from tuned_contrastive.conformance.options import check, parser
from tuned_contrastive.conformance.run import INTERRUPTED as TOLD_INTERRUPTED
from tuned_contrastive.conformance.targets import TargetError
from tuned_contrastive.conformance.vectors import VectorError


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 as declared, 1 otherwise, 2 wrong usage.

    130 where ctrl-C ended it: what had been judged is reported, marked as partial.
    """
    options = parser().parse_args(arguments)
    try:
        check(options)
        return _run(options)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{TOLD_INTERRUPTED}\n")
        return INTERRUPTED
    except VectorError as error:
        sys.stderr.write(f"the vectors are not what their manifest declares (CNF-1): {error}\n")
        return 1


def _run(options: argparse.Namespace) -> int:
    """Do what the options ask for."""
    if options.list:
        sys.stdout.write(f"{listing.listed(options.list)}\n")
        return 0
    if options.mutants:
        return judge_mutants()
    if options.show:
        return show(options)
    return judge_all(options) if options.target == "all" else judge_one(options)


if __name__ == "__main__":
    sys.exit(main())
