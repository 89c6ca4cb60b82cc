"""Tensors that step together again and again: all that stays the same is looked up once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from optkit.kernels.base import Task
from optkit.kernels.plan import Plan

from .recipes import Cohort, Form, Reach, Recipe, numbers, recipe
from .running import Arrays, Batch, Outcome, addresses, sizes


class Fleet:
    """The tensors of these tasks, at later times and with other gradients.

    labels: tasks of different ones may come to differ in their methods.  cohort: the number of each task's cohort,
    tasks of one label and time;  leaders: the first task of each cohort.
    """

    def __init__(self, tasks: Sequence[Task], labels: Sequence[int]) -> None:
        self._kept = [(task.w, task.state, task.theta) for task in tasks]  # whose addresses are in the tables
        cohorts: dict[tuple[int, int, float], int] = {}
        kinds: dict[tuple[int, torch.Size, tuple[int, ...]], int] = {}
        self.cohort: list[int] = []
        self._kind: list[int] = []
        for label, task in zip(labels, tasks, strict=True):
            weight = getattr(task.state.estimator, "weight", 0.0)
            self.cohort.append(cohorts.setdefault((label, task.state.t, weight), len(cohorts)))
            self._kind.append(kinds.setdefault((self.cohort[-1], task.w.shape, task.w.stride()), len(kinds)))
        self._kinds = list(kinds)
        self.leaders = [self.cohort.index(c) for c in range(len(cohorts))]
        self._arrays = Arrays.of(tasks[0].w.dtype, [addresses(task, task.theta) for task in tasks], len(cohorts))
        self._arrays.tensors[:, 7] = self.cohort
        self._lengths = tuple(task.w.numel() for task in tasks)
        self._thetas = [-1 if task.theta is None else task.theta.numel() for task in tasks]
        self._pointers: object = None
        self._shown: object = None
        self._cut: object = None
        self._fits = False
        self._reaches: list[Reach | None] = []
        self._batches: list[Batch] = []
        self._done: list[Batch] = []

    @classmethod
    def of(cls, tasks: Sequence[Task], labels: Sequence[int]) -> Fleet | None:
        """The fleet; None where the tensors have several dtypes."""
        return cls(tasks, labels) if len({task.w.dtype for task in tasks}) == 1 else None

    def step(
        self, ws: Sequence[Tensor], gradients: Sequence[Tensor], cohorts: Sequence[Cohort]
    ) -> tuple[bool, list[Plan]] | None:
        """Take the step with these gradients, which lie in memory as the tensors do, in place; None, and nothing
        happened, where it needs the parts.

        Returns whether all subproblems were solved, and the plan of each cohort.
        """
        plans = [cohort.plan() for cohort in cohorts]
        if not self._prepared(cohorts, plans):
            return None
        dtype, tensors, _, rows = self._arrays
        pointers = [w.data_ptr() for w in ws], [grad.data_ptr() for grad in gradients]
        if pointers != self._pointers:
            tensors[:, 0], tensors[:, 2] = self._pointers = pointers
        rows[:] = [numbers(p, cohort.maximize, dtype) for p, cohort in zip(plans, cohorts, strict=True)]
        if not self._sizes():
            return None
        solved = [batch.work() for batch in self._batches]
        self._done = self._batches
        return all(solved), plans

    def outcome(self) -> Outcome:
        """What came of the last step."""
        return Outcome.of(self._done, self._arrays)

    def _prepared(self, cohorts: Sequence[Cohort], plans: Sequence[Plan]) -> bool:
        """Look up what changed since the last step; returns whether the loops can take this one."""
        forms, psis = [Form.of(p) for p in plans], [cohort.method.psi for cohort in cohorts]
        shown = torch.get_num_threads(), forms, psis
        if shown != self._shown:
            self._shown = None  # until all that follows is done
            self._prepare([recipe(forms[c], psis[c], tuple(shape), strides) for c, shape, strides in self._kinds])
            self._shown = shown
        dtype = self._arrays.dtype
        return self._fits and all(
            reach is None or reach.fits(p, dtype) for reach, p in zip(self._reaches, plans, strict=True)
        )

    def _prepare(self, recipes: list[Recipe]) -> None:
        """recipes: of each kind. The batches change with the kinds of penalties and with the number of threads."""
        self._arrays.penalties[:] = np.array([each.numbers for each in recipes])[self._kind]
        listed = list(zip(recipes, self._kinds, strict=True))
        self._reaches = [Reach.of([r for r, kind in listed if kind[0] == c]) for c in range(len(self.leaders))]
        cut = torch.get_num_threads(), [each.flags for each in recipes]
        if cut != self._cut:
            self._cut = None
            self._sizes, self._batches = sizes(self._lengths, self._arrays), []
            for flags in dict.fromkeys(each.flags for each in recipes):
                places = [i for i, kind in enumerate(self._kind) if recipes[kind].flags == flags]
                geometries = [recipes[self._kind[i]].geometry for i in places]
                self._batches.append(Batch(places, geometries, self._arrays, flags))
            self._cut = cut
        known = all(
            theta == recipes[kind].geometry.groups or not recipes[kind].flags.grouped
            for theta, kind in zip(self._thetas, self._kind, strict=True)
        )
        self._fits = known and not any(each.bends for each in recipes)
