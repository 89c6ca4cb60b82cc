"""Tensors that step together again and again: all that stays the same is looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optkit.kernels.base import Task
from optkit.kernels.plan import LIMIT, Plan

from .jobs import Jobs, cut
from .recipes import Cohort, Flags, Recipe
from .running import CERTIFICATE, largest_of, run


class _Batch(NamedTuple):
    """Tensors that share one compiled loop: their places, and their jobs."""

    places: np.ndarray
    jobs: Jobs
    flags: Flags


class Fleet:
    """The tensors of these tasks, at later times and with other gradients.

    labels: tasks of different ones may come to differ in their methods.  cohort: the number of each task's cohort,
    tasks of one label and time;  leaders: the first task of each cohort.
    """

    def __init__(self, tasks: Sequence[Task], labels: Sequence[int]) -> None:
        self.tasks = tasks  # which keeps their arrays where they are
        self.dtype = tasks[0].w.dtype
        self.sizes = tuple(task.w.numel() for task in tasks)
        self.addresses = np.array([_addresses(task) for task in tasks], np.int64)
        self.warm = np.array([task.theta is not None for task in tasks])  # one without entries has no address either
        cohorts: dict[tuple[int, int, float], int] = {}
        kinds: dict[tuple[int, torch.Size, tuple[int, ...]], int] = {}
        self.kind = np.zeros(len(tasks), np.int64)
        for i, task in enumerate(tasks):
            weight = getattr(task.state.estimator, "weight", 0.0)
            cohort = cohorts.setdefault((labels[i], task.state.t, weight), len(cohorts))
            self.kind[i] = kinds.setdefault((cohort, task.w.shape, task.w.stride()), len(kinds))
        self._kinds = list(kinds)
        self.cohort = np.array([kind[0] for kind in self._kinds], np.int64)[self.kind]
        self.leaders = [int(np.flatnonzero(self.cohort == c)[0]) for c in range(len(cohorts))]
        self._batches: list[_Batch] = []
        self._shown: object = None

    @classmethod
    def of(cls, tasks: Sequence[Task], labels: Sequence[int]) -> Fleet | None:
        """The fleet; None where the tensors have several dtypes."""
        return cls(tasks, labels) if len({task.w.dtype for task in tasks}) == 1 else None

    def largest(self, grads: Sequence[Tensor]) -> np.ndarray:
        """The largest |entry| of each gradient, which lie in memory as the tensors do."""
        self.addresses[:, 2] = [grad.data_ptr() for grad in grads]
        return largest_of(self.sizes, self.addresses, self.dtype)

    def step(
        self, ws: Sequence[Tensor], cohorts: Sequence[Cohort], largest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Plan]] | None:
        """Take the step after `largest`, in place; None, and nothing happened, where it needs the parts.

        Returns for each tensor the squared residual, the passes over memory, and whether it converged; and the plan of
        each cohort.
        """
        plans: dict[Cohort, Plan] = {}
        recipes = [Recipe.of(cohorts[c], tuple(shape), strides, plans) for c, shape, strides in self._kinds]
        bounds = np.array([plans[cohort].bound(LIMIT[self.dtype]) for cohort in cohorts])
        if not np.all(largest < bounds[self.cohort]) or any(r.bends or not r.in_range(self.dtype) for r in recipes):
            return None
        batches = self._cut(recipes)
        if any(flags.grouped and not self.warm[places].all() for places, _, flags in batches):
            return None  # a theta is missing
        self.addresses[:, 0] = [w.data_ptr() for w in ws]
        numbers = np.array([recipe.numbers for recipe in recipes])[self.kind]
        count = len(ws)
        square, passes, worst = np.zeros(count), np.zeros(count), np.zeros(count)
        for places, jobs, flags in batches:
            found = run(jobs, self.addresses[places], numbers[places], self.dtype, flags)
            square[places], passes[places], worst[places] = found
        return square, passes, worst <= CERTIFICATE[self.dtype], [plans[cohort] for cohort in cohorts]

    def _cut(self, recipes: list[Recipe]) -> list[_Batch]:
        """The batches, which change with the kinds of penalties (one of strength 0 is none) and of threads."""
        threads = torch.get_num_threads()
        shown = threads, [recipe.flags for recipe in recipes]
        if self._shown != shown:
            self._shown, self._batches = shown, []
            for flags in dict.fromkeys(recipe.flags for recipe in recipes):
                kinds = [k for k, recipe in enumerate(recipes) if recipe.flags == flags]
                places = np.flatnonzero(np.isin(self.kind, kinds))
                jobs = cut(tuple(recipes[self.kind[i]].geometry for i in places), threads)
                self._batches.append(_Batch(places, jobs, flags))
        return self._batches


def _addresses(task: Task) -> list[int]:
    """Of w, anchor, grad, m, u, top and theta; 0 where there is none."""
    state, squares = task.state, [*task.state.preconditioner, None, None][:2]
    arrays = task.w, state.anchor, task.grad, state.estimator[0], *squares, task.theta
    return [0 if array is None else array.data_ptr() for array in arrays]
