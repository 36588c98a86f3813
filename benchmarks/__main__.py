"""The command: ``python -m tuned_contrastive.benchmarks``, one subcommand for each measurement."""

import argparse
import math
import sys
from pathlib import Path
from typing import NoReturn

from tuned_contrastive.benchmarks import command, gpu, report
from tuned_contrastive.benchmarks.accuracy import command as accuracy
from tuned_contrastive.benchmarks.cases import FRAMEWORKS, LOSSES, Case
from tuned_contrastive.benchmarks.environment import cores
from tuned_contrastive.benchmarks.processes import UsageError, require
from tuned_contrastive.benchmarks.response import command as response
from tuned_contrastive.conformance.targets import missing
from tuned_contrastive.conformance.writing import NotWrittenError

EXAMPLES = """examples:
  everything of the targets, with figures (make bench does this, memory and profile):
    python -m tuned_contrastive.benchmarks speed --variants --json speed.json --plot speed.svg
  your own PyTorch loss, called as f(embeddings, labels), against ours:
    python -m tuned_contrastive.benchmarks speed --frameworks torch --losses supcon \\
        --sizes 1024 4096 --rival my_loss.py:my_supcon
  peak memory, each figure from a fresh process:
    python -m tuned_contrastive.benchmarks memory --frameworks jax --sizes 4096 16384
  which operations the time goes into, beside the floor:
    python -m tuned_contrastive.benchmarks profile --frameworks torch --sizes 256 4096
  on a GPU, with torch and jax only:
    python -m tuned_contrastive.benchmarks gpu --output gpu-results
  what the losses do to a pair, in figures:
    python -m tuned_contrastive.benchmarks response --output response
  accuracy of TCL, SupCon, cross-entropy and self-supervised rivals, with a page:
    python -m tuned_contrastive.benchmarks accuracy --output accuracy-results
"""


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; --help says more\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 broken down, 2 wrong usage."""
    options = parser().parse_args(arguments)
    try:
        if options.command in ("speed", "memory", "profile"):
            check(options)
        status: int = options.run(options)
        return status
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; what was measured is told, and kept where a file was named\n"
        )
        return command.INTERRUPTED
    except (RuntimeError, NotWrittenError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = _Parser(
        prog="python -m tuned_contrastive.benchmarks",
        description="Measures how fast, big and good SupCon and TCL are, and shows what they do.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(
        dest="command", required=True, metavar="speed|memory|profile|gpu|response|accuracy|report"
    )
    about = {
        "speed": "time of value and gradient",
        "memory": "peak memory of value and gradient",
        "profile": "shares of the operations of value and gradient",
    }
    for name, what in about.items():
        one = commands.add_parser(
            name, help=what, description=f"Measures the {what}.", epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        one.set_defaults(run=getattr(command, name))
        _add_measuring(one, name, Case("supcon", 2))
    one = commands.add_parser("gpu", help="conformance, speed and memory on CUDA")
    one.add_argument("--output", metavar="DIR", default="gpu-results", help="made if missing")
    one.add_argument("--seconds", type=float, default=520.0, help="for all of it (520)")
    one.set_defaults(run=gpu.run)
    one = commands.add_parser("response", help="figures of gradient responses, SupCon and TCL")
    one.add_argument("--output", metavar="DIR", required=True, help="made if missing")
    one.add_argument(
        "--embeddings", nargs="+", metavar="FILE.npz",
        help="also measure on these: arrays embeddings and labels",
    )  # fmt: skip
    one.add_argument("--batch-size", type=int, metavar="B", help="samples of a batch there (all)")
    for name, value in response.PARAMETERS.items():
        one.add_argument(f"--{name}", type=float, help=f"there ({value:g})")
    one.set_defaults(run=response.run)
    one = commands.add_parser("report", help="figures and tables from results")
    one.add_argument("--results", metavar="DIR", default=str(report.RESULTS))
    one.add_argument("--readme", metavar="FILE", help="also write the part between the markers")
    one.set_defaults(run=report.run)
    one = commands.add_parser("accuracy", help="the paper's claims about accuracy, on real data")
    accuracy.add_options(one)
    return made


def _add_measuring(one: argparse.ArgumentParser, command: str, base: Case) -> None:
    add = one.add_argument
    add("--frameworks", nargs="+", choices=FRAMEWORKS, help="those installed, by default")
    add("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    add("--sizes", nargs="+", type=int, metavar="N", help="rows of a batch")
    add("--dims", nargs="+", type=int, metavar="D", default=[base.D], help="columns (128)")
    add("--classes", nargs="+", type=int, metavar="C", default=[base.classes], help="(100)")
    add("--temperature", type=float, metavar="T", default=base.temperature, help="(0.1)")
    add("--learnable", action="store_true", help="T, k1 and k2 get gradients, too")
    add("--json", metavar="FILE", help="write the results")
    add("--keep", action="store_true", help="in FILE of --json, what is not measured again")
    add("--threads", type=int, metavar="N", default=min(2, cores()), help="(2)")
    add("--quick", action="store_true", help="small sizes, few samples: does it work")
    one.set_defaults(variants=False, rival=None, plot=None, seconds=1.0, memory_limit=0.0)
    add("--memory-limit", type=float, default=0.0, metavar="GIB", help="by default what is free")
    if command == "profile":
        return
    add("--rival", metavar="FILE.py:attribute", help="f(embeddings, labels) of one framework")
    add("--plot", metavar="FILE", help="draw them, .png or .svg")
    if command == "speed":
        add("--variants", action="store_true", help="also the further cases of the targets")
        add("--seconds", type=float, default=2.5, help="of rounds for one case (2.5)")


def check(options: argparse.Namespace) -> None:
    """Refuse wrong usage before any work."""
    require(*(options.frameworks or ()))
    if not options.frameworks:
        options.frameworks = [name for name in FRAMEWORKS if not missing(name)]
    wrong = [
        ("--sizes must be 2 or more", any(N < 2 for N in options.sizes or ())),
        ("--dims must be 1 or more", any(D < 1 for D in options.dims)),
        ("--classes must be 1 or more", any(C < 1 for C in options.classes)),
        ("--temperature must be finite and > 0", not 0 < options.temperature < math.inf),
        (f"--threads must be 1 to {cores()}", not 1 <= options.threads <= cores()),
        ("--seconds must be > 0", not 0 < options.seconds < math.inf),
        ("--memory-limit must be >= 0", not 0 <= options.memory_limit < math.inf),
        ("--rival needs --frameworks with one framework", bool(options.rival)
         and len(options.frameworks) != 1),
        ("--rival takes embeddings and labels only, not --learnable", bool(options.rival)
         and options.learnable),
        ("no framework is installed", not options.frameworks),
    ]  # fmt: skip
    for sentence, is_wrong in wrong:
        if is_wrong:
            raise UsageError(sentence)
    _check_files(options)


def _check_files(options: argparse.Namespace) -> None:
    if options.rival:
        file, colon, attribute = options.rival.rpartition(":")
        if not (colon and attribute and file.endswith(".py")):
            raise UsageError(f"--rival must be FILE.py:attribute, got {options.rival}")
        if not Path(file).is_file():
            raise UsageError(f"{file} is no file")
    for name in filter(None, (options.json, options.plot)):
        if not Path(name).resolve().parent.is_dir():
            raise UsageError(f"{name} is in no folder that exists")
        if Path(name).is_dir():
            raise UsageError(f"{name} is a folder")
    if options.plot and Path(options.plot).suffix not in (".png", ".svg"):
        raise UsageError(f"--plot must end in .png or .svg, got {options.plot}")
    if options.plot:
        require("matplotlib")


if __name__ == "__main__":
    sys.exit(main())
