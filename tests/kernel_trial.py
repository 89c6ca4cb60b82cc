"""Any fused kernel against the reference, step by step: `walk(kernel, case, dtype)` raises AssertionError.

Every step starts from the reference's state, copied into the kernel's tensors; only the kernel's own theta is kept, so
that its warm starts are on trial. Every third state is changed so that groups end at the edge of zero. What counts as
equal: see kernel_judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import MethodState
from optkit.kernels.base import Kernel, Taken, Task
from optkit.kernels.plan import LIMIT, plan
from optkit.regularizers import Zero
from optkit.solvers import Automatic

from .kernel_cases import CASES, DENORMAL, LONGEST, PLACES, Case, Place
from .kernel_edges import at_the_edge
from .kernel_judge import Before, judge, mapped

__all__ = ["CASES", "PLACES", "Case", "Place", "walk", "walk_together"]

STEPS = 50
HALF = (torch.bfloat16, torch.float16)


def walk(
    kernel: Kernel,
    case: Case,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    steps: int = STEPS,
    refusals: frozenset[str] = frozenset(),
) -> None:
    """Walk the case and raise AssertionError, saying where and by how much, for the first thing that is wrong.

    dtype: of weights and gradients;  refusals: the names of the cases that the kernel must refuse, and no others.
    """
    walk_together(kernel, [case], dtype, device, steps, refusals)


def walk_together(
    kernel: Kernel,
    several: Sequence[Case],
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    steps: int = STEPS,
    refusals: frozenset[str] = frozenset(),
) -> None:
    """`walk`, with one call of the kernel for a step of all the cases."""
    walkers = [Walker(case, dtype, device, seed) for seed, case in enumerate(several)]
    for walker in walkers:
        reason = kernel.objection(walker.method, walker.w)
        assert (reason is not None) == (walker.case.name in refusals), f"{walker.case.name}: {reason or 'not refused'}"
    walkers = [walker for walker in walkers if walker.case.name not in refusals]
    for step in range(steps if walkers else 0):
        for walker in walkers:
            walker.advance(step)
        tasks = [walker.task(step) for walker in walkers]
        _same_largest(kernel, tasks)
        if step % 7 == 3:
            _masked(kernel, tasks)
        yes = torch.ones((), dtype=torch.bool, device=device) if step % 2 else None
        for walker, taken in zip(walkers, kernel.step(tasks, yes), strict=True):
            try:
                walker.follow(taken)
            except AssertionError as error:
                raise AssertionError(f"{walker.case.name}, {dtype}, step {step}: {error}") from None


def _same_largest(kernel: Kernel, tasks: Sequence[Task]) -> None:
    """Also with a gradient that is not finite."""
    largest = kernel.largest(tasks)
    expected = [task.grad.abs().max().item() if task.grad.numel() else 0.0 for task in tasks]
    assert largest.tolist() == expected, f"largest entries {largest.tolist()}, not {expected}"
    bad = (torch.nan, torch.inf, -torch.inf)[len(expected) % 3]
    spoilt = [task._replace(grad=torch.full_like(task.grad, bad)) for task in tasks if task.grad.numel()]
    assert not spoilt or not kernel.largest(spoilt).isfinite().any(), f"{bad} went unseen in a gradient"


def _masked(kernel: Kernel, tasks: Sequence[Task]) -> None:
    """With ok false nothing may change, even where the gradient is NaN."""

    def arrays(task: Task) -> list[Tensor]:
        state = task.state
        every = (task.w, task.theta, state.anchor, *state.estimator, *state.preconditioner)
        return [a for a in every if isinstance(a, Tensor)]

    before = [[a.clone() for a in arrays(task)] for task in tasks]
    spoilt = [task._replace(grad=torch.full_like(task.grad, torch.nan)) for task in tasks]
    kernel.step(spoilt, torch.zeros((), dtype=torch.bool, device=tasks[0].w.device))
    for task, olds in zip(tasks, before, strict=True):
        for new, old in zip(arrays(task), olds, strict=True):
            assert torch.equal(new, old), "an array changed although ok was false"


class Walker:
    """One case on its way: the kernel's tensors, which the reference fills."""

    def __init__(self, case: Case, dtype: torch.dtype, device: str, seed: int) -> None:
        self.case, self.place = case, case.place
        self.work = torch.float32 if dtype in HALF else dtype
        self.method, self.units = case.build(self.work)
        free = getattr(self.method.psi, "strength", 1.0) == 0
        self.exact = replace(self.method, solver=Automatic(), psi=Zero() if free else self.method.psi)
        self.random = np.random.default_rng([seed, *case.name.encode()])
        self.groups = tuple(1 if axis in self.place.axes else size for axis, size in enumerate(self.place.shape))
        self.w, self.grad = self.place.empty(dtype, device), self.place.empty(dtype, device)
        factor = self.random.choice([0.0, 0.1, 1.0, 3.0, 30.0, 100.0], self.groups)
        put(self.w, factor * self.random.standard_normal(self.place.shape) * self.units.move)
        self.theta: Tensor | None = None
        self.state = mapped(self.exact.init(number(self.w)), self.own)

    def own(self, value: Any) -> Any:
        """The array in a tensor that lies as w does and is shared by nothing else."""
        if not isinstance(value, np.ndarray):
            return value
        put(tensor := self.place.empty(self.work, str(self.w.device)), value)
        return tensor

    def advance(self, step: int) -> None:
        """The next gradient, and sometimes a restart or a state at the edge. theta is kept all the same."""
        shape, work = self.place.shape, self.work
        if step % 6 == 0:
            factors = [0.0, DENORMAL[work] / self.units.gradient, 0.1, 0.5, 1.0, 3.0]
            self.amplitude = self.random.choice(factors, self.groups) * self.units.gradient
            self.direction = self.random.standard_normal(shape)
        gradient = self.direction + self.random.standard_normal(shape) * (self.random.random() < 0.8)
        gradient = gradient * (self.random.random(shape) > 0.2) * self.amplitude * (step % 10 != 9)
        put(self.grad, gradient)
        if self.random.random() < 0.1 or self.state.t == LONGEST:
            self.enter(self.exact.init(number(self.w)))
        if step % 3 == 1:
            before = Before(self.exact, number(self.w), number(self.grad), mapped(self.state, number))
            edge = at_the_edge(before, self.random)
            if edge is not None:
                put(self.state.estimator[0], edge)
        largest = float(self.grad.abs().max()) if self.grad.numel() else 0.0
        assert not plan(self.method, self.state.t + 1, 0.0).overflows(largest, LIMIT[work]), "a case out of range"

    def enter(self, state: MethodState) -> None:
        """Put the reference's state into the kernel's tensors."""

        def into(old: Any, new: Any) -> Any:
            if not isinstance(old, Tensor):
                return new
            put(old, new)
            return old

        def part(old: Any, new: Any) -> Any:
            return type(old)(*map(into, old, new))

        estimator, preconditioner = part(self.state.estimator, state.estimator), part(self.state[-1], state[-1])
        self.state = MethodState(state.t, into(self.state.anchor, state.anchor), None, estimator, preconditioner)

    def task(self, step: int) -> Task:
        """The step, of -f upwards every third time."""
        uphill = step % 3 == 2
        self.before = Before(self.exact, number(self.w), number(self.grad), mapped(self.state, number))
        if uphill:
            self.grad.neg_()
        return Task(self.method, self.w, self.grad, self.state, self.theta, uphill)

    def follow(self, taken: Taken) -> None:
        """Compare what the kernel has written with the reference, and go on from the reference's."""
        judge(self.before, self.w, taken, self.work)
        step = self.before.step
        put(self.w, step.w)
        self.enter(step.state)
        self.theta = taken.theta


def put(tensor: Tensor, values: np.ndarray) -> None:
    """Round the values into the tensor."""
    tensor.copy_(torch.as_tensor(np.ascontiguousarray(values)).reshape(tensor.shape))


def number(value: Any) -> Any:
    """A tensor in numpy's float64; anything else as it is."""
    return np.array(value.detach().cpu().double().numpy()) if isinstance(value, Tensor) else value
