"""A step like the last one, for the price of little more than its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import ProximalMethod
from optkit.kernels import Kernel, Task
from optkit.kernels.cpu.recipes import Cohort
from optkit.kernels.plan import objection

from .state import unpack


class Repeat:
    """The parameters of a step that one kernel took, and all that must be as it was for the next to be like it.

    entries: what `state` holds for the parameters;  groups: the group of each;  methods: of each group.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        entries: Sequence[dict[str, Any]],
        groups: Sequence[int],
        methods: list[ProximalMethod],
    ) -> None:
        self.parameters, self.entries, self.groups, self.methods = parameters, entries, groups, methods
        self.forms = [_form(p) for p in parameters]
        self.arrays = [
            [(key, v, v.data_ptr()) for key, v in entry.items() if isinstance(v, Tensor)] for entry in entries
        ]
        self.fleet: Any = None
        self.last: list[Cohort] = []

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        parameters: Sequence[Tensor],
        entries: Sequence[dict[str, Any]],
        groups: Sequence[int],
        methods: list[ProximalMethod],
    ) -> Repeat | None:
        """None where the kernel has no fleet of them."""
        repeat = cls(parameters, entries, groups, methods)
        tasks = [
            Task(methods[g], p, p.grad, unpack(entry, methods[g]), entry.get("theta"))
            for p, entry, g in zip(parameters, entries, groups, strict=True)
            if p.grad is not None
        ]
        repeat.fleet = kernel.fleet(tasks, groups)
        return None if repeat.fleet is None else repeat

    def gradients(self, state: dict[Tensor, dict[str, Any]]) -> list[Tensor] | None:
        """Those of the parameters, or None where anything is not as it was."""
        found = []
        times = [self.entries[i]["t"] for i in self.fleet.leaders]
        for p, entry, form, arrays, cohort in zip(
            self.parameters, self.entries, self.forms, self.arrays, self.fleet.cohort, strict=True
        ):
            grad = p.grad
            if grad is None or state.get(p) is not entry or entry["t"] != times[cohort]:
                return None
            if grad.layout != torch.strided or _form(p) != form or _form(grad) != form:
                return None
            for key, array, address in arrays:
                if entry.get(key) is not array or array.data_ptr() != address:
                    return None
            found.append(grad)
        return found

    def step(
        self, gradients: Sequence[Tensor], groups: Sequence[dict[str, Any]], method: Callable[[Any], ProximalMethod]
    ) -> bool | None:
        """Take it, in place; returns whether all subproblems were solved, or None where it is not to be had so."""
        cohorts = []
        for g in {self.groups[leader] for leader in self.fleet.leaders}:
            before, self.methods[g] = self.methods[g], method(groups[g])
            if self.methods[g] is not before and kind(self.methods[g]) != kind(before):
                return None
        for leader in self.fleet.leaders:
            g, entry = self.groups[leader], self.entries[leader]
            weight = entry.get("estimator.weight", 0.0)
            cohorts.append(Cohort(self.methods[g], entry["t"], weight, groups[g]["maximize"]))
        done = self.fleet.step(self.parameters, gradients, cohorts)
        if done is None:
            return None
        solved, plans = done
        for entry, c in zip(self.entries, self.fleet.cohort, strict=True):
            entry["t"] = cohorts[c].t + 1
            if plans[c].dual is not None:
                entry["estimator.weight"] = plans[c].dual
        self.last = cohorts
        torch.autograd.graph.increment_version(self.parameters)
        return solved

    def outcome(self) -> tuple[list[float], list[int], list[bool]] | None:
        """(residuals, passes, whether they were solved) of the subproblems of the last step, if there was one."""
        if not self.last:
            return None
        square, passes, solved = self.fleet.outcome()
        residuals = square**0.5
        for c, cohort in enumerate(self.last):
            if cohort.method.anchor == "previous":
                residuals[np.equal(self.fleet.cohort, c)] /= cohort.method.clock(cohort.t + 1).gain or 1.0
        return residuals.tolist(), passes.tolist(), solved.tolist()


def kind(method: ProximalMethod) -> tuple[Any, ...]:
    """What a kernel's choice depends on: all but numbers."""
    psi, metric = method.psi, method.preconditioner
    parts = type(psi), getattr(psi, "axes", None), type(method.estimator), type(metric)
    return *parts, getattr(metric, "amsgrad", False), method.solver, method.stopping, method.anchor, objection(method)


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
