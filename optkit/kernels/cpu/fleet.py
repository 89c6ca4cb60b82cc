"""Tensors that step together again and again: all that stays the same is looked up once."""

from __future__ import annotations

from collections.abc import Sequence
import numpy as np
import torch
from torch import Tensor

from optkit.kernels.base import Task
from optkit.kernels.plan import LIMIT, Plan

from .recipes import Cohort, Recipe
from .running import CERTIFICATE, Arrays, Batch, Sizes


class Fleet:
    """The tensors of these tasks, at later times and with other gradients.

    labels: tasks of different ones may come to differ in their methods.  cohort: the number of each task's cohort,
    tasks of one label and time;  leaders: the first task of each cohort.
    """

    def __init__(self, tasks: Sequence[Task], labels: Sequence[int]) -> None:
        self.tasks = tasks  # which keeps their arrays where they are
        self.dtype = tasks[0].w.dtype
        self._sizes = tuple(task.w.numel() for task in tasks)
        self._arrays = Arrays.of(self.dtype, [_addresses(task) for task in tasks])
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
        self._largest: Sizes | None = None
        self._batches: list[Batch] = []
        self._shown: object = None

    @classmethod
    def of(cls, tasks: Sequence[Task], labels: Sequence[int]) -> Fleet | None:
        """The fleet; None where the tensors have several dtypes."""
        return cls(tasks, labels) if len({task.w.dtype for task in tasks}) == 1 else None

    def step(
        self, ws: Sequence[Tensor], gradients: Sequence[Tensor], cohorts: Sequence[Cohort]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Plan]] | None:
        """Take the step with these gradients, which lie in memory as the tensors do, in place; None, and nothing
        happened, where it needs the parts.

        Returns for each tensor the squared residual, the passes over memory, and whether it converged; and the plan of
        each cohort.
        """
        plans: dict[Cohort, Plan] = {}
        recipes = [Recipe.of(cohorts[c], tuple(shape), strides, plans) for c, shape, strides in self._kinds]
        if any(r.bends or not r.in_range(self.dtype) for r in recipes):
            return None
        batches = self._cut(recipes)
        if any(batch.flags.grouped and not self.warm[batch.places].all() for batch in batches):
            return None  # a theta is missing
        addresses = self._arrays.addresses
        addresses[:, 0] = [w.data_ptr() for w in ws]
        addresses[:, 2] = [grad.data_ptr() for grad in gradients]
        bounds = np.array([plans[cohort].bound(LIMIT[self.dtype]) for cohort in cohorts])
        if self._largest is None or not np.all(self._largest() < bounds[self.cohort]):
            return None
        self._arrays.numbers[:] = np.array([recipe.numbers for recipe in recipes])[self.kind]
        count = len(ws)
        square, passes, worst = np.zeros(count), np.ones(count), np.zeros(count)
        for batch in batches:
            batch.step(square, passes, worst)
        return square, passes, worst <= CERTIFICATE[self.dtype], [plans[cohort] for cohort in cohorts]

    def _cut(self, recipes: list[Recipe]) -> list[Batch]:
        """The batches, which change with the kinds of penalties (one of strength 0 is none) and of threads."""
        shown = torch.get_num_threads(), [recipe.flags for recipe in recipes]
        if self._shown != shown:
            self._largest, self._batches = Sizes(self._sizes, self._arrays), []
            for flags in dict.fromkeys(recipe.flags for recipe in recipes):
                kinds = [k for k, recipe in enumerate(recipes) if recipe.flags == flags]
                places = np.flatnonzero(np.isin(self.kind, kinds)).tolist()
                geometries = [recipes[self.kind[i]].geometry for i in places]
                self._batches.append(Batch(places, geometries, self._arrays, flags))
            self._shown = shown
        return self._batches


def _addresses(task: Task) -> list[int]:
    """Of w, anchor, grad, m, u, top and theta; 0 where there is none."""
    state, squares = task.state, [*task.state.preconditioner, None, None][:2]
    arrays = task.w, state.anchor, task.grad, state.estimator[0], *squares, task.theta
    return [0 if array is None else array.data_ptr() for array in arrays]
