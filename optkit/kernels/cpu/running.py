"""Calls of the compiled loops, on tables of addresses and numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .jobs import Geometry, Jobs, cut
from .threads import everywhere

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-14}
"""The largest |h - 1| that is sought: about twice |sqrt(h) - 1|."""
CERTIFICATE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest |sqrt(h) - 1|, as it is found at last, of a group that counts as solved."""
NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
LOG = logging.getLogger("optkit.kernels")


def run(
    jobs: Jobs, addresses: np.ndarray, numbers: np.ndarray, dtype: torch.dtype, flags: tuple[bool | int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the steps of tensors that share one compiled loop. Returns for each tensor the squared residual, the passes
    over memory and the largest |sqrt(h) - 1|.

    addresses: (tensors, 7);  numbers: (tensors, 14);  flags: see Recipe.
    """
    from .entries import entries
    from .groups import groups

    grouped, *rest = (flag or None for flag in flags)
    like, count = np.zeros(1, NUMPY[dtype]), len(addresses)
    table = jobs.table(addresses, like.itemsize)
    counter, results = np.zeros(1, np.int64), np.zeros((len(table), 3))

    def work(k: int) -> None:
        if grouped:
            scratch = np.empty((13, jobs.widest))
            groups(table, numbers, results, counter, scratch, like, TOLERANCE[dtype], *rest)
        else:
            entries(table, numbers, counter, like, *rest)

    announced(groups if grouped else entries, lambda: everywhere(work, len(table)))
    passes, worst = np.ones(count), np.zeros(count)
    if not grouped:
        return worst, passes, worst
    np.maximum.at(passes, jobs.task, results[:, 1])
    np.maximum.at(worst, jobs.task, results[:, 2])
    return np.bincount(jobs.task, results[:, 0], count), passes, worst


def largest_of(sizes: tuple[int, ...], addresses: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The largest |entry| of gradients of these numbers of entries, whose addresses are in column 2."""
    from .entries import largest

    number = NUMPY[dtype]
    jobs = cut(tuple(Geometry((size,), (1,), None) for size in sizes), torch.get_num_threads())
    table = jobs.table(addresses, number.itemsize)
    found, counter = np.zeros(len(table), f"i{number.itemsize}"), np.zeros(1, np.int64)
    announced(largest, lambda: everywhere(lambda k: largest(table, found, counter), len(table)))
    most = np.zeros(len(sizes), found.dtype)
    np.maximum.at(most, jobs.task, found)
    return most.view(number)


def announced(loop: Any, call: Callable[[], None]) -> None:
    """Call, and say so when the loop was compiled for it: numba keeps the result on disk."""
    known = len(loop.overloads)
    call()
    if len(loop.overloads) > known and sum(loop.stats.cache_misses.values()):
        LOG.info("compiled a loop of the numba kernel; later runs read it from the cache")
