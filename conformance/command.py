"""What the command does: judge one target in this process, or each of all in its own."""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance import compared, report
from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.known import load_deviations
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.run import Result, run
from tuned_contrastive.conformance.targets import (
    OWN,
    TargetError,
    committed_not_applicable,
    installed_targets,
    known_targets,
    load_attribute,
    load_target,
    missing_package,
)
from tuned_contrastive.conformance.verdict import ClauseResult
from tuned_contrastive.spec.clauses import load_clauses

BARE = ("framework", "losses", "set", "assume", "input", "device", "dtype")
SECONDS_BETWEEN_LINES = 10.0


def judge_one(options: argparse.Namespace) -> int:
    """Judge the target in this process, and return the exit status."""
    target: str = options.target
    _check_clauses(options.clause)
    _check_files(options)
    if options.compared:
        raise TargetError("--compared goes with all")
    named = target in known_targets()
    result = run(
        _implementation(options),
        target=target,
        clauses=options.clause,
        tests=options.test,
        seed=options.seed,
        performance=options.performance,
        declared=load_deviations(target) if named else (),
        not_applicable=committed_not_applicable(target) if named and not options.dtype else None,
        progress=Progress(target),
        warnings_are_errors=target in OWN,
    )
    if result.partial and not result.ran and result.as_declared:
        raise TargetError("no test of that name or clause applies to the target")
    entry = report.entry_of(result)
    _say(report.table(entry))
    _say(report.failures(result, reproducing(options), options.seed))
    _write(options, [entry])
    return 0 if result.as_declared else 1


def judge_all(options: argparse.Namespace) -> int:
    """Judge every installed target in a process of its own, and return the exit status."""
    if any(getattr(options, name) for name in BARE):  # --device, too: numpy has none
        raise TargetError("options for a bare function or class go with one target, not with all")
    _check_clauses(options.clause)
    _check_files(options)
    if options.compared and (options.clause or options.test):
        raise TargetError("--compared needs the whole suite")
    entries = []
    for target in installed_targets():
        with tempfile.TemporaryDirectory() as folder:
            entries.append(_judge_apart(target, options, Path(folder) / "result.json"))
    _say(report.matrix(entries))
    for target in known_targets():
        if missing_package(target):
            _say(f"{target}: not judged, {missing_package(target)}")
    for entry in entries:
        _say(report.summary(entry))
    _write(options, entries)
    return 0 if all(entry["as_declared"] for entry in entries) else 1


def reproducing(options: argparse.Namespace) -> str:
    """Return the arguments that name the same target again."""
    words = [options.target]
    for name in BARE:
        given = getattr(options, name)
        values = given if isinstance(given, list) else [given] if given else []
        words += [word for value in values for word in (f"--{name}", value)]
    return shlex.join(words)


class Progress:
    """Tells how far a run is: a line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.began = self.told = time.monotonic()

    def __call__(self, test: str, done: int, total: int) -> None:
        """Tell that one more test has ended."""
        now = time.monotonic()
        line = f"{self.target}: {done}/{total} tests, {now - self.began:.0f} s"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}" + ("\n" if done == total else ""))
        elif done == total or now - self.told > SECONDS_BETWEEN_LINES:
            sys.stderr.write(f"{line}\n")
            self.told = now
        sys.stderr.flush()


def _implementation(options: argparse.Namespace) -> Implementation:
    """Return what the options name: a bare function or class, or an object of the protocol."""
    given = {name for name in BARE if getattr(options, name)}
    if options.target in known_targets() or not given:
        if given - {"device", "dtype"}:
            raise TargetError(f"{options.target} takes no options for a bare function or class")
        return load_target(options.target, options.device, tuple(options.dtype or ()))
    if not (options.framework and options.losses):
        raise TargetError("a bare function or class needs --framework and --losses")
    return bare_implementation(
        load_attribute(options.target),
        name=options.target,
        framework=options.framework,
        loss=options.losses,
        set_to=_settings(options.set),
        assume=options.assume,
        views=options.input == "views",
        device=options.device or "cpu",
        dtypes=tuple(options.dtype or ()),
    )


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """Return NAME=VALUE as a mapping; a value that is no JSON is a string."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise TargetError(f"--set takes NAME=VALUE, got {text!r}")
        try:
            found[name] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def _judge_apart(target: str, options: argparse.Namespace, file: Path) -> report.Entry:
    """Judge one target in a process of its own, and read back what it found."""
    words = [sys.executable, "-m", "tuned_contrastive.conformance", target, "--json", str(file)]
    words += [] if options.seed is None else ["--seed", str(options.seed)]
    words += ["--performance"] if options.performance else []
    for name in ("clause", "test"):
        words += [word for value in getattr(options, name) or () for word in (f"--{name}", value)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    _say(done.stdout)
    if not file.is_file() and done.returncode == 2 and (options.clause or options.test):
        return report.entry_of(Result(target, (), (), partial=True))  # nothing applies to it
    if not file.is_file():
        reason = f"its process ended with status {done.returncode} and no result"
        errors = tuple(ClauseResult(name, "error", reason=reason) for name in load_clauses())
        return report.entry_of(Result(target, errors, ()))
    found: list[report.Entry] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return found[0]


def _check_clauses(clauses: Sequence[str] | None) -> None:
    for name in clauses or ():
        if name not in load_clauses():
            raise TargetError(f"{name} is no clause of the specification")


def _check_files(options: argparse.Namespace) -> None:
    """Refuse a report that could not be written before anything is judged."""
    for file in (options.json, options.markdown, options.compared):
        if file and not Path(file).resolve().parent.is_dir():
            raise TargetError(f"{file} is in no folder that exists")


def _write(options: argparse.Namespace, entries: Sequence[report.Entry]) -> None:
    if options.json:
        text = json.dumps(report.document(entries), indent=2, allow_nan=False)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.markdown:
        Path(options.markdown).write_text(report.markdown(entries), encoding="utf-8")
    if options.compared:
        compared.write(Path(options.compared), entries)


def _say(text: str) -> None:
    if text.strip():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
