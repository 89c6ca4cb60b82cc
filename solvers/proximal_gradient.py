"""The proximal gradient method on the subproblem: any regularizer with a proximal map."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .iterative import clear, step_sizes, zero_blocks
from .stopping import SubgradientNorm


@dataclass(frozen=True)
class ProximalGradient(SubproblemSolver):
    """Z_j = prox_{theta weight psi}(Z_{j-1} - theta grad(Z_{j-1})), theta = 1 / max of the metric on each block.

    theta is halved for nonconvex psi. For convex psi the blocks that are zero in the solution are found first, exactly
    (0 is the solution on a block iff it is stationary there), and stay zero; a solve that begins at its solution takes
    no more than one iteration.

    default: the stopping rule for solves that are given none, to working precision if not said otherwise.
    backtracking: do not use the largest entry of the metric but begin with theta = 1 / mean and halve it, for all
    blocks, until the quadratic model with curvature 1 / theta is above Q at the new point; longer steps where the large
    entries of the metric do not matter, at the price of trials.
    local: for a psi that is nonconvex but weakly convex, theta is at most 1 / (2 weight rho), rho its weak convexity:
    the prox has one value and does not jump, so that the iteration ends at a stationary point near the start and not at
    a distant better one. Dual averaging needs it: its metric vanishes beside its weight, and the global minimiser of
    (4) runs away under a bounded psi such as MCP.

    Reference: RAMDA paper (NeurIPS 2024), Algorithm 2, with prox_{theta psi} in the place of prox_psi; Beck and
    Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, for the backtracking.
    """

    default: StoppingRule = field(default_factory=lambda: SubgradientNorm(1e-12, max_iterations=5000))
    backtracking: bool = False
    local: bool = False

    def __post_init__(self) -> None:
        validate.instance("default", self.default, StoppingRule, "for example SubgradientNorm(1e-8)")
        validate.flag("backtracking", self.backtracking)
        validate.flag("local", self.local)

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return None

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        rule = stopping or self.default
        reached = rule.begin(problem, psi, start)
        screened = zero_blocks(problem, psi, step_sizes(problem, psi))
        point, iteration, done = clear(start, screened), 0, False
        theta = self._first(problem, psi)
        while not done and iteration < rule.max_iterations:
            previous, iteration = point, iteration + 1
            point, theta = self._step(problem, psi, previous, theta)
            point = clear(point, screened)
            done = reached(point, previous, iteration)
        return Solution(point, iteration, problem.residual(point, psi), done)

    def _first(self, problem: Subproblem, psi: Regularizer) -> Array | float:
        xp = array_namespace(problem.anchor)
        if self.backtracking:
            theta = 1.0 / xp.mean(xp.ones_like(problem.anchor) * problem.metric)
        else:
            theta = step_sizes(problem, psi)
        if self.local and 0 < problem.weight * psi.weak_convexity < math.inf:
            longest = 1.0 / (problem.weight * psi.weak_convexity)
            theta = xp.minimum(theta, xp.full_like(theta, longest))
        return _trust(psi) * theta

    def _step(
        self, problem: Subproblem, psi: Regularizer, previous: Array, theta: Array | float
    ) -> tuple[Array, Array | float]:
        """The next point, and the step size with which it was found."""
        gradient = problem.gradient(previous)
        point = psi.prox(previous - theta * gradient, theta * problem.weight)
        while self.backtracking and not _below(problem, point - previous, _trust(psi) / theta):
            theta = theta / 2
            point = psi.prox(previous - theta * gradient, theta * problem.weight)
        return point, theta


def _trust(psi: Regularizer) -> float:
    """theta times the curvature it is good for: half as much without convexity, so that Q falls in every step."""
    return 1.0 if psi.convex else 0.5


def _below(problem: Subproblem, move: Array, curvature: Array | float) -> bool:
    """Whether ||move||_metric^2 <= curvature ||move||^2, up to rounding."""
    xp = array_namespace(move)
    square = move * move
    return not bool(xp.sum(problem.metric * square) > (1 + 1e-6) * curvature * xp.sum(square))
