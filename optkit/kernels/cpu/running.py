"""Calls of the compiled loops, on tables of addresses and numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .jobs import Jobs, stretches
from .recipes import Flags
from .threads import everywhere

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-14}
"""The largest |h - 1| that is sought: about twice |sqrt(h) - 1|."""
CERTIFICATE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest |sqrt(h) - 1|, as it is found at last, of a group that counts as solved."""
NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
STAGGER = 40
"""Lines of scratch memory are so many numbers longer: at a distance of 4096 bytes they would share one set of the cache."""
LOG = logging.getLogger("optkit.kernels")


def run(
    jobs: Jobs, addresses: np.ndarray, numbers: np.ndarray, dtype: torch.dtype, flags: Flags
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the steps of tensors that share one compiled loop. Returns for each tensor the squared residual, the passes
    over memory and the largest |sqrt(h) - 1|.

    addresses: (tensors, 7);  numbers: (tensors, 14).
    """
    from .entries import entries
    from .groups import SCRATCH, groups

    like, count = np.zeros(1, NUMPY[dtype]), len(addresses)
    table = jobs.table(addresses, like.itemsize)
    counter, results = np.zeros(1, np.int64), np.zeros((len(table), 3))

    def work() -> None:
        if flags.grouped:
            scratch = np.empty((sum(SCRATCH), max(1024,jobs.widest) + STAGGER))
            groups(table, numbers, results, counter, scratch, like, TOLERANCE[dtype], flags)
        else:
            entries(table, numbers, counter, like, flags)

    announced(groups if flags.grouped else entries, lambda: everywhere(work, len(table)))
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
    found, counter = np.zeros(len(table), f"i{number.itemsize}"), np.zeros(1, np.int64)
    announced(largest, lambda: everywhere(lambda: largest(table, found, counter), len(table)))
    most = np.zeros(len(sizes), found.dtype)
    np.maximum.at(most, jobs.task, found)
    return most.view(number)


def announced(loop: Any, call: Callable[[], None]) -> None:
    """Call, and say so when the loop was compiled for it: numba keeps the result on disk."""
    known = len(loop.overloads)
    call()
    if len(loop.overloads) > known and sum(loop.stats.cache_misses.values()):
        LOG.info("compiled a loop of the numba kernel; later runs read it from the cache")
