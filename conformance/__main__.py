"""The command: ``python -m tuned_contrastive.conformance TARGET``."""

import argparse
import signal
import sys

from tuned_contrastive.conformance.terminal import INTERRUPTED, TOLD_INTERRUPTED


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 as declared, 1 otherwise, 2 wrong usage.

    130 where ctrl-C ended it: what had been judged is reported, marked as partial.
    """
    try:
        # imported here, since loading may be interrupted, too
        from tuned_contrastive.conformance.options import parser

        return _guarded(parser().parse_args(arguments))
    except KeyboardInterrupt:
        sys.stderr.write(f"{TOLD_INTERRUPTED}\n")
        return INTERRUPTED


def _guarded(options: argparse.Namespace) -> int:
    """Do what the options ask for, and say in a sentence what was wrong with them."""
    from tuned_contrastive.conformance.options import check
    from tuned_contrastive.conformance.targets import SUITE_NEEDS, TargetError, require
    from tuned_contrastive.conformance.vectors import VectorError
    from tuned_contrastive.conformance.writing import NotWrittenError

    try:
        check(options)
        require(*SUITE_NEEDS)
        return _run(options)
    except TargetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NotWrittenError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except VectorError as error:
        sys.stderr.write(f"the vectors are not what their manifest declares (CNF-1): {error}\n")
        return 1


def _run(options: argparse.Namespace) -> int:
    """Do what the options ask for."""
    # imported here, since both need the packages that are asked for above
    from tuned_contrastive.conformance import command, listing

    if options.list:
        sys.stdout.write(f"{listing.listed(options.list)}\n")
        return 0
    if options.mutants:
        return command.judge_mutants()
    if options.show:
        return command.show(options)
    return command.judge_all(options) if options.target == "all" else command.judge_one(options)


if __name__ == "__main__":
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: only the interpreter still ends
    sys.exit(status)
