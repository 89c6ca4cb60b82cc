"""Compiled loops at work in all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from .caching import compiled
from .jobs import SHARED, SUMS, Geometry, Jobs, cut, stretches
from .recipes import Flags
from .threads import everywhere

CERTIFICATE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest |sqrt(h) - 1|, as it is found at last, of a group that counts as solved."""
NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
PAGE, STAGGER = 512, 40
"""Lines of scratch memory are some pages and so many numbers long: a whole number of pages apart they would share one
set of the cache."""


class Arrays(NamedTuple):
    """What the loops know of a list of tensors of one dtype.  addresses: (tensors, 7), of w, anchor, grad, m, u, top and
    theta;  numbers: (tensors, 14), those of the recipes. The loops look at both whenever they run."""

    dtype: torch.dtype
    addresses: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, dtype: torch.dtype, addresses: Sequence[Sequence[int]]) -> Arrays:
        """With all numbers 0."""
        return cls(dtype, np.array(addresses, np.int64).reshape(-1, 7), np.zeros((len(addresses), 14)))


class Work:
    """The work of one compiled loop, again and again.  make: see `compiled`."""

    def __init__(self, make: Callable[..., Any], jobs: Jobs, arrays: Arrays, flags: Flags | None) -> None:
        count = len(jobs.rows)
        self._threads = max(1, min(torch.get_num_threads(), count))
        self._counters, self._results = np.zeros(8 + jobs.panels, np.int64), np.zeros((count, 3))
        lines = 0
        if flags is not None and flags.grouped is True:
            from .columns import OWN

            lines = OWN + SHARED + SUMS
        scratch = np.empty((self._threads, lines, -(-jobs.widest // PAGE) * PAGE + STAGGER))
        dtype, addresses, numbers = arrays
        self._arrays = jobs.rows, addresses, numbers, self._results, self._counters, np.empty(jobs.board), scratch
        self._table = np.array([x for a in self._arrays for x in (a.ctypes.data, *a.shape)], np.int64)
        self._place = self._table.ctypes.data
        self._loop = compiled(make, NUMPY[dtype], flags)

    def __call__(self) -> np.ndarray:
        """Do all jobs; what the loop has to say of each: (jobs, 3)."""
        self._counters.fill(0)
        self._results.fill(0)
        everywhere(self._loop, self._place, self._threads)
        return self._results


class Sizes:
    """The largest |entry| of each gradient, again and again.  sizes: how many entries they have."""

    def __init__(self, sizes: tuple[int, ...], arrays: Arrays) -> None:
        from .entries import largest

        jobs = stretches(sizes, torch.get_num_threads())
        self._task, self._work = jobs.rows[:, 0], Work(largest, jobs, arrays, None)
        self._most = np.zeros(len(sizes))

    def __call__(self) -> np.ndarray:
        """NaN or infinite where a gradient holds such an entry."""
        self._most.fill(0)
        np.maximum.at(self._most, self._task, self._work()[:, 0])
        return self._most


class Batch:
    """Tensors that share one loop, and step together.  places: in the arrays;  geometries: of each."""

    def __init__(self, places: Sequence[int], geometries: Sequence[Geometry], arrays: Arrays, flags: Flags) -> None:
        self.places, self.flags, self._count = np.array(places, np.int64), flags, len(arrays.addresses)
        jobs = cut(tuple(geometries), torch.get_num_threads()).moved(self.places)
        self._task, self._work = jobs.rows[:, 0], Work(_loop(flags), jobs, arrays, flags)

    def step(self, square: np.ndarray, passes: np.ndarray, worst: np.ndarray) -> None:
        """Take the steps, and enter what came of them for each tensor in the arrays: the squared residual, the passes
        over memory and the largest |sqrt(h) - 1|."""
        results = self._work()
        if self.flags.grouped:
            square += np.bincount(self._task, results[:, 0], self._count)
            np.maximum.at(passes, self._task, results[:, 1])
            np.maximum.at(worst, self._task, results[:, 2])


def _loop(flags: Flags) -> Callable[..., Any]:
    if flags.grouped is None:
        from .entries import entries

        return entries
    if flags.grouped is True:
        from .panels import panels

        return panels
    from .runs import runs

    return runs
