"""Stopping rules: when a subproblem solver may stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Reached, Regularizer, StoppingRule, Subproblem

from .iterative import clear, step_sizes, zero_blocks


@dataclass(frozen=True)
class SubgradientNorm(StoppingRule):
    """min ||s|| <= epsilon_t over s in the subdifferential of Q at the point, and Q(point) <= Q(start).

    epsilon_t = epsilon / t^power at step t of a run (since the start or the last restart). The theorems need the sum of
    epsilon_t^2 to be finite, so power > 1/2; `sum_of_squares` reports it. Both inequalities are checked up to the
    rounding error of their terms.

    epsilon: >= 0, the bound for the paper's Q_t, of (4) or (6): a problem that is `scale` times it has scale * epsilon.
    power: >= 0, 0 for a constant;  max_iterations: >= 1.

    Reference: RAMDA paper (NeurIPS 2024), conditions (7) and (8).
    """

    epsilon: float
    max_iterations: int = 100
    power: float = 0.0
    certifies = True

    def __post_init__(self) -> None:
        validate.store(self, epsilon=validate.nonnegative("epsilon", self.epsilon))
        validate.store(self, max_iterations=validate.count("max_iterations", self.max_iterations))
        validate.store(self, power=validate.nonnegative("power", self.power))

    def at(self, t: int) -> SubgradientNorm:
        return replace(self, epsilon=self.epsilon * t**-self.power, power=0.0) if self.power else self

    def sum_of_squares(self, steps: int) -> float:
        """The sum of epsilon_t^2 over the steps t = 1, ..., steps, for steps >= 0."""
        return math.fsum(self.at(t).epsilon ** 2 for t in range(1, steps + 1))

    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        xp = array_namespace(start)
        eps = float(xp.finfo(start.dtype).eps)
        rounding = 8 * eps * math.sqrt(max(math.prod(start.shape), 1))
        by_entry_or_norm = psi.separable or psi.radial(start, problem.weight) is not None
        unit = eps * (8 if by_entry_or_norm else 8 + 2 * math.sqrt(max(start.shape, default=1)))  # else it takes an SVD

        still = problem.metric * xp.abs(problem.anchor)
        still += xp.abs(problem.linear)

        def reached(point: Array, previous: Array, iteration: int) -> bool:
            terms = xp.abs(point)
            terms *= problem.metric
            terms += still
            terms *= terms
            bound = problem.scale * self.epsilon + unit * xp.sqrt(xp.sum(terms))
            if bool(problem.residual_bound(point, psi) > bound):
                return False
            s = problem.subgradient(point, psi)
            if not bool(_norm(s) <= bound):
                return False
            return (psi.convex and _above(problem, start, point, s)) or not_above(point)

        def not_above(point: Array) -> bool:
            slack = rounding * (_terms(problem, psi, start) + _terms(problem, psi, point))
            return bool(problem.objective(point, psi) <= problem.objective(start, psi) + slack)

        return reached


def _norm(a: Array) -> Array:
    xp = array_namespace(a)
    return xp.sqrt(xp.sum(a * a))


def _above(problem: Subproblem, start: Array, point: Array, s: Array) -> bool:
    """Whether the bound Q(start) >= Q(point) + <s, start - point> + 1/2 ||start - point||^2_metric for convex psi, with
    a subgradient s at the point, is enough to see that Q(start) >= Q(point)."""
    move = start - point
    terms = 0.5 * (problem.metric * move)
    terms += s
    terms *= move
    return bool(array_namespace(move).sum(terms) >= 0)


def _terms(problem: Subproblem, psi: Regularizer, w: Array) -> Array:
    """The terms of `objective` added up without their signs: the rounding error is relative to this, Q may cancel."""
    xp = array_namespace(w)
    move = xp.abs(w - problem.anchor)
    smooth = xp.sum(move * (xp.abs(problem.linear) + 0.5 * (problem.metric * move)))
    return smooth + problem.weight * xp.abs(psi.value(w)) if problem.weight else smooth


@dataclass(frozen=True)
class RelativeDecrease(StoppingRule):
    """(Q(previous) - Q(point)) / (|Q(point)| + 1) < rtol: what the published code does. It certifies nothing.

    Q is that of the blocks that are not zero in the solution, which for convex psi are known beforehand.

    rtol: >= 0;  1 <= min_iterations <= max_iterations.

    Reference: RAMDA paper (NeurIPS 2024), section 6, "Subproblem".
    """

    rtol: float = 1e-8
    min_iterations: int = 2
    max_iterations: int = 100

    def __post_init__(self) -> None:
        validate.store(self, rtol=validate.nonnegative("rtol", self.rtol))
        validate.store(self, min_iterations=validate.count("min_iterations", self.min_iterations))
        validate.store(self, max_iterations=validate.count("max_iterations", self.max_iterations, self.min_iterations))

    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        zero = zero_blocks(problem, psi, step_sizes(problem, psi))
        rest = replace(problem, linear=clear(problem.linear, zero), anchor=clear(problem.anchor, zero))

        def reached(point: Array, previous: Array, iteration: int) -> bool:
            if iteration < self.min_iterations:
                return False
            now = rest.objective(clear(point, zero), psi)
            return bool(rest.objective(clear(previous, zero), psi) - now < self.rtol * (abs(now) + 1))

        return reached


@dataclass(frozen=True)
class FixedIterations(StoppingRule):
    """Exactly n iterations, n >= 1, without a look at the values: nothing waits for the device."""

    iterations: int

    def __post_init__(self) -> None:
        validate.store(self, iterations=validate.count("iterations", self.iterations))

    @property
    def max_iterations(self) -> int:
        return self.iterations

    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        return lambda point, previous, iteration: iteration >= self.iterations
