"""Proximal gradient with spectral step lengths: as long as the curvature along the last step allows."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem

from .iterative import Request, Walk, clear, step_sizes, zero_blocks

MEAN = 2.0
"""The curvature of the first step, in means of the metric."""
SHARE = 0.01
"""What Q falls by, at least, in parts of the squared lengths of all steps."""


def spectral(problem: Subproblem, psi: Regularizer, start: Array, rule: StoppingRule) -> Walk:
    """Z_j = prox_{theta_j weight psi}(Z_{j-1} - theta_j grad(Z_{j-1})) for convex psi, with theta_j = stretch_j safe.

    safe is 1 / max of the metric on each block and ||.||_safe^2 = <., . / safe>. The next stretch is that of Barzilai
    and Borwein, ||s||_safe^2 / ||s||_metric^2 >= 1 with the last step s. Q(Z_j) - Q(Z_{j-1}) is at most
    ||s||_metric^2 / 2 - ||s||_safe^2 / stretch_j, which may be positive; a step after which the sum of these bounds is
    above -SHARE times the sum of ||s||_safe^2 / stretch_j is repeated with half of the stretch, down to 1, where it
    never is. So that sum is finite, the steps vanish, and the residuals, at most (1 / theta_j + metric) |s|, with them.

    Reference: Wright, Nowak and Figueiredo, "Sparse reconstruction by separable approximation", 2009, with the bounds
    in the place of values of Q; Barzilai and Borwein, "Two-point step size gradient methods", 1988.
    """
    psi, safe = psi.tracked(start), step_sizes(problem, psi)
    reached, screened = rule.begin(problem, psi, start), zero_blocks(problem, psi, safe)
    point, stretch = clear(start, screened), _first(problem, safe)
    fall, path, iteration, done = 0.0, 0.0, 0, False
    while not done and iteration < rule.max_iterations:
        theta, iteration = stretch * safe, iteration + 1
        v = problem.gradient(point)
        v *= -theta
        v += point
        candidate = clear((yield Request(psi, v, theta * problem.weight)), screened)
        longest, metric = _squares(problem, candidate - point, safe)
        bound, squares = fall + longest / stretch - metric / 2, path + longest / stretch
        if stretch > 1 and bound < SHARE * squares:
            stretch = max(stretch / 2, 1.0)
            continue
        fall, path = bound, squares
        stretch = max(longest / metric, 1.0) if metric else stretch
        previous, point = point, candidate
        done = reached(point, previous, iteration)
    return Solution(point, iteration, problem.residual(point, psi), done)


def _first(problem: Subproblem, safe: Array) -> float:
    """The stretch for a metric that is MEAN times its mean on each block, at least 1."""
    if not math.prod(problem.anchor.shape):
        return 1.0
    return max(1.0, 1.0 / (MEAN * float(array_namespace(safe).mean(safe * problem.metric))))


def _squares(problem: Subproblem, step: Array, safe: Array) -> tuple[float, float]:
    """||step||_safe^2 and ||step||_metric^2; overwrites the step."""
    xp = array_namespace(step)
    step *= step
    metric = float(xp.sum(problem.metric * step))
    step /= safe
    return float(xp.sum(step)), metric
