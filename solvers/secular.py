"""The secular equation: what the subproblem of a function of the norms of groups comes down to, a number a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from optkit.core import Array, Regularizer, Subproblem
from optkit.regularizers import group_max, group_norm

from .iterative import iterative


def objection(name: str, psi: Regularizer, problem: Subproblem) -> str | None:
    """Why there is no secular equation for psi in this problem, with the remedy, or None."""
    radial = psi.radial(problem.anchor, problem.weight)
    if radial is None:
        remedy = "ClosedForm" if psi.any_metric else iterative(psi)
        got = f"got {type(psi).__name__}; use {remedy}"
        return f"{name} needs a function of the norms of groups, such as GroupLasso, {got}"
    if psi.convex:
        return None
    xp = array_namespace(problem.anchor)
    if bool(xp.all(xp.ones_like(problem.anchor) * problem.metric > radial.concavity)):
        return None
    return (
        f"{name} needs a subproblem that is convex on each group, metric > weight * {psi.weak_convexity:g} for this "
        f"{type(psi).__name__}; make psi less concave, or use ProximalGradient"
    )


@dataclass(frozen=True, slots=True)
class Iterate:
    """theta > 0, one number a group; q = b / (d theta + lam) and x = d theta / (d theta + lam), both of S; the largest
    x of each group, and the norm of q on it, which is 1 at the solution."""

    theta: Array
    q: Array
    x: Array
    top: Array
    norm: Array


@dataclass(frozen=True, slots=True)
class SecularEquation:
    """||b / (d theta + lam)|| = 1 on each group of these axes where it has a root; there `active` is true, and top is
    max d. The solution is `flat` where |flat| > 0, beyond the bend of a concave penalty, and 0 on all other groups."""

    axes: tuple[int, ...]
    b: Array
    d: Array
    lam: Array
    norm: Array
    top: Array
    active: Array
    flat: Array | None

    @classmethod
    def of(cls, problem: Subproblem, psi: Regularizer) -> SecularEquation:
        """The equation of the subproblem, in float64."""
        xp = array_namespace(problem.anchor)
        anchor, linear = xp.astype(problem.anchor, xp.float64), xp.astype(problem.linear, xp.float64)
        metric = xp.ones_like(anchor) * problem.metric
        radial = psi.radial(metric * anchor - linear, problem.weight)
        assert radial is not None
        norm = group_norm(radial.b, radial.axes)
        lam = xp.ones_like(norm) * radial.threshold
        active, flat, d = ~(norm <= lam), None, metric - radial.concavity
        if not psi.convex:
            free = radial.b / metric
            beyond = active & (group_norm(free, radial.axes) * radial.concavity >= lam)
            active, flat = active & ~beyond, xp.where(beyond, free, xp.zeros_like(free))
        return cls(radial.axes, radial.b, d, lam, norm, group_max(d, radial.axes), active, flat)

    def point(self, at: Iterate, dtype: Any) -> Array:
        """w = theta q, exactly zero on the groups that are not active."""
        xp = array_namespace(self.b)
        other = xp.zeros_like(self.b) if self.flat is None else self.flat
        return xp.astype(xp.where(self.active, at.theta * at.q, other), dtype)

    def residual(self, at: Iterate) -> Array:
        """The least norm of a subgradient at `point`: on an active group it is lam |norm - 1|."""
        xp = array_namespace(at.norm)
        gap = xp.where(self.active, at.norm - 1, xp.zeros_like(at.norm))
        return xp.sqrt(xp.sum((self.lam * gap) ** 2))

    def sum(self, a: Array) -> Array:
        """The sum over each group, with 1 in place of its axes."""
        return array_namespace(a).sum(a, axis=self.axes, keepdims=True)

    def at(self, theta: Array) -> Iterate:
        """The iterate of this theta."""
        part, largest = self.d * theta, self.top * theta
        scale = 1 / (part + self.lam)
        q = self.b * scale
        return Iterate(theta, q, part * scale, largest / or_one(largest + self.lam), self.sum(q * q) ** 0.5)


def or_one(a: Array) -> Array:
    """a with 1 in the place of what is not positive: a divisor."""
    xp = array_namespace(a)
    return xp.where(a > 0, a, xp.ones_like(a))
