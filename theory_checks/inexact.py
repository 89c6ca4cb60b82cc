"""Solvers that are as inexact as a measure of inexactness allows: controls, not for use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.solvers import Automatic, SubgradientNorm


class Inexact(SubproblemSolver):
    """Goes away from the solution that another solver, `exact`, finds."""

    exact: SubproblemSolver

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return self.exact.supports(psi, problem)


@dataclass(frozen=True)
class WorstSubgradient(Inexact):
    """A point with min ||s|| <= epsilon_t and Q(point) <= Q(start): as bad for the structure as (7) allows.

    The exact solution of Q + <e, w> has -e in the subdifferential of Q. All of e pushes the block that is nearest to
    leaving the manifold, outwards; it is epsilon_t long, or less until the second inequality holds. It needs
    SubgradientNorm as the method's stopping rule, and solves exactly without.

    Reference: RAMDA paper (NeurIPS 2024), condition (7).
    """

    exact: SubproblemSolver = field(default_factory=Automatic)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        best = self.exact.solve(problem, psi, start)
        if not isinstance(stopping, SubgradientNorm):
            return best
        upper, direction = float(problem.objective(start, psi)), _outward(problem, psi, best.point)
        error = problem.scale * stopping.epsilon * direction
        for _ in range(40):
            point = self.exact.solve(replace(problem, linear=problem.linear + error), psi, start).point
            if float(problem.objective(point, psi)) <= upper:
                return Solution(point, 1, problem.residual(point, psi), True)
            error = 0.75 * error
        return best


def _outward(problem: Subproblem, psi: Regularizer, w: Array) -> Array:
    """The direction, of length 1, that takes the block of w with the least margin off the manifold; 0 without one."""
    slope = problem.gradient(w)
    if not problem.weight:
        return 0 * slope
    margins = psi.block_margins(w, slope / problem.weight) + 0 * slope
    pushed = np.where((margins == margins.min()) & np.isfinite(margins), slope, 0.0)
    return pushed / (np.linalg.norm(pushed) or 1.0)


@dataclass(frozen=True)
class SpreadSubgradient(Inexact):
    """A point with min ||s|| <= epsilon_t and Q(point) <= Q(start) that is bad in the objective and for the structure.

    Half of epsilon_t is spent along the nonzero entries of the solution, all with the sign that shrinks them, half by
    WorstSubgradient. It needs SubgradientNorm as the method's stopping rule, and solves exactly without.
    """

    exact: SubproblemSolver = field(default_factory=Automatic)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        best = self.exact.solve(problem, psi, start)
        if not isinstance(stopping, SubgradientNorm):
            return best
        signs, reached = np.sign(best.point), stopping.begin(problem, psi, start)
        for share in 0.5 ** np.arange(1, 20):
            error = share * problem.scale * stopping.epsilon * signs / max(float(np.linalg.norm(signs)), 1.0)
            rule = replace(stopping, epsilon=share * stopping.epsilon)
            tilted = replace(problem, linear=problem.linear + error)
            point = WorstSubgradient(self.exact).solve(tilted, psi, start, rule).point
            if reached(point, start, 1):
                return Solution(point, 1, problem.residual(point, psi), True)
        return best


@dataclass(frozen=True)
class ObjectiveGap(Inexact):
    """The point between the solution and the start at which Q is so much above its minimum: what stopping at an
    objective gap allows. Structure of the solution that the start does not have is lost, however small the gap.

    gap: >= 0, for Q as it is;  exact: finds the minimum.

    Reference: Lee, "Accelerating inexact successive quadratic approximation for regularized optimization through
    manifold identification", 2023, Example 1.
    """

    gap: float
    exact: SubproblemSolver = field(default_factory=Automatic)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        best = self.exact.solve(problem, psi, start).point
        allowed = float(problem.objective(best, psi)) + self.gap
        shares = 0.5 ** np.arange(50)
        points = (best + share * (start - best) for share in shares)
        point = next((p for p in points if float(problem.objective(p, psi)) <= allowed), best)
        return Solution(point, 1, problem.residual(point, psi), True)
