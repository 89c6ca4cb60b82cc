"""The accelerated proximal gradient method (FISTA) with adaptive restart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from array_api_compat import array_namespace, device

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .iterative import Request, Walk, clear, in_step, step_sizes, zero_blocks
from .stopping import SubgradientNorm

MEAN = 2.0
"""The curvature that is tried first, in means of the metric."""
MORE, LEAST = 1.2, 1.25
"""How much more curvature than that of the step is tried next, and by which factor theta shrinks at least."""
ROUNDING = 1e-6


@dataclass(frozen=True)
class AcceleratedProximalGradient(SubproblemSolver):
    """Z_j = prox_{theta weight psi}(Y_j - theta grad(Y_j)), Y_{j+1} = Z_j + beta_j (Z_j - Z_{j-1}), for convex psi.

    theta = 1 / max of the metric on each block, beta_j = (t_j - 1) / t_{j+1} with t_{j+1} = (1 + sqrt(1 + 4 t_j^2)) / 2
    from t_1 = 1. The momentum restarts, t = 1 and Y = Z, whenever <Y_j - Z_j, Z_j - Z_{j-1}> / theta > 0: it then
    points uphill. About sqrt(condition) iterations where ProximalGradient takes condition. Screening as there.

    Where the stopping rule certifies, theta begins longer, as if all of the metric were near its mean, and an iteration
    whose step shows more curvature, ||Z_j - Y_j||_metric^2 > ||Z_j - Y_j||^2 / theta, is repeated with a shorter one;
    it counts as one.

    default: the stopping rule for solves that are given none, to working precision if not said otherwise.

    Reference: Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, also with backtracking;
    O'Donoghue and Candes,
    "Adaptive restart for accelerated gradient schemes", 2015, the gradient scheme.
    """

    default: StoppingRule = field(default_factory=lambda: SubgradientNorm(1e-12, max_iterations=5000))

    def __post_init__(self) -> None:
        validate.instance("default", self.default, StoppingRule, "for example SubgradientNorm(1e-8)")

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        if psi.convex:
            return None
        return f"AcceleratedProximalGradient needs a convex psi, got {type(psi).__name__}; use ProximalGradient"

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        return self.solve_all([problem], psi, [start], stopping)[0]

    def solve_all(
        self,
        problems: Iterable[Subproblem],
        psi: Regularizer,
        starts: Iterable[Array],
        stopping: StoppingRule | None = None,
    ) -> list[Solution]:
        rule = stopping or self.default
        pairs = zip(problems, starts, strict=True)
        return in_step([self._walk(problem, psi, start, rule) for problem, start in pairs])

    def _walk(self, problem: Subproblem, psi: Regularizer, start: Array, rule: StoppingRule) -> Walk:
        self.require(psi, problem)
        xp, psi = array_namespace(start), psi.tracked(start) if rule.certifies else psi
        reached, safe = rule.begin(problem, psi, start), step_sizes(problem, psi)
        screened = zero_blocks(problem, psi, safe)
        stretch = _first_stretch(problem, safe) if rule.certifies else 1.0
        point = ahead = clear(start, screened)
        one = xp.ones((), dtype=start.dtype, device=device(start))
        t, iteration, done = one, 0, False
        while not done and iteration < rule.max_iterations:
            theta, iteration = stretch * safe, iteration + 1
            v = problem.gradient(ahead)
            v *= -theta
            v += ahead
            candidate = clear((yield Request(psi, v, theta * problem.weight)), screened)
            step = candidate - ahead
            if stretch > 1 and (curvature := _curvature(problem, step, theta)) > 1 + ROUNDING:
                stretch = max(stretch / max(MORE * curvature, LEAST), 1.0)
                continue
            move = candidate - point
            step *= move
            step /= theta
            uphill = xp.sum(step) < 0
            following = xp.where(uphill, one, (1 + (1 + 4 * t * t) ** 0.5) / 2)
            move *= xp.where(uphill, 0 * one, (t - 1) / following)
            move += candidate
            previous, point, ahead, t = point, candidate, move, following
            done = reached(point, previous, iteration)
        return Solution(point, iteration, problem.residual(point, psi), done)


def _first_stretch(problem: Subproblem, safe: Array) -> float:
    """The first theta / safe, at least 1: for a metric that is MEAN times its mean on each block."""
    if not math.prod(problem.anchor.shape):
        return 1.0
    return max(1.0, 1.0 / (MEAN * float(array_namespace(safe).mean(safe * problem.metric))))


def _curvature(problem: Subproblem, step: Array, theta: Array) -> float:
    """||step||_metric^2 / ||step||^2_(1 / theta), 0 for no step."""
    xp, square = array_namespace(step), step * step
    curved = float(xp.sum(problem.metric * square))
    square /= theta
    room = float(xp.sum(square))
    return curved / room if room else 0.0
