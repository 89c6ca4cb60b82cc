"""The folder of a run: configuration, metrics as they come, shipped weights, summary and figures."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import torch
from tqdm import tqdm

from optkit import report
from optkit.experiment import Experiment, Record, dump, train


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

        Raises FileExistsError for a folder that holds something else, unless overwrite.
        """
        kept = self._prepare(overwrite)
        done = {(record.method, record.seed) for record in kept}
        missing = [run for run in self.experiment.runs if run not in done]
        records = [*kept, *self._train(missing, workers)]
        report.write(self.experiment, records, self.folder)
        return records

    def _prepare(self, overwrite: bool) -> list[Record]:
        """Make the folder, or keep the finished runs of an earlier, interrupted call with the same configuration."""
        config = self.folder / "config.yaml"
        if overwrite and config.exists():
            shutil.rmtree(self.folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            if not config.exists() or config.read_text(encoding="utf-8") != dump(self.experiment):
                raise FileExistsError(
                    f"{self.folder} holds a run of another configuration; choose another --name, or --overwrite it"
                )
        (self.folder / "weights").mkdir(parents=True, exist_ok=True)
        config.write_text(dump(self.experiment), encoding="utf-8")
        records = self._finished()
        self._metrics.write_text("".join(record.line() + "\n" for record in records), encoding="utf-8")
        return records

    @property
    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _finished(self) -> list[Record]:
        """The records of the runs that came to their last epoch."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text(encoding="utf-8").splitlines()
        records = [Record(**json.loads(line)) for line in lines if line.endswith("}")]
        ended = {(record.method, record.seed) for record in records if record.epoch == self.experiment.epochs}
        return [record for record in records if (record.method, record.seed) in ended]

    def _train(self, runs: list[tuple[str, int]], workers: int) -> Iterator[Record]:
        bar = tqdm(total=len(runs) * self.experiment.epochs, unit="epoch", desc=self.experiment.name, file=sys.stderr)
        with (
            bar,
            self._metrics.open("a", encoding="utf-8") as metrics,
            closing(self._records(runs, workers)) as records,
        ):
            for record in records:
                metrics.write(record.line() + "\n")
                metrics.flush()
                bar.update()
                bar.set_postfix_str(f"{record.method} {record.accuracy:.1%} right, {record.sparsity:.0%} zero")
                yield record

    def _records(self, runs: list[tuple[str, int]], workers: int) -> Generator[Record, None, None]:
        """The records of these runs as they come from the workers: processes with one thread each."""
        if not runs:
            return
        context = multiprocessing.get_context("spawn")
        queue: Queue[Record] = context.Queue()
        pool = ProcessPoolExecutor(min(workers, len(runs)), context, initializer=_begin_worker, initargs=(queue,))
        try:
            futures = [pool.submit(_work, self.experiment, *run, self.folder / "weights") for run in runs]
            yield from _receive(queue, futures, len(runs) * self.experiment.epochs)
        finally:
            pool.shutdown(cancel_futures=True)


_queue: Queue[Record]  # of a worker process, to the process that started it


def _begin_worker(queue: Queue[Record]) -> None:
    global _queue
    _queue = queue
    torch.set_num_threads(1)


def _work(experiment: Experiment, label: str, seed: int, weights: Path) -> None:
    for record in train(experiment, label, seed, weights / f"{label}-{seed}.pt"):
        _queue.put(record)


def _receive(queue: Queue[Record], futures: list[Future[None]], expected: int) -> Iterator[Record]:
    """That many records from the queue; raises what a worker raised."""
    while expected:
        try:
            record = queue.get(timeout=0.5)
        except Empty:
            for future in futures:
                if future.done():
                    future.result()
            continue
        expected -= 1
        yield record
