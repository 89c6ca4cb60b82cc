"""The kernel for tensors in main memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import MethodState
from optkit.algorithms import Step as MethodStep
from optkit.kernels.base import Kernel, Taken, Task
from optkit.kernels.layout import dense, layout
from optkit.kernels.plan import LIMIT, Plan

from .fleet import Fleet
from .jobs import stretches
from .recipes import Cohort, Flags, Form, Reach, Recipe, numbers, recipe
from .running import Arrays, Batch, Outcome, Work, addresses, sizes


class Step(NamedTuple):
    """A task, its plan and its recipe."""

    task: Task
    plan: Plan
    recipe: Recipe

    @classmethod
    def of(cls, task: Task, plans: dict[Cohort, Plan]) -> Step:
        """plans: those that were made already."""
        w, psi = task.w, task.method.psi
        cohort = Cohort(task.method, task.state.t, getattr(task.state.estimator, "weight", 0.0), task.maximize)
        p = plans.get(cohort)
        if p is None:
            p = plans[cohort] = cohort.plan()
        return cls(task, p, recipe(Form.of(p), psi, tuple(w.shape), w.stride()))

    def taken(self, theta: Tensor | None, iterations: int, residual: float | Tensor, converged: bool | Tensor) -> Taken:
        """The outcome."""
        t, anchor, _, estimator, preconditioner = self.task.state
        if self.plan.dual is not None:
            estimator = type(estimator)(estimator[0], self.plan.dual)
        return Taken(
            MethodState(t + 1, anchor, None, estimator, preconditioner), theta, iterations, residual, converged
        )


class Numba(Kernel):
    """Loops compiled by numba, for float32 and float64 tensors without gaps, in any order of their axes."""

    name = "numba"
    devices = ("cpu",)

    def missing(self) -> str | None:
        try:
            import numba  # noqa: F401
        except ImportError as error:
            return f"it needs numba, which does not import ({error}); pip install numba"
        return None

    def refuses(self, w: Tensor) -> str | None:
        if w.device.type != "cpu":
            return f"it works in main memory, not on {w.device}"
        if w.dtype not in LIMIT:
            return f"it knows no {w.dtype}"
        return None if dense(w.shape, w.stride()) else "it needs tensors without gaps in memory"

    def lays_out(self, shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> bool:
        return layout(shape, strides, axes) is not None

    def largest(self, tasks: Sequence[Task]) -> Tensor:
        found = torch.zeros(len(tasks), dtype=torch.float64)
        for dtype in LIMIT:
            places = [i for i, task in enumerate(tasks) if task.grad.dtype == dtype]
            if places:
                grads, most = [tasks[i].grad for i in places], np.zeros(len(places))
                arrays = Arrays.of(dtype, [(0, 0, grad.data_ptr(), 0, 0, 0, 0) for grad in grads], 1)
                work = sizes(tuple(grad.numel() for grad in grads), arrays)
                work()
                work.largest(0, most)
                found[places] = torch.from_numpy(most)
        return found

    def fleet(self, tasks: Sequence[Task], labels: Sequence[int]) -> Fleet | None:
        return Fleet.of(tasks, labels)

    def step(self, tasks: Sequence[Task], ok: Tensor | None = None) -> list[Taken]:
        if ok is not None and not bool(ok):
            return [Taken(task.state, task.theta, 0, 0.0, True) for task in tasks]
        plans: dict[Cohort, Plan] = {}
        steps = [Step.of(task, plans) for task in tasks]
        batches: dict[tuple[torch.dtype, Flags], list[int]] = {}
        for i, each in enumerate(steps):
            batches.setdefault((each.task.w.dtype, each.recipe.flags), []).append(i)
        fused = {key: _for_loops(places, steps, *key) for key, places in batches.items()}
        others = set(range(len(tasks))).difference(*fused.values())
        new = {i: _reference(tasks[i]) for i in others}  # which may refuse: before anything changes
        taken = {i: _put(steps[i], outcome) for i, outcome in new.items()}
        for key, places in fused.items():
            if places:
                taken |= zip(places, _loop([steps[i] for i in places], *key), strict=True)
        return [taken[i] for i in range(len(tasks))]


def _for_loops(places: list[int], steps: list[Step], dtype: torch.dtype, flags: Flags) -> list[int]:
    """The places of the steps that the loops can take, of some with the same flags."""
    if flags.grouped:
        places = [i for i in places if (r := Reach.of([steps[i].recipe])) and r.fits(steps[i].plan, dtype)]
    if not (places and flags.adaptive and flags.bent):
        return places
    low = _least_metric([steps[i] for i in places], dtype, flags)
    bends = [steps[i].plan.weight * steps[i].recipe.penalty.concavity for i in places]
    return [i for i, least, bend in zip(places, low, bends, strict=True) if least > bend]


def _loop(steps: list[Step], dtype: torch.dtype, flags: Flags) -> list[Taken]:
    thetas = [_theta(step) if flags.grouped else None for step in steps]
    arrays = _arrays(steps, thetas, dtype)
    batch = Batch(range(len(steps)), [step.recipe.geometry for step in steps], arrays, flags)
    batch.work()
    square, passes, solved = map(np.ndarray.tolist, Outcome.of([batch], arrays))
    return [
        step.taken(theta, n, math.sqrt(r), well)
        for step, theta, n, r, well in zip(steps, thetas, passes, square, solved, strict=True)
    ]


def _arrays(steps: list[Step], thetas: Sequence[Tensor | None], dtype: torch.dtype) -> Arrays:
    """With a plan for each."""
    rows = [addresses(step.task, theta) for step, theta in zip(steps, thetas, strict=True)]
    arrays = Arrays.of(dtype, rows, len(steps))
    arrays.tensors[:, 7] = range(len(steps))
    arrays.penalties[:] = [step.recipe.numbers for step in steps]
    arrays.plans[:] = [numbers(step.plan, step.task.maximize, dtype) for step in steps]
    return arrays


def _theta(step: Step) -> Tensor:
    """That of the last step; 0 where there is none."""
    w, theta, count = step.task.w, step.task.theta, step.recipe.geometry.groups
    known = theta is not None and theta.numel() == count and theta.dtype == w.dtype
    return theta if known and theta is not None else torch.zeros(count, dtype=w.dtype)


def _least_metric(steps: list[Step], dtype: torch.dtype, flags: Flags) -> list[float]:
    """The smallest entry of each step's metric, which is adaptive."""
    from .entries import least

    jobs = stretches(tuple(step.task.w.numel() for step in steps), torch.get_num_threads())
    work = Work(least, jobs, _arrays(steps, [None] * len(steps), dtype), flags)
    work()
    low = np.full(len(steps), math.inf)
    np.minimum.at(low, jobs.tasks, work.results[:, 0])
    return low.tolist()


def _reference(task: Task) -> MethodStep:
    """The step of the parts, which leaves the task's arrays as they are."""
    return task.method.step(task.w, -task.grad if task.maximize else task.grad, task.state)


def _put(step: Step, new: MethodStep) -> Taken:
    """Put the step of the parts into the task's arrays."""
    task = step.task
    task.w.copy_(new.w)
    for old, values in zip(
        (*task.state.estimator, *task.state.preconditioner),
        (*new.state.estimator, *new.state.preconditioner),
        strict=True,
    ):
        if isinstance(old, Tensor):
            old.copy_(values)
    solution = new.solution
    return step.taken(None, solution.iterations, solution.residual, solution.converged)  # theta was that of another w
