"""Newton's method on the secular equation: group norms in any diagonal metric, exactly, in a few iterations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import GroupNorm


@dataclass(frozen=True)
class SecularNewton(SubproblemSolver):
    """w_g = b theta / (d theta + lam) with theta = ||w_g|| the root of ||b / (d theta + lam)|| = 1; 0 iff ||b|| <= lam.

    On each group b = metric * anchor - linear, d = metric and lam = weight * strength * sqrt(group size). The squared
    norm s(theta) is convex and decreasing; Newton's method on 1/sqrt(s) rises to the root from the left because each
    step bounds s from below by the term that Jensen's inequality gives. Two terms (Markov's sharper bound from two
    moments and max d) keep that property and converge faster: working precision takes 2 to 4 steps, and in the worst
    cases found 2 + log10(max d / min d): 6 at condition 1e4, 8 at 1e6.

    The work is done in float64 whatever the dtype, because ||b|| - lam cancels where a group is about to vanish.

    max_iterations: >= 1. `start` is only handed to the stopping rule: the solution does not depend on it.

    Reference: Moré and Sorensen, "Computing a trust region step", 1983; Conn, Gould and Toint, "Trust-region methods",
    2000, chapter 7.
    """

    max_iterations: int = 20

    def __post_init__(self) -> None:
        validate.store(self, max_iterations=validate.count("max_iterations", self.max_iterations))

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        if isinstance(psi, GroupNorm):
            return None
        return f"SecularNewton needs a norm of groups (GroupLasso), got {type(psi).__name__}; use ProximalGradient"

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        self.require(psi, problem)
        assert isinstance(psi, GroupNorm)
        equation, dtype = SecularEquation.of(problem, psi), problem.anchor.dtype
        limit = stopping.max_iterations if stopping else self.max_iterations
        reached = stopping.begin(problem, psi, start) if stopping else None
        at, point, iteration = equation.begin(), start, 0
        done = reached is None and equation.settled(at)
        while not done and iteration < limit:
            at, iteration = equation.newton(at), iteration + 1
            if reached is None:
                done = equation.settled(at)
            else:
                previous, point = point, equation.point(at, dtype)
                done = reached(point, previous, iteration)
        return Solution(equation.point(at, dtype), iteration, equation.residual(at), done)


@dataclass(frozen=True, slots=True)
class Iterate:
    """theta > 0, one number a group; q = b / (d theta + lam), its norm on each group, the step to the next theta."""

    theta: Array
    q: Array
    norm: Array
    step: Array


@dataclass(frozen=True, slots=True)
class SecularEquation:
    """||b / (d theta + lam)|| = 1 on each group where ||b|| > lam (there `active` is true); `top` is max d there."""

    psi: GroupNorm
    b: Array
    d: Array
    lam: float
    norm: Array
    top: Array
    active: Array

    @classmethod
    def of(cls, problem: Subproblem, psi: GroupNorm) -> SecularEquation:
        """The equation of the subproblem, in float64."""
        xp = array_namespace(problem.anchor)
        anchor, linear = xp.astype(problem.anchor, xp.float64), xp.astype(problem.linear, xp.float64)
        d = xp.ones_like(anchor) * problem.metric
        b, lam = psi.reduce(d * anchor - linear, problem.weight)
        norm = psi.group_norm(b)
        return cls(psi, b, d, lam, norm, psi.block_max(d), ~(norm <= lam))

    def begin(self) -> Iterate:
        """The larger of two points left of the root: a step from 0, and max (|b_i| - lam) / d_i, from one entry."""
        xp = array_namespace(self.b)
        norm, top, ones = _or_one(self.norm), _or_one(self.top), xp.ones_like(self.norm)
        first = norm / top * self._step((self.b / norm) ** 2, self.d / top, ones, ones, self.lam / norm)
        entry = self.psi.block_max((xp.abs(self.b) - self.lam) / self.d)
        return self._at(xp.where(self.active, xp.maximum(first, entry), xp.ones_like(self.norm)))

    def newton(self, at: Iterate) -> Iterate:
        """The next iterate; a step to the left can only be rounding and is not taken."""
        return self._at(array_namespace(at.theta).where(self.active & (at.step > 0), at.theta + at.step, at.theta))

    def settled(self, at: Iterate) -> bool:
        """Whether every active group is at its root up to rounding."""
        xp = array_namespace(at.norm)
        size = math.prod(self.b.shape) / max(math.prod(at.norm.shape), 1)
        tolerance = float(xp.finfo(at.norm.dtype).eps) * (8 + math.sqrt(size))
        return bool(xp.all(~self.active | (at.norm - 1 <= tolerance)))

    def point(self, at: Iterate, dtype: Any) -> Array:
        """w = theta q, exactly zero on the groups that are not active."""
        xp = array_namespace(self.b)
        return xp.astype(xp.where(self.active, at.theta * at.q, xp.zeros_like(self.b)), dtype)

    def residual(self, at: Iterate) -> Array:
        """The least norm of a subgradient at `point`: on an active group it is lam |norm - 1|."""
        xp = array_namespace(at.norm)
        gap = xp.where(self.active, at.norm - 1, xp.zeros_like(at.norm))
        return self.lam * xp.sqrt(xp.sum(gap * gap))

    def _at(self, theta: Array) -> Iterate:
        part, largest = self.d * theta, self.top * theta
        scale = 1 / (part + self.lam)
        q = self.b * scale
        norm = self.psi.group_sum(q * q) ** 0.5
        step = self._step(q * q, part * scale, largest / _or_one(largest + self.lam), norm, 1.0)
        return Iterate(theta, q, norm, theta * step)

    def _step(self, square: Array, x: Array, top: Array, norm: Array, offset: Array | float) -> Array:
        """A lower bound of the root delta of norm^2 mean(1 / (x delta + offset)^2) = 1, exact for two values of x.

        The mean is weighted by square, which adds up to norm^2. The weights on the values x <= top are replaced by
        two atoms, at top and at low, of the same mean and variance; the step for their mean is followed by one Newton
        step on the two-term equation.
        """
        xp = array_namespace(x)
        below = square * xp.where(x < top, top - x, xp.zeros_like(x))
        total, gap = _or_one(norm**2), self.psi.group_sum(below)
        mean = self.psi.group_sum(square * x) / total  # from the atoms it would lose as many digits as top / low has
        low = xp.where(gap > 0, self.psi.group_sum(below * x) / _or_one(gap), top)
        share = gap / total / _or_one(top - low)  # the weight of the atom at low
        delta = (norm - offset) / _or_one(mean)
        at_low, at_top = 1 / _or_one(low * delta + offset), 1 / _or_one(top * delta + offset)
        value = _or_one(total * (share * at_low**2 + (1 - share) * at_top**2))  # by rounding < 0 on groups not active
        slope = total * (share * low * at_low**3 + (1 - share) * top * at_top**3)
        more = (value**0.5 - 1) * value / _or_one(slope)
        return xp.where(more > 0, delta + more, delta)


def _or_one(a: Array) -> Array:
    """a with 1 in the place of what is not positive: a divisor."""
    xp = array_namespace(a)
    return xp.where(a > 0, a, xp.ones_like(a))
