"""What the command does: judge one target in this process, or each of all in its own."""

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuned_contrastive.conformance import compared, files, gate, ledger, names, report
from tuned_contrastive.conformance import options as options_of
from tuned_contrastive.conformance.adapters.callable import bare_implementation
from tuned_contrastive.conformance.adapters.program import Program
from tuned_contrastive.conformance.apart import Judged, judge_apart
from tuned_contrastive.conformance.interrupts import Interrupts
from tuned_contrastive.conformance.known import load_deviations
from tuned_contrastive.conformance.protocol import Implementation
from tuned_contrastive.conformance.run import Result, not_begun, run
from tuned_contrastive.conformance.showing import shown
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
from tuned_contrastive.conformance.terminal import INTERRUPTED, TOLD_INTERRUPTED, Progress, say
from tuned_contrastive.conformance.vectors import load_vectors
from tuned_contrastive.conformance.verdict import joined

BARE = tuple(name.removeprefix("--") for name in options_of.BARE)
TIME_LIMIT = 10.0
"""Seconds that a program has for one case."""


def judge_one(options: argparse.Namespace) -> int:
    """Judge the target in this process, and return the exit status."""
    target: str = options.target or options.program
    names.check(options)
    files.check(options)
    whole = not (options.device or options.dtype)
    with Interrupts() as interrupts:
        try:
            result = _result(target, options, whole, interrupts)
        except KeyboardInterrupt:  # while its framework was loaded
            result = not_begun(target)
        interrupts.held = True
        status = _reported(result, options, whole)
        return _after(interrupts, status, told=result.interrupted)


def _reported(result: Result, options: argparse.Namespace, whole: bool) -> int:
    """Say and write what was found, and return the exit status."""
    judged_whole = options.target in OWN and whole and not result.partial
    worse = _held_to_ledger(result, options.acknowledge) if judged_whole else []
    told = replace(result, notes=(*result.notes, *worse))
    entry = report.entry_of(told, reproducing(options))
    if result.partial and not result.ran and result.as_declared:
        _write(
            options, report.document([entry])
        )  # what does not apply, and why: a run of all reads it
        raise TargetError(_why_nothing_ran(result))
    say(report.table(entry))
    say(report.failures(result, reproducing(options)))
    _write(options, report.document([entry]))
    return 0 if result.as_declared and not worse else 1


def judge_mutants() -> int:
    """Judge the suite by its mutants, and return the exit status."""
    judged: list[gate.Judged] = []
    interrupted = False
    with Progress("mutants") as progress:
        try:
            judged.extend(gate.judge_mutants(progress))
        except KeyboardInterrupt:
            interrupted = True
    say(gate.told(judged))
    killed = sum(each.killed for each in judged)
    say(f"{killed}/{len(judged)} mutants fail at the clause that they break")
    if interrupted:
        say(TOLD_INTERRUPTED)
        return INTERRUPTED
    return 0 if killed == len(judged) else 1


def show(options: argparse.Namespace) -> int:
    """Print the vectors with what the target makes of them, and return the exit status.

    0 where all of it is right, 2 where none of them applies.
    """
    names.check(options)
    vectors = {vector.id: vector for vector in load_vectors().values}
    for name in options.vector:
        if name not in vectors:
            raise TargetError(f"{name} has no numbers to show: it is a call that must be refused")
    right = []
    with _implementation(options) as subject:
        for name in dict.fromkeys(options.vector):
            text, as_expected = shown(vectors[name], subject)
            say(text)
            right.append(as_expected)
    if set(right) == {None}:
        return 2
    return 1 if False in right else 0


def judge_all(options: argparse.Namespace) -> int:
    """Judge every installed target in a process of its own, and return the exit status."""
    names.check(options)
    files.check(options)
    with Interrupts() as interrupts:
        judged, interrupted = _judge_each(options)
        interrupts.held = True
        interrupts.came |= interrupted
        return _after(interrupts, _all_reported(judged, interrupted, options))


def _all_reported(judged: Sequence[Judged], interrupted: bool, options: argparse.Namespace) -> int:
    """Say and write what was found of all targets, and return the exit status."""
    if not interrupted and all(each.nothing_applied for each in judged):
        raise TargetError("no test that was asked for applies to any target")
    entries = [each.entry for each in judged]
    say(report.matrix(entries))
    document = report.document(entries, _not_judged(entries))
    say(report.PARTIAL if document["partial"] else "")
    for line in report.told_not_judged(document):
        say(line)
    for each in judged:
        say(report.summary(each.entry))
        if each.broke_down:
            say(f"{each.entry['target']}: its process ended with status {each.status}")
    _write(options, document)
    well = all(each.well for each in judged)
    if options.compared and well and not interrupted:  # else the page would lose what it says
        compared.write(Path(options.compared), entries)
        say(files.TOLD_WRITTEN.format(Path(options.compared).absolute()))
    return 0 if well else 1


