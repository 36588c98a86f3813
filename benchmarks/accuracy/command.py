"""The command ``accuracy``: carries out a plan's runs, keeps each at once, writes the page."""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from tuned_contrastive.benchmarks.accuracy import frameworks
from tuned_contrastive.benchmarks.accuracy.data import DATASETS, load
from tuned_contrastive.benchmarks.accuracy.files import SOURCES
from tuned_contrastive.benchmarks.accuracy.names import SELF_SUPERVISED, SUPERVISED, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import (
    FRAMEWORKS,
    FULL,
    QUICK,
    SETTINGS,
    Plan,
    Run,
    batch_count,
)
from tuned_contrastive.benchmarks.accuracy.records import Records
from tuned_contrastive.benchmarks.environment import cores, environment
from tuned_contrastive.benchmarks.processes import UsageError, require
from tuned_contrastive.benchmarks.progress import Progress

OUTPUT = Path(__file__).parent
"""Where the page of the whole stands, which nothing less may replace."""
PART = Path("accuracy-results")
RUNS, EMBEDDINGS = Path("results/runs.jsonl"), Path("results/embeddings")


def add_options(one: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    add = one.add_argument
    losses = (*SUPERVISED, *SELF_SUPERVISED)
    add("--setting", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="all by default")
    add("--datasets", nargs="+", choices=DATASETS, help="those inside scikit-learn, by default")
    add("--losses", nargs="+", choices=losses, default=list(losses), help="all by default")
    add("--seeds", type=int, metavar="N", help=f"({FULL.seeds})")
    add("--quick", action="store_true", help="short trainings, few of them: does it work")
    add("--data", metavar="DIR", help="where the files of CIFAR and Fashion-MNIST are")
    add("--output", metavar="DIR",
        help=f"of the page and results/ ({PART}; the whole: beside the code)")  # fmt: skip
    add("--jobs", type=int, metavar="N", default=min(2, cores()), help="processes (2)")
    one.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out what is missing of the plan, and write the page."""
    require("torch", "sklearn", "scipy", "matplotlib")
    from tuned_contrastive.benchmarks.accuracy import report

    plan, folder = asked(options)
    if plan.framework_runs():
        require(*FRAMEWORKS)
    output = destination(plan, options.output)
    try:
        records = Records(output / RUNS)
    except OSError as error:
        raise UsageError(f"--output must be a folder, or may be made one: {error}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    carry_out(plan, records, folder, output / EMBEDDINGS, options.jobs)
    report.write(records.lines, plan, output)
    return 0


def asked(options: argparse.Namespace) -> tuple[Plan, Path | None]:
    """Return the plan of the options and the folder of files; refuse what cannot be run."""
    for name, least in (("seeds", 2), ("jobs", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} must be {least} or more, got {value}")
    scale = QUICK if options.quick else FULL
    if options.seeds:
        sweeps = min(options.seeds, scale.sweep_seeds)
        scale = replace(scale, seeds=options.seeds, sweep_seeds=sweeps)
    folder = Path(options.data) if options.data else None
    if folder and not folder.is_dir():
        raise UsageError(f"--data must be a folder, got {folder}")
    datasets = _of(DATASETS, options.datasets) if options.datasets else scale.datasets
    if folder and not set(datasets) & set(SOURCES):
        raise UsageError(f"--data is for --datasets {' '.join(SOURCES)}: name one of them")
    for name in datasets:
        try:
            load(name, 0, folder)
        except (FileNotFoundError, ValueError) as error:
            raise UsageError(str(error)) from error
    losses = _of((*SUPERVISED, *SELF_SUPERVISED), options.losses)
    plan = Plan(scale, datasets, _of(SETTINGS, options.setting), losses)
    if not plan.trains():
        raise UsageError(
            f"nothing to train: --setting {' '.join(plan.settings)} has none of these losses on "
            f"{', '.join(datasets)} (self-supervised: plain images; frameworks: digits)"
        )
    return plan, folder


def _of(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return what is wanted, each once, in the order in which it is known."""
    return tuple(name for name in dict.fromkeys(known) if name in wanted)


def destination(plan: Plan, output: str | None) -> Path:
    """Return the folder of the page."""
    if output is not None:
        return Path(output)
    return OUTPUT if plan == Plan(FULL, FULL.datasets) else PART


def carry_out(
    plan: Plan, records: Records, folder: Path | None, embeddings: Path, jobs: int
) -> None:
    """Append a record for every run of the plan that has none."""
    first, framework_runs = plan.first_runs(), plan.framework_runs()
    records.keys -= {run.key for run in plan.embedding_runs() if not _is_kept(run, embeddings)}
    missing = len(_missing([*first, *framework_runs], records))
    try:
        finals = len(_missing(plan.final_runs(records.runs()), records))
    except KeyError:  # not all is tuned
        finals = sum(loss != UNTRAINED for _, _, loss, _ in plan.compared())
    if not missing + finals:
        return
    _note_environment(records, jobs)
    progress = Progress("accuracy", missing + finals)
    try:
        with _workers(jobs) as pool:
            for is_tuned in (False, True):
                wanted = plan.final_runs(records.runs()) if is_tuned else first
                for record in _in_processes(pool, _missing(wanted, records), folder):
                    _keep(record, records, embeddings)
                    progress.step(_told(record))
        for name in FRAMEWORKS:
            todo = _missing([run for run in framework_runs if run.role == name], records)
            for record in frameworks.carry_out(name, todo) if todo else ():
                records.append(record)
                progress.step(_told(record))
    finally:
        progress.close()


def _missing(wanted: Sequence[Run], records: Records) -> list[Run]:
    return [run for run in wanted if run.key not in records.keys]


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Lend processes, which start with the first run; what has not begun at the end is dropped."""
    # A fork of a process with threads may hang; OpenMP reads its variable when torch is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_processes(
    pool: ProcessPoolExecutor, runs: Sequence[Run], folder: Path | None
) -> Iterator[dict[str, Any]]:
    if not runs:
        return
    from tuned_contrastive.benchmarks.accuracy import training

    with _interrupts_later():
        futures = [pool.submit(training.carry_out, run, folder) for run in runs]
    for future in as_completed(futures):
        yield future.result()


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Keep an interrupt until the end; workers that start within never hear of one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """One thread a worker; it ends with its parent, also where that one is killed."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _keep(record: dict[str, Any], records: Records, embeddings: Path) -> None:
    if "projections" in record:
        rows, labels = record.pop("projections"), record.pop("labels")
        embeddings.mkdir(exist_ok=True)
        np.savez_compressed(
            _file(record["run"]["loss"], embeddings),
            run=record["key"],
            embeddings=rows.astype(np.float16),
            labels=labels.astype(np.uint8),
            about=about(record, rows.shape[1]),
        )
    records.append(record)


def _file(loss: str, embeddings: Path) -> Path:
    """Return the file of a loss's embeddings, as `response --embeddings` reads it."""
    return embeddings / f"{loss if loss == UNTRAINED else f'trained-with-{loss}'}.npz"


def _is_kept(run: Run, embeddings: Path) -> bool:
    """Return whether the embeddings of this very run are there, not those of a shorter one."""
    file = _file(run.loss, embeddings)
    if not file.is_file():
        return False
    with np.load(file) as arrays:
        return "run" in arrays and str(arrays["run"]) == run.key


def about(record: Mapping[str, Any], dimensions: int) -> str:
    """Return what the kept embeddings of a run are, for the caption of the figure of them."""
    run, steps = record["run"], record["steps"]
    rows = f"{run['dataset']}, validation rows without views, seed {run['seed']} only"
    outputs = f"outputs of the projection head, {dimensions} dimensions"
    if not steps:
        return f"{rows}; {outputs}, before training"
    batches = batch_count(record["rows"]["train"], run["parameters"]["batch_size"])
    epochs = steps // batches
    told = f"after {epochs} epoch{'' if epochs == 1 else 's'}"
    return f"{rows}; {outputs}, {told} with the loss's defaults"


def _note_environment(records: Records, jobs: int) -> None:
    found = {**environment(1), "processes": jobs}
    known = [line["environment"] for line in records.lines if "environment" in line]
    dated = {"date": None}
    if known and known[-1].get("revision") != found["revision"]:
        told = f"records of revision {known[-1].get('revision')} go on at {found['revision']}"
        sys.stderr.write(f"{told}: rounding may differ, and so may what it grows to\n")
    if not known or json.dumps(known[-1] | dated) != json.dumps(found | dated):
        records.append({"environment": found})


def _told(record: dict[str, Any]) -> str:
    run = record["run"]
    return f"{run['dataset']}, {run['loss']}, seed {run['seed']}, {run['role']}"
