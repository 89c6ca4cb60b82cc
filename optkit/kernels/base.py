"""The seam for fast code: a kernel takes the steps of many parameters at once, in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from optkit.algorithms import MethodState, ProximalMethod
from optkit.core import Regularizer

from . import plan


class Task(NamedTuple):
    """One parameter that is to take one step.

    w: W_{t-1}: S, becomes W_t in place;  grad: S;  state: before the step, its arrays of float32 or float64 are changed
    in place;  theta: what the kernel left after the last step, one number a group, or None;  maximize: whether the
    gradient enters with the other sign.
    """

    method: ProximalMethod
    w: Tensor
    grad: Tensor
    state: MethodState
    theta: Tensor | None = None
    maximize: bool = False


class Taken(NamedTuple):
    """state: after the step, with the arrays of the task;  theta: for the next task;  iterations, residual, converged:
    of the subproblem, as in Solution."""

    state: MethodState
    theta: Tensor | None
    iterations: int
    residual: Tensor | float
    converged: Tensor | bool


class Kernel(ABC):
    """Takes the steps of `ProximalMethod.step_all`, fused: the same state, the same points up to rounding and the
    subproblem's certificate. It has no hyper-parameters, so that kernels can be exchanged in the middle of a run.
    """

    name: ClassVar[str]
    devices: ClassVar[tuple[str, ...]]
    """The types of device on which it is asked for by default."""

    def __init__(self) -> None:
        self._objections: dict[Any, str | None] = {}

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot run on this machine at all, with the remedy, or None."""

    @abstractmethod
    def refuses(self, w: Tensor) -> str | None:
        """Why it cannot work on tensors like w (their device, dtype or strides), or None."""

    @abstractmethod
    def lays_out(self, shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> bool:
        """Whether it knows groups over these axes of tensors with these strides."""

    def objection(self, method: ProximalMethod, w: Tensor) -> str | None:
        """Why it cannot take the steps of the method on w, or None: "it ..."."""
        return (
            self.missing() or plan.objection(method) or self.refuses_method(method) or self.objection_to(method.psi, w)
        )

    def refuses_method(self, method: ProximalMethod) -> str | None:
        """Why it cannot take the steps of a method that `plan` knows, whatever the tensor."""
        return None

    def objection_to(self, psi: Regularizer, w: Tensor) -> str | None:
        """Why it cannot work with psi, which it knows otherwise, on tensors like w."""
        axes = psi.axes if isinstance(psi, plan.GROUPED) else ()
        known = self._objections
        key = axes, w.shape, w.stride(), w.dtype, w.device
        if key not in known:
            if len(known) >= 4096:
                known.clear()
            known[key] = self.refuses(w) or self._objection_to_groups(psi, w)
        return known[key]

    def _objection_to_groups(self, psi: Regularizer, w: Tensor) -> str | None:
        if not isinstance(psi, plan.GROUPED):
            return None
        axes = psi.group_axes(tuple(w.shape))
        known = self.lays_out(tuple(w.shape), w.stride(), axes)
        return None if known else f"it knows no groups over the axes {axes} of strides {w.stride()}"

    def fleet(self, tasks: Sequence[Task], labels: Sequence[int]) -> Any:
        """What takes the steps of these tasks again and again with less to look up, or None; see cpu/fleet.py."""
        return None

    @abstractmethod
    def largest(self, tasks: Sequence[Task]) -> Tensor:
        """The largest |entry| of each task's gradient, NaN or infinite where it holds such an entry: one number a task,
        on the device of the tasks, for which nothing waits."""

    @abstractmethod
    def step(self, tasks: Sequence[Task], ok: Tensor | None = None) -> list[Taken]:
        """Take the steps.  ok: a flag on the device; where it is false no array changes.

        The caller has seen, or `ok` says, that all gradients are finite and that no Plan of the step `overflows`.
        """
