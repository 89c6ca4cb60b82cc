"""The proximal gradient method on the subproblem: any regularizer with a proximal map."""

from __future__ import annotations

from dataclasses import dataclass, field

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver

from .stopping import SubgradientNorm


@dataclass(frozen=True)
class ProximalGradient(SubproblemSolver):
    """Z_j = prox_{theta weight psi}(Z_{j-1} - theta grad(Z_{j-1})), theta = 1 / max of the metric on each block.

    theta is halved for nonconvex psi. For convex psi the blocks that are zero in the solution are found first, exactly
    (0 is the solution on a block iff it is stationary there), and stay zero; a solve that begins at its solution takes
    no more than one iteration.

    default: the stopping rule for solves that are given none.

    Reference: RAMDA paper (NeurIPS 2024), Algorithm 2, with prox_{theta psi} in the place of prox_psi; one step size a
    block is valid because psi separates over blocks.
    """

    default: StoppingRule = field(default_factory=lambda: SubgradientNorm(1e-8, max_iterations=1000))

    def __post_init__(self) -> None:
        validate.instance("default", self.default, StoppingRule, "for example SubgradientNorm(1e-8)")

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return None

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        rule = stopping or self.default
        reached = rule.begin(problem, psi, start)
        step = self._step(problem, psi)
        screened = _zero_blocks(problem, psi, step) if psi.convex else None
        point = _clear(start, screened)
        iteration, done = 0, False
        while not done and iteration < rule.max_iterations:
            previous = point
            point = psi.prox(previous - step * problem.gradient(previous), step * problem.weight)
            point, iteration = _clear(point, screened), iteration + 1
            done = reached(point, previous, iteration)
        return Solution(point, iteration, problem.residual(point, psi), done)

    @staticmethod
    def _step(problem: Subproblem, psi: Regularizer) -> Array:
        """The step size of each block, a valid scale for psi's prox."""
        xp = array_namespace(problem.anchor)
        steepest = psi.block_max(xp.ones_like(problem.anchor) * problem.metric)
        return (1.0 if psi.convex else 0.5) / steepest


def _zero_blocks(problem: Subproblem, psi: Regularizer, step: Array) -> Array:
    """Booleans, constant on blocks: the solution is zero exactly where an iteration from 0 stays.  For convex psi."""
    xp = array_namespace(problem.anchor)
    point = psi.prox(-step * problem.gradient(xp.zeros_like(problem.anchor)), step * problem.weight)
    return psi.block_max(xp.abs(point)) == 0


def _clear(w: Array, blocks: Array | None) -> Array:
    xp = array_namespace(w)
    return w if blocks is None else xp.where(blocks, xp.zeros_like(w), w)
