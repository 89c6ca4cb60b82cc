"""The folder of a run: configuration, metrics as they come, shipped weights, summary and figures."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue, SimpleQueue
from pathlib import Path
from queue import Empty

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from optkit import registry, report
from optkit.experiment import Experiment, Record, dump, load, train

Task = tuple[str, int, Path]  # method, seed, where its weights go


class RunError(RuntimeError):
    """A run that failed: one line for each, with its method, seed and error."""


@dataclass(frozen=True)
class Failure:
    """What a worker says of a run that raised."""

    method: str
    seed: int
    error: str


@dataclass(frozen=True)
class Run:
    """An experiment in a folder:

    config.yaml (complete: `optkit run FOLDER/config.yaml` does it again), metrics.jsonl (a line an epoch),
    weights/METHOD-SEED.pt (the state_dict with What_T, exact zeros and all), summary.md and curves.png.
    """

    experiment: Experiment
    folder: Path

    def execute(self, workers: int, overwrite: bool = False) -> list[Record]:
        """Train what the folder does not hold yet and write summary and figure; returns all records.

        Raises FileExistsError for a folder that holds something else (unless overwrite: then an earlier run there is
        removed) or that another process writes to, RunError when runs failed; the others are kept.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                return self._execute(workers, overwrite)
        except Timeout:
            raise FileExistsError(
                f"another command is writing to {self.folder}; wait for it or choose --name"
            ) from None

    def _execute(self, workers: int, overwrite: bool) -> list[Record]:
        kept = self._prepare(overwrite)
        done = {(record.method, record.seed) for record in kept}
        tasks = [(*run, self._weights(*run)) for run in self.experiment.runs if run not in done]
        results = list(self._train(tasks, workers))
        failures = [result for result in results if isinstance(result, Failure)]
        if failures:
            lines = [f"{failure.method}, seed {failure.seed}: {failure.error}" for failure in failures]
            raise RunError("; ".join(lines) + ". The other runs are kept")
        records = [*kept, *(result for result in results if isinstance(result, Record))]
        report.write(self.experiment, records, self.folder)
        return records

    def _prepare(self, overwrite: bool) -> list[Record]:
        """Make the folder, or keep the finished runs of an earlier, interrupted call with the same configuration."""
        config = self.folder / "config.yaml"
        if any(path.name != ".lock" for path in self.folder.iterdir()):
            ours = config.exists() and _is_experiment(config)
            if overwrite and ours:
                self._remove()
            elif not ours or config.read_text(encoding="utf-8") != dump(self.experiment):
                what = "a run of another configuration" if ours else "other files"
                remedy = ", or --overwrite it" if ours else ""
                raise FileExistsError(f"{self.folder} holds {what}; choose another --name{remedy}")
        (self.folder / "weights").mkdir(exist_ok=True)
        _write(config, dump(self.experiment))
        records = self._finished()
        _write(self._metrics, "".join(record.line() + "\n" for record in records))
        return records

    def _remove(self) -> None:
        """Delete the files a run writes, and nothing else."""
        for name in ("config.yaml", "metrics.jsonl", "summary.md", "curves.png"):
            (self.folder / name).unlink(missing_ok=True)
        for weights in (self.folder / "weights").glob("*.pt"):
            weights.unlink()

    @property
    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _weights(self, label: str, seed: int) -> Path:
        return self.folder / "weights" / f"{label}-{seed}.pt"

    def _finished(self) -> list[Record]:
        """The records of the runs that came to their last epoch and left their weights."""
        if not self._metrics.exists():
            return []
        records = list(filter(None, map(_record, self._metrics.read_text(encoding="utf-8").splitlines())))
        last = {(r.method, r.seed) for r in records if r.epoch == self.experiment.epochs}
        ended = {run for run in last if self._weights(*run).exists()}
        return [record for record in records if (record.method, record.seed) in ended]

    def _train(self, tasks: list[Task], workers: int) -> Iterator[Record | Failure]:
        """Train these, with a progress bar, and write the records as they come."""
        bar = tqdm(total=len(tasks) * self.experiment.epochs, unit="epoch", desc=self.experiment.name, file=sys.stderr)
        results = _results(self.experiment, tasks, workers)
        with bar, self._metrics.open("a", encoding="utf-8") as metrics, closing(results):
            for result in results:
                if isinstance(result, Record):
                    metrics.write(result.line() + "\n")
                    metrics.flush()
                    bar.update()
                    bar.set_postfix_str(f"{result.method} {result.accuracy:.1%} right, {result.sparsity:.0%} zero")
                yield result


def _is_experiment(config: Path) -> bool:
    try:
        load(config)
    except (registry.DataError, UnicodeDecodeError):
        return False
    return True


def _record(line: str) -> Record | None:
    """The record in a line, None for a line cut off or of another version."""
    try:
        return Record(**json.loads(line))
    except (TypeError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _results(experiment: Experiment, tasks: list[Task], workers: int) -> Generator[Record | Failure, None, None]:
    """The records of all tasks as they come from worker processes with one thread each, which end with this one."""
    context = multiprocessing.get_context("spawn")
    todo: SimpleQueue[Task | None] = context.SimpleQueue()
    results: Queue[Record | Failure] = context.Queue()
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(experiment, todo, results), daemon=True)
        for _ in range(min(workers, len(tasks)))
    ]
    for task in [*tasks, *(None for _ in processes)]:
        todo.put(task)
    try:
        for process in processes:
            process.start()
        left = len(tasks)
        while left:
            result = _next(results, processes)
            left -= isinstance(result, Failure) or result.epoch == experiment.epochs
            yield result
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()


def _next(results: Queue[Record | Failure], processes: list[BaseProcess]) -> Record | Failure:
    while True:
        try:
            return results.get(timeout=0.5)
        except Empty:
            for process in processes:
                if process.exitcode:
                    raise RunError(f"a worker process ended with exit code {process.exitcode}") from None


def _work(experiment: Experiment, todo: SimpleQueue[Task | None], results: Queue[Record | Failure]) -> None:
    """A worker process: train tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    while (task := todo.get()) is not None:
        label, seed, weights = task
        try:
            for record in train(experiment, label, seed, weights):
                results.put(record)
        except Exception as error:  # whatever it is, it belongs to this run and not to the others
            results.put(Failure(label, seed, f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
