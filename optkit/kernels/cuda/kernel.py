"""The kernel: tables and numbers go to the device, a few launches take the steps of all parameters."""

from __future__ import annotations

import importlib.util
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import Constant, MethodState, ProximalMethod, SqrtCount
from optkit.kernels.base import Kernel, Taken, Task
from optkit.kernels.layout import dense, layout
from optkit.kernels.plan import Plan, plan
from optkit.regularizers import GroupMCP

from .clock import NUMBERS, DeviceClock
from .tables import Form, Gradients, Job, Tables, form, upload

Made = TypeVar("Made")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
REMEMBERED = 8
"""Sets of tables that are kept: one for each list of parameters that steps by itself."""


class Triton(Kernel):
    """Triton kernels for CUDA tensors without gaps, in any order of their axes; with TRITON_INTERPRET=1 for those in
    main memory, slowly, to try the kernels without a GPU. Nothing in `step` or `largest` waits for the device.

    Not for GroupMCP in a metric that differs from entry to entry: whether its subproblem is convex is only known on
    the device, and depends on numbers.
    """

    name = "triton"
    devices = ("cuda",)

    def __init__(self) -> None:
        super().__init__()
        self._tables: OrderedDict[Any, Any] = OrderedDict()
        self._captured: list[Any] = []  # tables that CUDA graphs read

    def missing(self) -> str | None:
        return _missing(interpreted())

    def refuses(self, w: Tensor) -> str | None:
        wanted = "cpu" if interpreted() else "cuda"
        if w.device.type != wanted:
            return f"it works on {wanted}, not on {w.device}"
        if w.dtype not in DTYPES:
            return f"it knows no {w.dtype}"
        return None if dense(w.shape, w.stride()) else "it needs tensors without gaps in memory"

    def lays_out(self, shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> bool:
        return layout(shape, strides, axes) is not None

    def refuses_method(self, method: ProximalMethod) -> str | None:
        if isinstance(method.psi, GroupMCP) and type(method.preconditioner) not in (Constant, SqrtCount):
            return "it takes GroupMCP in a constant metric only: nothing waits to see whether the subproblem is convex"
        return None

    def largest(self, tasks: Sequence[Task]) -> Tensor:
        if not tasks:
            return torch.zeros(0)
        from . import launches

        device, grads = tasks[0].w.device, [dense_like(task.grad, task.grad) for task in tasks]
        rows = tuple((grad.data_ptr(), grad.numel(), grad.dtype) for grad in grads)
        tables = self._remembered((device, rows), lambda: Gradients.of(rows, device))
        with _on(device):
            return launches.largest(tables, any(grad.dtype == torch.float64 for grad in grads), device)

    def step(self, tasks: Sequence[Task], ok: Tensor | None = None) -> list[Taken]:
        if not tasks:
            return []
        places: dict[Any, int] = {}
        plans: list[Plan] = []
        rows = []
        for method, _, _, state, *_ in tasks:
            key = id(method), state.t, getattr(state.estimator, "weight", None)
            if key not in places:
                places[key] = len(plans)
                plans.append(plan(method, state.t + 1, getattr(state.estimator, "weight", 0.0)))
            rows.append(places[key])
        numbers = np.array([[getattr(one, name) for name in NUMBERS] for one in plans])
        results = self._launch(tasks, [plans[row] for row in rows], rows, numbers, ok)
        return [
            Taken(_after(task.state, plans[row]), theta, 1, residual, converged)
            for task, row, (theta, residual, converged) in zip(tasks, rows, results, strict=True)
        ]

    def step_on(
        self, clock: DeviceClock, tasks: Sequence[Task], rows: Sequence[int], ok: Tensor | None = None
    ) -> list[Taken]:
        """The same with t, the weight of psi and the Plan's numbers on the device, so that a CUDA graph can replay it.

        rows: which of the clock's methods takes each task. The clock is prepared, and goes on by one step (where ok).
        The states' t and weight are ignored, and in the states returned they are the clock's tensors.

        Before the capture one such step must have been taken with the same arrays, theta among them: it compiles the
        kernels and brings the tables to the device.
        """
        if not tasks:
            return []
        results = self._launch(tasks, [clock.plans[row] for row in rows], list(rows), clock.numbers, ok)
        clock.advance(ok)
        return [
            Taken(clock.dated(task.state, row), theta, 1, residual, converged)
            for task, row, (theta, residual, converged) in zip(tasks, rows, results, strict=True)
        ]

    def _launch(
        self,
        tasks: Sequence[Task],
        plans: Sequence[Plan],
        rows: list[int],
        numbers: np.ndarray | Tensor,
        ok: Tensor | None,
    ) -> list[tuple[Tensor | None, Tensor, Tensor]]:
        """(theta, residual, converged) of each task after its step."""
        from . import launches

        device = tasks[0].w.device
        copies: list[tuple[Tensor, Tensor]] = []
        jobs, thetas = [], []
        for task, one, row in zip(tasks, plans, rows, strict=True):
            shape = form(task.method.psi, tuple(task.w.shape), task.w.stride())
            tidy = task if _alike(task) else _tidy(task, copies)
            theta = _theta(task, shape)
            thetas.append(theta)
            jobs.append(Job.of(tidy if theta is tidy.theta else tidy._replace(theta=theta), shape, one, row))
        tables = self._remembered((device, tuple(jobs)), lambda: Tables.of(jobs, device))
        with _on(device):
            values = upload(numbers, device) if isinstance(numbers, np.ndarray) else numbers
            residuals, converged = launches.steps(tables, values, ok, device)
            for original, copy in copies:
                original.copy_(copy)
        return list(zip(thetas, residuals.unbind(), converged.unbind(), strict=True))

    def _remembered(self, key: Any, make: Callable[[], Made]) -> Made:
        """What was made for this key, or is now; those least recently used are forgotten."""
        if key not in self._tables:
            self._tables[key] = make()
            if len(self._tables) > REMEMBERED:
                self._tables.popitem(last=False)
        if key[0].type == "cuda" and torch.cuda.is_current_stream_capturing():
            self._captured.append(self._tables[key])
        self._tables.move_to_end(key)
        made: Made = self._tables[key]
        return made


@cache
def _missing(without_device: bool) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "it needs triton, which is not installed; pip install triton (Linux only)"
    if not without_device and not torch.cuda.is_available():
        return "it needs a CUDA device; without one set TRITON_INTERPRET=1 to try it, slowly"
    return None


def interpreted() -> bool:
    """Whether Triton's kernels run in Python. It must have been so when triton was first imported."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def _on(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _after(state: MethodState, taken: Plan) -> MethodState:
    """The state after the step, whose arrays have been changed in place."""
    estimator = state.estimator if taken.dual is None else state.estimator._replace(weight=taken.dual)
    return state._replace(t=state.t + 1, estimator=estimator)


def _theta(task: Task, shape: Form) -> Tensor | None:
    """That of the last step, or zeros, for groups that are larger than a tile in a metric that is no number."""
    if shape.layout is None or shape.tile is None or shape.tile.stays or not task.state.preconditioner:
        return None
    count, dtype, theta = shape.layout.batches * shape.layout.groups, task.state.estimator[0].dtype, task.theta
    if theta is not None and theta.numel() == count and theta.dtype == dtype and theta.device == task.w.device:
        return theta
    return torch.zeros(count, dtype=dtype, device=task.w.device)


def _alike(task: Task) -> bool:
    """Whether all arrays have the strides of w."""
    strides, state = task.w.stride(), task.state
    arrays = (task.grad, state.anchor, state.estimator[0], *state.preconditioner)
    return all(a is None or a.stride() == strides for a in arrays)


def _tidy(task: Task, copies: list[tuple[Tensor, Tensor]]) -> Task:
    """The task with all arrays in memory as w is: copies of those that lie otherwise; of a state they go back."""

    def as_w(value: Any, back: bool) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0:
            return value
        tidy = dense_like(value, task.w)
        if back and tidy is not value:
            copies.append((value, tidy))
        return tidy

    def part(state: Any) -> Any:
        return type(state)(*(as_w(value, True) for value in state))

    old = task.state
    state = MethodState(old.t, as_w(old.anchor, False), old.solution, part(old.estimator), part(old.preconditioner))
    return task._replace(grad=as_w(task.grad, False), state=state)


def dense_like(value: Tensor, w: Tensor) -> Tensor:
    """value: S, or a copy of it that lies in memory as w: S does."""
    if value.stride() == w.stride() and value is not w:
        return value
    same = all(a == b for a, b, n in zip(value.stride(), w.stride(), w.shape, strict=True) if n != 1)
    if 0 in w.shape or (same and dense(w.shape, w.stride())):
        return value
    return torch.empty_like(w, dtype=value.dtype, memory_format=torch.preserve_format).copy_(value)
