"""Calls of the compiled loops, on tables of addresses and numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .caching import keep
from .jobs import SHARED, SUMS, Jobs, stretches
from .recipes import Flags
from .threads import everywhere

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-14}
"""The largest |h - 1| that is sought: about twice |sqrt(h) - 1|."""
CERTIFICATE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest |sqrt(h) - 1|, as it is found at last, of a group that counts as solved."""
NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
PAGE, STAGGER = 512, 40
"""Lines of scratch memory are some pages and so many numbers long: a whole number of pages apart they would share one
set of the cache."""
LOG = logging.getLogger("optkit.kernels")


def run(
    jobs: Jobs, addresses: np.ndarray, numbers: np.ndarray, dtype: torch.dtype, flags: Flags
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the steps of tensors that share one compiled loop. Returns for each tensor the squared residual, the passes
    over memory and the largest |sqrt(h) - 1|.

    addresses: (tensors, 7);  numbers: (tensors, 14).
    """
    like, count = np.zeros(1, NUMPY[dtype]), len(addresses)
    table = jobs.table(addresses, like.itemsize)
    results, widest = np.zeros((len(table), 3)), -(-jobs.widest // PAGE) * PAGE + STAGGER
    loop: Any
    if flags.grouped is None:
        from .entries import entries as loop

        def work(table: np.ndarray, counter: np.ndarray) -> None:
            loop(table, numbers, counter, like, flags)

    elif flags.grouped is True:
        from .columns import OWN
        from .panels import panels as loop

        boards, done = np.empty(max(1, jobs.board)), np.zeros(jobs.panels, np.int64)

        def work(table: np.ndarray, counter: np.ndarray) -> None:
            scratch = np.empty((OWN + SHARED + SUMS, widest))
            loop(table, numbers, results, boards, done, counter, scratch, like, TOLERANCE[dtype], flags)

    else:
        from .runs import runs as loop

        def work(table: np.ndarray, counter: np.ndarray) -> None:
            loop(table, numbers, results, counter, like, TOLERANCE[dtype], flags)

    share(work, table, loop, (dtype, flags))
    passes, worst = np.ones(count), np.zeros(count)
    if not flags.grouped:
        return worst, passes, worst
    np.maximum.at(passes, jobs.task, results[:, 1])
    np.maximum.at(worst, jobs.task, results[:, 2])
    return np.bincount(jobs.task, results[:, 0], count), passes, worst


def largest_of(sizes: tuple[int, ...], addresses: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The largest |entry| of gradients of these numbers of entries, whose addresses are in column 2."""
    from .entries import largest

    number = NUMPY[dtype]
    jobs = stretches(sizes, torch.get_num_threads())
    table = jobs.table(addresses, number.itemsize)
    found = np.zeros(len(table), f"i{number.itemsize}")
    share(lambda table, counter: largest(table, found, counter), table, largest, (dtype,))
    most = np.zeros(len(sizes), found.dtype)
    np.maximum.at(most, jobs.task, found)
    return most.view(number)


def share(work: Callable[[np.ndarray, np.ndarray], None], table: np.ndarray, loop: Any, kind: tuple[Any, ...]) -> None:
    """work(table, counter) in all threads, which take the rows of the table in turn.

    loop: what work calls. Its first call for this kind of arguments has no rows and one thread: it compiles the loop,
    and says so, or reads it from the disk.
    """
    if (loop, kind) not in _known:
        kept, before = keep(loop), sum(loop.stats.cache_misses.values())
        work(table[:0], np.zeros(1, np.int64))
        if sum(loop.stats.cache_misses.values()) > before:
            later = f"later runs read it from {loop.stats.cache_path}" if kept else "it cannot be kept on disk"
            LOG.info("compiled a loop of the numba kernel; %s", later)
        _known.add((loop, kind))
    counter = np.zeros(1, np.int64)
    everywhere(lambda: work(table, counter), len(table))


_known: set[tuple[Any, ...]] = set()