def reproducing(options: argparse.Namespace) -> str:
    """Return the command that judges the same target again; ``--test`` makes it one case."""
    words = [options.target] if options.target else ["--program", options.program]
    for name in BARE:
        given = getattr(options, name)
        values = given if isinstance(given, list) else [given] if given else []
        words += [word for value in values for word in (f"--{name}", value)]
    words += [] if options.seed is None else ["--seed", str(options.seed)]
    words += ["--performance"] if options.performance else []
    words += ["--time-limit", f"{options.time_limit:g}"] if options.time_limit else []
    return f"{report.COMMAND} {shlex.join(words)}"


def _result(
    target: str, options: argparse.Namespace, whole: bool, interrupts: Interrupts
) -> Result:
    """Return what the suite finds of the target."""
    named = options.target in known_targets()  # a program may be called as one of them
    with _implementation(options) as subject, Progress(target) as progress:
        return run(
            subject,
            target=target,
            clauses=options.clause,
            tests=options.test,
            of_vectors=options.vector,
            seed=options.seed,
            performance=options.performance,
            declared=load_deviations(target) if named else (),
            not_applicable=committed_not_applicable(target) if named and whole else None,
            progress=progress,
            stop_at_first=options.fail_fast,
            warnings_are_errors=options.target in OWN,
            interrupts=interrupts,
        )


def _why_nothing_ran(result: Result) -> str:
    """Return why no test ran: there is none, or none applies."""
    reasons = [clause.reason for clause in result.clauses if clause.reason]
    if not reasons:
        return "there is no test of that name, vector or clause"
    return f"no test that was asked for applies to {result.target}: {joined(reasons)}"


@contextmanager
def _implementation(options: argparse.Namespace) -> Iterator[Implementation]:
    """Give what the options name; a program is ended when it is no longer asked."""
    if not options.program:
        yield _loaded(options)
        return
    program = Program(options.program, options.time_limit or TIME_LIMIT)
    try:
        yield program
    finally:
        program.close()


def _loaded(options: argparse.Namespace) -> Implementation:
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


def _after(interrupts: Interrupts, status: int, *, told: bool = False) -> int:
    """Return the exit status, and say that ctrl-C came unless that was told."""
    if not (interrupts.came or told):
        return status
    if not told:
        say(TOLD_INTERRUPTED)
    return INTERRUPTED


def _not_judged(entries: Sequence[report.Entry]) -> dict[str, str]:
    """Return the known targets that were left out, each with the reason."""
    found = {entry["target"] for entry in entries}
    missing = {target: missing_package(target) for target in known_targets()}
    left = {target: why or report.STOPPED for target, why in missing.items()}
    return {target: why for target, why in left.items() if target not in found}


def _write(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Write the reports, and say where."""
    for place in files.write(options, document):
        say(files.TOLD_WRITTEN.format(place))


def _judge_each(options: argparse.Namespace) -> tuple[list[Judged], bool]:
    """Judge the targets until an interrupt; return what was found, and whether there was one.

    What is found says so itself: where no target was stopped, the next one has not begun.
    """
    judged: list[Judged] = []
    left: Sequence[str] = ("all",)
    interrupted = False
    try:
        left = installed_targets()
        while left and not interrupted:
            judged.append(judge_apart(left[0], options))
            left = left[1:]
            interrupted = judged[-1].interrupted
            if options.fail_fast and not judged[-1].well:
                break
    except KeyboardInterrupt:  # while no process was waited for
        interrupted = True
    told = any(TOLD_INTERRUPTED in each.entry["notes"] for each in judged)
    if interrupted and left and not told:
        judged.append(Judged(report.entry_of(not_begun(left[0])), INTERRUPTED, interrupted=True))
    return judged, interrupted


def _held_to_ledger(result: Result, acknowledge: bool) -> list[str]:
    """Return which shares of the allowed error more than doubled; write them down if told to."""
    if acknowledge and result.as_declared:
        ledger.acknowledge(result.target, result.shares)
        return []
    if acknowledge:
        say(f"{result.target}: its shares are not recorded, since it is not as declared")
    return ledger.exceeded(result.target, result.shares)
