"""Times of things that take turns: a ratio of medians over the same rounds is fair on a machine that is not quiet."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Protocol

import torch

LEAST_WARMUP, LEAST_ROUNDS = 2, 3
ROUND, MOST_REPEATS = 2e-3, 100  # what is faster than so many seconds runs several times a round
EVICTING = 2**26  # numbers, more than caches hold


class Runner(Protocol):
    """Something that is timed: `prepare` is not, `run` is."""

    def prepare(self) -> None: ...

    def run(self) -> None: ...


@dataclass(frozen=True)
class Effort:
    """warmup, rounds: of each runner, fewer where they would take longer than `seconds` each;  cold: whether other
    memory is written before each run, so that caches hold nothing of it; then a round is one run."""

    warmup: int = 20
    rounds: int = 15
    seconds: float = 6.0
    cold: bool = False


class Warm(NamedTuple):
    """runs: how many there were;  last: the seconds of the last."""

    runs: int
    last: float


@dataclass(frozen=True)
class Times:
    """seconds: of each round, divided by `repeats`, the runs in a round;  warmup: the runs before."""

    seconds: tuple[float, ...]
    warmup: int
    repeats: int

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the interquartile range, relative to the median."""
        ordered = sorted(self.seconds)
        low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
        return (high - low) / 2 / self.median


def seconds(run: Callable[[], object], device: str, repeats: int = 1) -> float:
    """The time of so many runs: by the clock on the wall, on CUDA by events on the device."""
    if device != "cuda":
        begun = time.perf_counter()
        for _ in range(repeats):
            run()
        return time.perf_counter() - begun
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    first.record()
    for _ in range(repeats):
        run()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def warm_up(runners: Mapping[str, Runner], effort: Effort, device: str) -> dict[str, Warm]:
    """The runs before those that are timed, of one runner after the other."""
    return {name: _warmed(runner, effort, device) for name, runner in runners.items()}


def _warmed(runner: Runner, effort: Effort, device: str) -> Warm:
    """The first run compiles and does not count for the limit."""
    spent, last, runs = 0.0, 0.0, 0
    while runs < effort.warmup and (runs < LEAST_WARMUP or spent < effort.seconds / 2):
        runner.prepare()
        last = seconds(runner.run, device)
        spent += last if runs else 0.0
        runs += 1
    return Warm(runs, last)


def alternate(runners: Mapping[str, Runner], warm: Mapping[str, Warm], effort: Effort, device: str) -> dict[str, Times]:
    """The times of runners that take turns, a run or several each, the first of a round being another each time."""
    most = 1 if effort.cold else MOST_REPEATS
    repeats = {name: math.ceil(min(max(1.0, ROUND / each.last), most)) for name, each in warm.items()}
    other = torch.zeros(EVICTING if effort.cold else 0, device=device)
    times: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    gc.collect()
    gc.disable()
    try:
        for i in range(effort.rounds):
            turn = i % len(names)
            for name in names[turn:] + names[:turn]:
                if i < LEAST_ROUNDS or sum(times[name]) * repeats[name] < effort.seconds:
                    runners[name].prepare()
                    other.add_(1)
                    times[name].append(seconds(runners[name].run, device, repeats[name]) / repeats[name])
    finally:
        gc.enable()
    return {name: Times(tuple(times[name]), warm[name].runs, repeats[name]) for name in names}


def compare(runners: Mapping[str, Runner], effort: Effort, device: str) -> dict[str, Times]:
    """`warm_up`, then `alternate`."""
    return alternate(runners, warm_up(runners, effort, device), effort, device)
