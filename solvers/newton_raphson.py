"""Newton's method on the squared secular equation, as published for ProxSSI."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .secular import Iterate, SecularEquation, objection, or_one


@dataclass(frozen=True)
class NewtonRaphson(SubproblemSolver):
    """Newton's method on s(theta) - 1 = ||b / (d theta + lam)||^2 - 1 from theta_0 = (||b|| - lam) / max d.

    b, d and lam are those of SecularNewton, which finds the same root in fewer iterations. Here it ends, as published,
    when |s - 1| of all groups is below tolerance, or its change; the second can happen far from the root, and then
    `converged` is false. Works in float64, as SecularNewton does.

    tolerance: > 0;  max_iterations: >= 1. `start` is only handed to a stopping rule: the solution does not depend on
    it.

    Reference: Deleu and Bengio, "Structured sparsity inducing adaptive optimizers for deep learning" (ProxSSI), 2021.
    """

    tolerance: float = 1e-7
    max_iterations: int = 100

    def __post_init__(self) -> None:
        validate.store(self, tolerance=validate.positive("tolerance", self.tolerance))
        validate.store(self, max_iterations=validate.count("max_iterations", self.max_iterations))

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return objection("NewtonRaphson", psi, problem)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        self.require(psi, problem)
        equation, dtype = SecularEquation.of(problem, psi), problem.anchor.dtype
        xp = array_namespace(equation.b)
        limit = stopping.max_iterations if stopping else self.max_iterations
        reached = stopping.begin(problem, psi, start) if stopping else None
        theta = (equation.norm - equation.lam) / or_one(equation.top)
        at = equation.at(xp.where(equation.active, theta, xp.ones_like(theta)))
        point, before, iteration, done, stalled = start, xp.zeros_like(theta), 0, False, False
        while not (done or stalled) and iteration < limit:
            excess = xp.where(equation.active, at.norm**2 - 1, xp.zeros_like(theta))
            at, iteration = _newton(equation, at, excess), iteration + 1
            if reached is None:
                done = bool(xp.all(xp.abs(excess) < self.tolerance))
                stalled = bool(xp.all(xp.abs(excess - before) < self.tolerance))
            else:
                previous, point = point, equation.point(at, dtype)
                done = reached(point, previous, iteration)
            before = excess
        return Solution(equation.point(at, dtype), iteration, equation.residual(at), done)


def _newton(equation: SecularEquation, at: Iterate, excess: Array) -> Iterate:
    """The iterate at theta + (s - 1) / (2 sum b^2 d / (d theta + lam)^3); excess is s - 1."""
    xp = array_namespace(excess)
    theta = at.theta + at.theta * excess / (2 * or_one(equation.sum(at.q * at.q * at.x)))
    return equation.at(xp.where(equation.active, theta, at.theta))
