"""Judges a target in a process of its own: two frameworks in one would bend each other."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tuned_contrastive.conformance import report
from tuned_contrastive.conformance.files import TOLD_WRITTEN
from tuned_contrastive.conformance.run import Result, not_begun
from tuned_contrastive.conformance.targets import OWN
from tuned_contrastive.conformance.terminal import INTERRUPTED, say
from tuned_contrastive.conformance.verdict import ClauseResult
from tuned_contrastive.spec.clauses import load_clauses


@dataclass(frozen=True)
class Judged:
    """What the process of one target found, and how it ended."""

    entry: report.Entry
    status: int
    interrupted: bool
    """Whether ctrl-C ended it, or came while it was waited for."""

    @property
    def nothing_applied(self) -> bool:
        """Whether no test that was asked for applies to the target."""
        return self.status == 2 and bool(self.entry["as_declared"])

    @property
    def broke_down(self) -> bool:
        """Whether the process ended badly after it had written that all is as declared."""
        return bool(self.entry["as_declared"]) and self.status not in (0, 1, 2, INTERRUPTED)

    @property
    def well(self) -> bool:
        """Whether all is as declared, and as the ledger has it: of that the status alone tells."""
        return self.nothing_applied or (self.status == 0 and bool(self.entry["as_declared"]))


def judge_apart(target: str, options: argparse.Namespace) -> Judged:
    """Judge one target in a process of its own, and say what it said."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        said, status, interrupted = _ended(_words(target, options, file))
        say(said.replace(f"{TOLD_WRITTEN.format(file)}\n", ""))  # a file for us alone
        return Judged(_entry(target, file, status, interrupted), status, interrupted)


def _words(target: str, options: argparse.Namespace, file: Path) -> list[str]:
    """Return what starts the process."""
    words = [sys.executable, "-m", "tuned_contrastive.conformance", target, "--json", str(file)]
    words += [] if options.seed is None else ["--seed", str(options.seed)]
    words += ["--performance"] if options.performance else []
    words += ["--fail-fast"] if options.fail_fast else []
    words += ["--acknowledge"] if options.acknowledge and target in OWN else []
    for name in ("clause", "test", "vector"):
        words += [word for value in getattr(options, name) or () for word in (f"--{name}", value)]
    return words


def _ended(words: list[str]) -> tuple[str, int, bool]:
    """Return what a process said, its status, and whether it or we were interrupted."""
    interrupted = False
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.communicate()[0]
        except KeyboardInterrupt:  # which it may not have got: it writes what it has judged
            interrupted = True
            process.send_signal(signal.SIGINT)
            said = process.communicate()[0]
    interrupted |= process.returncode in (INTERRUPTED, -signal.SIGINT)
    return said, process.returncode, interrupted


def _entry(target: str, file: Path, status: int, interrupted: bool) -> report.Entry:
    """Return what a process wrote, or what is to be said of one that wrote nothing."""
    if file.is_file():
        found: list[report.Entry] = json.loads(file.read_text(encoding="utf-8"))["results"]
        return found[0]
    if interrupted:
        return report.entry_of(not_begun(target))
    reason = f"its process ended with status {status} and no result"
    errors = tuple(ClauseResult(name, "error", reason=reason) for name in load_clauses())
    return report.entry_of(Result(target, errors, ()))
