"""Runs whose subproblems are as inexact as a measure allows, with their objective gaps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from optkit.algorithms import ProximalMethod
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.solvers import Automatic

from .cases import Case
from .identification import Run, watch
from .inexact import Inexact

EVERY = 20
"""At every so many steps the gap is measured."""


@dataclass(frozen=True)
class Measured(SubproblemSolver):
    """Another solver, whose objective gap is noted at every EVERY-th solve, and the last point.

    gaps, points: filled by the solves.
    """

    solver: SubproblemSolver
    exact: SubproblemSolver
    gaps: list[float] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return self.solver.supports(psi, problem)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        found = self.solver.solve(problem, psi, start, stopping)
        self.points.append(found.point)
        if len(self.points) % EVERY == 0:
            best = self.exact.solve(problem, psi, found.point).point
            gap = float(problem.objective(found.point, psi)) - float(problem.objective(best, psi))
            self.gaps.append(gap / problem.scale)
        return found


@dataclass(frozen=True)
class Trial:
    """run: what was seen of the structure;  gaps: of the subproblems;  rise: F(What_T) minus F at the limit."""

    run: Run
    gaps: list[float]
    rise: float


def trial(case: Case, method: ProximalMethod, steps: int, seed: int) -> Trial:
    """One run of the method, whose solver is measured."""
    solver = method.solver
    exact = solver.exact if isinstance(solver, Inexact) else Automatic()
    measured = Measured(solver, exact)
    run = watch(case, replace(method, solver=measured), steps, seed)
    last = measured.points[-1]
    limit = case.limit(last).point
    rise = [float(case.problem.value(w) + case.psi.value(w)) for w in (last, limit)]
    return Trial(run, measured.gaps, rise[0] - rise[1])
