"""Faster proximal gradient methods: FISTA with adaptive restart, or spectral steps where they may be looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from array_api_compat import array_namespace, device

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .iterative import Request, Walk, clear, in_step, step_sizes, zero_blocks
from .spectral import spectral
from .stopping import SubgradientNorm

SPREAD = 3e2
"""Up to about that condition of the metric, spectral steps take fewer iterations than momentum does."""


@dataclass(frozen=True)
class AcceleratedProximalGradient(SubproblemSolver):
    """Z_j = prox_{theta weight psi}(Y_j - theta grad(Y_j)), Y_{j+1} = Z_j + beta_j (Z_j - Z_{j-1}), for convex psi.

    theta = 1 / max of the metric on each block, beta_j = (t_j - 1) / t_{j+1} with t_{j+1} = (1 + sqrt(1 + 4 t_j^2)) / 2
    from t_1 = 1. The momentum restarts, t = 1 and Y = Z, whenever <Y_j - Z_j, Z_j - Z_{j-1}> / theta > 0: it then
    points uphill. About sqrt(condition) iterations where ProximalGradient takes condition. Screening as there.

    Where the stopping rule certifies and the metric has a condition of at most SPREAD on each block, the method is
    `spectral`: it takes fewer iterations there, by looking at its steps.

    default: the stopping rule for solves that are given none, to working precision if not said otherwise.

    Reference: Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009; O'Donoghue and Candes,
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
        walks = []
        for problem, start in zip(problems, starts, strict=True):
            self.require(psi, problem)
            walk = spectral if rule.certifies and _condition(problem, psi) <= SPREAD else self._walk
            walks.append(walk(problem, psi, start, rule))
        return in_step(walks)

    def _walk(self, problem: Subproblem, psi: Regularizer, start: Array, rule: StoppingRule) -> Walk:
        xp, psi = array_namespace(start), psi.tracked(start) if rule.certifies else psi
        reached, theta = rule.begin(problem, psi, start), step_sizes(problem, psi)
        screened = zero_blocks(problem, psi, theta)
        point = ahead = clear(start, screened)
        one = xp.ones((), dtype=start.dtype, device=device(start))
        t, iteration, done = one, 0, False
        while not done and iteration < rule.max_iterations:
            previous, iteration = point, iteration + 1
            v = problem.gradient(ahead)
            v *= -theta
            v += ahead
            point = clear((yield Request(psi, v, theta * problem.weight)), screened)
            move, step = point - previous, ahead - point
            step *= move
            step /= theta
            uphill = xp.sum(step) > 0
            following = xp.where(uphill, one, (1 + (1 + 4 * t * t) ** 0.5) / 2)
            move *= xp.where(uphill, 0 * one, (t - 1) / following)
            move += point
            ahead, t, done = move, following, reached(point, previous, iteration)
        return Solution(point, iteration, problem.residual(point, psi), done)


def _condition(problem: Subproblem, psi: Regularizer) -> float:
    """The largest entry of the metric on a block in parts of the least one there, over all blocks."""
    share = step_sizes(problem, psi) * problem.metric
    least = float(array_namespace(share).min(share)) if math.prod(problem.anchor.shape) else 1.0
    return 1.0 / least if least > 0 else math.inf
