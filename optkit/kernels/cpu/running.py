"""Compiled loops at work in all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optkit.kernels.base import Task

from .caching import compiled
from .jobs import FOUND, PENALTY, PLAN, RESULT, SHARED, SUMS, TENSOR, Geometry, Jobs, cut, stretches
from .recipes import ENOUGH, Flags
from .threads import FUNCTION, everywhere, number

NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
PAGE, STAGGER = 512, 40
"""Lines of scratch memory are some pages and so many numbers long: a whole number of pages apart they would share one
set of the cache."""


class Arrays(NamedTuple):
    """What the loops know of a list of tensors of one dtype, and look at whenever they run.

    tensors: (n, TENSOR), the addresses of w, anchor, grad, m, u, top and theta, and which row of the plans;  penalties:
    (n, PENALTY), those of Recipe.numbers;  plans: (any, PLAN), those of recipes.numbers.
    """

    dtype: torch.dtype
    tensors: np.ndarray
    penalties: np.ndarray
    plans: np.ndarray

    @classmethod
    def of(cls, dtype: torch.dtype, addresses: Sequence[Sequence[int]], plans: int) -> Arrays:
        """addresses: seven of each tensor;  plans: how many there are; all numbers are 0, and so are the rows."""
        tensors = np.zeros((len(addresses), TENSOR), np.int64)
        tensors[:, :7] = addresses
        return cls(dtype, tensors, np.zeros((len(addresses), PENALTY)), np.zeros((plans, PLAN)))


def addresses(task: Task, theta: Tensor | None) -> list[int]:
    """Of w, anchor, grad, m, u, top and theta; 0 where there is none."""
    state, squares = task.state, [*task.state.preconditioner, None, None][:2]
    arrays = task.w, state.anchor, task.grad, state.estimator[0], *squares, theta
    return [0 if array is None else array.data_ptr() for array in arrays]


class Work:
    """The work of one compiled loop, again and again.  make: see `compiled`;  results: one row a panel, of what the
    loop has to say of it."""

    def __init__(self, make: Callable[..., Any], jobs: Jobs, arrays: Arrays, flags: Flags | None) -> None:
        self._threads, rounds = jobs.threads, len(jobs.shares)
        self._tasks, self.results = jobs.tasks, np.zeros((jobs.panels, RESULT))
        self._counters = np.zeros(jobs.counters, np.int64)
        lines = 0
        if flags is not None and flags.grouped is True:
            from .columns import OWN

            lines = OWN + SHARED + SUMS
        scratch = np.empty((self._threads * lines, -(-jobs.widest // PAGE) * PAGE + STAGGER))
        self._kept = jobs.rows, jobs.shares, *arrays[1:], self.results, self._counters, np.empty(jobs.board), scratch
        rows, shares, *others = (each.ctypes.data for each in self._kept)
        # as memory.opened reads it
        table = [rows, shares, rounds, jobs.threads, number(), *others, scratch.strides[0]]
        self._table = np.array(table, np.int64)
        self._place = self._table.ctypes.data
        self._loop = FUNCTION(compiled(make, NUMPY[arrays.dtype], flags).address)

    def __call__(self) -> bool:
        """Do all jobs; returns whether there is none of what the loop looks for."""
        self._counters.fill(0)
        everywhere(self._loop, self._place, self._threads)
        return not self._counters[FOUND]

    def largest(self, column: int, into: np.ndarray) -> None:
        """Raise what is known of each tensor to the largest result of its panels, or to NaN if one is."""
        with np.errstate(invalid="ignore"):
            np.maximum.at(into, self._tasks, self.results[:, column])

    def sum(self, column: int, into: np.ndarray) -> None:
        """Add the results of each tensor's panels to what is known of it."""
        into += np.bincount(self._tasks, self.results[:, column], len(into))


def sizes(lengths: tuple[int, ...], arrays: Arrays) -> Work:
    """The work of finding the largest |entry| of each gradient: NaN or infinite where it holds such an entry. Looks for
    those beyond the bounds of the plans.  lengths: how many entries they have."""
    from .entries import largest

    return Work(largest, stretches(lengths, torch.get_num_threads()), arrays, None)


class Batch:
    """Tensors that share one loop, and step together.  places: in the arrays;  geometries: of each."""

    def __init__(self, places: Sequence[int], geometries: Sequence[Geometry], arrays: Arrays, flags: Flags) -> None:
        jobs = cut(tuple(geometries), torch.get_num_threads()).moved(np.array(places, np.int64))
        self.grouped, self.work = bool(flags.grouped), Work(_loop(flags), jobs, arrays, flags)


class Outcome(NamedTuple):
    """What came of the steps of some tensors: the squared residual of each subproblem, the passes over memory, and
    whether it was solved."""

    square: np.ndarray
    passes: np.ndarray
    solved: np.ndarray

    @classmethod
    def of(cls, batches: Sequence[Batch], arrays: Arrays) -> Outcome:
        """Of the last step of these batches."""
        count = len(arrays.tensors)
        square, passes, worst = np.zeros(count), np.ones(count), np.zeros(count)
        for batch in batches:
            if batch.grouped:
                batch.work.sum(0, square)
                batch.work.largest(1, passes)
                batch.work.largest(2, worst)
        return cls(square, passes.astype(int), worst <= ENOUGH[arrays.dtype.itemsize])


def _loop(flags: Flags) -> Callable[..., Any]:
    if flags.grouped is None:
        from .entries import entries

        return entries
    if flags.grouped is True:
        from .panels import panels

        return panels
    from .runs import runs

    return runs
