"""The subproblem solved by one proximal map."""

from __future__ import annotations

import math
from dataclasses import dataclass

from array_api_compat import array_namespace, device, is_array_api_obj

from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .iterative import iterative


@dataclass(frozen=True)
class ClosedForm(SubproblemSolver):
    """w = prox_{(weight/metric) psi}(anchor - linear/metric): a metric constant on the blocks of psi, or any metric.

    Any diagonal metric is fine where psi is separable or has such a proximal map (`Regularizer.any_metric`): weighted
    soft, firm and hard thresholds, the largest entries of a cardinality constraint.
    """

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        xp, metric = array_namespace(problem.anchor), problem.metric
        if psi.any_metric or not is_array_api_obj(metric):
            return None
        if bool(xp.all(psi.block_max(xp.broadcast_to(metric, problem.anchor.shape)) == metric)):
            return None
        name = type(psi).__name__
        radial = psi.radial(problem.anchor, problem.weight) is not None
        return (
            f"ClosedForm needs a metric constant on the blocks of {name}; "
            f"use {'SecularNewton' if radial else iterative(psi)}"
        )

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        self.require(psi, problem)
        point = psi.prox(problem.anchor - problem.linear / problem.metric, problem.weight / problem.metric)
        xp = array_namespace(point)
        finite = xp.all(xp.isfinite(point))  # one value on the device, which nothing waits for
        zero = xp.zeros((), dtype=point.dtype, device=device(point))
        return Solution(
            point, iterations=1, residual=xp.where(finite, zero, xp.full_like(zero, math.nan)), converged=finite
        )
