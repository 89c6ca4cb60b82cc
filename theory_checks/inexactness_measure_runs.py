"""Runs whose subproblems are as inexact as a measure allows, with their objective gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from optkit.algorithms import ProximalMethod
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.solvers import Automatic, ProximalGradient, SubgradientNorm

from .cases import Case
from .identification import Run, watch
from .inexact import ObjectiveGap, WorstSubgradient
from .truth import known, planted

EVERY = 20
"""At every so many steps the gap is measured."""
MARGIN = 0.15
"""Of the planted points."""
NEARBY = ProximalGradient(SubgradientNorm(1e-9, max_iterations=300), local=True)
"""Finds a stationary point near W_{t-1}, for nonconvex psi."""


@dataclass(frozen=True)
class SpreadSubgradient(SubproblemSolver):
    """A point with min ||s|| <= epsilon_t and Q(point) <= Q(start) that is bad in the objective and for the structure.

    Half of epsilon_t is spent along the nonzero entries of the solution, all with the sign that shrinks them, half by
    WorstSubgradient. It needs SubgradientNorm as the method's stopping rule, and solves exactly without.
    """

    exact: SubproblemSolver = field(default_factory=Automatic)

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return self.exact.supports(psi, problem)

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
    exact = solver.exact if isinstance(solver, SpreadSubgradient | ObjectiveGap) else Automatic()
    measured = Measured(solver, exact)
    run = watch(case, replace(method, solver=measured), steps, seed)
    last = measured.points[-1]
    limit = case.limit(last).point
    rise = [float(case.problem.value(w) + case.psi.value(w)) for w in (last, limit)]
    return Trial(run, measured.gaps, rise[0] - rise[1])


def given_case(psi: Regularizer) -> Case | None:
    """A problem whose solution has structure, for any psi that fits a (20, 4), (40,) or (8, 6) array; None where no
    structured point with a positive margin is found, as for smooth psi and for constraints.

    The sizes of the solution and of the noise go with the margin that psi allows, for psi that scale. For nonconvex psi
    the limit of each run decides, and subproblems are solved near W_{t-1}: the global minimiser of (4) need not
    converge.
    """
    for w in _structured(psi):
        widest = float(psi.margin(w, -psi.project_subdifferential(w, 0 * w)))
        if not 0 < widest < np.inf:
            continue
        size = widest / 0.2 if psi.homogeneous else 1.0
        direction, margin = np.random.default_rng(6).standard_normal(w.shape), 0.75 * widest
        problem = planted(psi, size * w, margin, direction, condition=2.0, noise=1.2 * size)
        if psi.convex:
            return Case(str(psi), psi, problem, known(problem, psi, size * w))
        return Case(str(psi), psi, problem, None, parts={"solver": NEARBY})
    return None


def _structured(psi: Regularizer) -> Iterator[Array]:
    """Proximal points, with structure, of arrays with zero rows or of rank one."""
    for shape in ((20, 4), (40,), (8, 6)):
        try:
            psi.check(shape)
        except ValueError:
            continue
        rng = np.random.default_rng(5)
        signs = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
        rows = signs * (2 + rng.random(shape))
        rows[shape[0] // 3 :] = 0.0
        for array in [rows, 1.5 * np.outer(signs[:, 0], signs[0])] if len(shape) == 2 else [rows]:
            w = np.asarray(psi.prox(array, 0.25))
            if np.any(w != 0) and psi.manifold(w).dimension <= 0.7 * w.size:
                yield w
