"""Whether a fast step is a right one: the residual of its solutions, computed again in float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optkit.algorithms import MethodState
from optkit.core import Regularizer, Subproblem
from optkit.torch import MethodOptimizer
from optkit.torch.state import unpack

from .workload import Steps


@dataclass(frozen=True)
class Check:
    """Of the subproblems of one step.

    residual: min ||s|| over the subdifferential at the solution, relative to ||metric * anchor - linear||, the largest
    of all tensors;  zeros: the fraction of the weights that lie in groups (blocks of psi) that are zero;  condition:
    the largest entry of the metric divided by the smallest, the median over the groups of the median tensor.
    """

    residual: float
    zeros: float
    condition: float


Solved = tuple[Subproblem, Regularizer, Tensor]
"""A subproblem in float64, its regularizer, and the solution that an optimizer found."""


def check(steps: Steps) -> Check | None:
    """Take one step more and check it; None where nothing is regularized.

    The averaging is 1 in this step, so that the new weights are the solution that the optimizer found, bit for bit.
    """
    optimizer = steps.optimizer
    assert isinstance(optimizer, MethodOptimizer)
    pairs = [(p, group) for _, p, group in optimizer.regularized()]
    if not pairs:
        return None
    averaging = [group.get("averaging") for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group.update({"averaging": 1.0} if "averaging" in group else {})
    steps.prepare()
    before = [p.detach().clone() if optimizer.method(group).anchor == "previous" else p for p, group in pairs]
    steps.run()
    found = conclude(_solved(optimizer, p, group, w.detach()) for (p, group), w in zip(pairs, before, strict=True))
    for group, value in zip(optimizer.param_groups, averaging, strict=True):
        group.update({} if value is None else {"averaging": value})
    return found


def _solved(optimizer: MethodOptimizer, parameter: Tensor, group: dict[str, Any], before: Tensor) -> Solved:
    method = optimizer.method(group)
    state: MethodState = unpack({k: _double(v) for k, v in optimizer.state[parameter].items()}, method)
    problem = method.subproblem(method.decayed(_double(before)), state)
    return problem, method.psi, _double(parameter.detach())


def conclude(solved: Iterable[Solved]) -> Check:
    """The check of all subproblems of a step."""
    residuals, conditions, zeros, size = [0.0], [], 0.0, 0
    for problem, psi, w in solved:
        unit = float(torch.linalg.vector_norm(problem.metric * problem.anchor - problem.linear))
        residuals.append(float(problem.residual(w, psi)) / unit if unit else 0.0)
        metric = problem.metric * torch.ones_like(w)
        low, high = -psi.block_max(-metric), psi.block_max(metric)
        conditions.append(float((high / low).median()))
        silent = psi.block_max(w.abs()) == 0
        zeros += float(silent.double().mean()) * w.numel()
        size += w.numel()
    return Check(max(residuals), zeros / size, sorted(conditions)[len(conditions) // 2])


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
