"""A step in numbers, as the loops unpack them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from optkit.algorithms import ProximalMethod
from optkit.kernels.plan import LIMIT, Penalty, Plan, penalty, plan

from .jobs import Geometry

COARSE = 4e-7
"""The epsilon beside which the cube root of denormals does not matter."""


class Cohort(NamedTuple):
    """Tensors that step alike.  t, weight: steps so far, and the weight of psi before this one, for dual averaging."""

    method: ProximalMethod
    t: int
    weight: float
    maximize: bool

    def __hash__(self) -> int:
        return hash((id(self.method), self.t, self.weight, self.maximize))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cohort) and self.method is other.method and self[1:] == other[1:]


class Recipe(NamedTuple):
    """A step in numbers, for all tensors of one shape that a method treats alike.

    flags: whether there are groups; whether the metric is adaptive, with a cube root, the largest so far; whether the
    anchor is W_0; and for groups whether entries and bends are penalized, else whether psi is MCP or Binary.
    numbers: what the loops unpack.
    """

    plan: Plan
    penalty: Penalty
    geometry: Geometry
    flags: tuple[bool | int, ...]
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, cohort: Cohort, shape: tuple[int, ...], strides: tuple[int, ...], plans: dict[Cohort, Plan]) -> Recipe:
        """plans: those that were made already."""
        p = plans.get(cohort)
        if p is None:
            p = plans[cohort] = plan(cohort.method, cohort.t + 1, cohort.weight)
        psi = penalty(cohort.method.psi, p.weight, shape)
        grouped = psi.kind == "groups"
        last = (psi.level > 0, psi.concavity > 0) if grouped else (psi.kind == "firm", psi.kind == "binary")
        cube = p.root == "cube" and (True if p.epsilon >= COARSE else 2)
        flags = grouped, p.root != "none", cube, p.root == "largest", p.anchored, *last
        gain = -p.gain if cohort.maximize else p.gain
        sums = p.keep, gain, p.out, p.keep_square, p.gain_square, p.correction, p.epsilon, p.decay, p.average, p.weight
        own = *sums, psi.first, psi.level if grouped else psi.second, psi.concavity
        numbers = *own, 1 - p.average  # computed in the loop it would be factored out, with another rounding
        place = Geometry(shape, strides, psi.axes) if grouped else Geometry((math.prod(shape),), (1,), None)
        return cls(p, psi, place, flags, numbers)

    def in_range(self, dtype: torch.dtype) -> bool:
        """Whether the loops' numbers stay in range, which are relative to the threshold; and whether a penalty that
        bends meets a metric, if that is a number, under which the subproblem is convex."""
        if self.penalty.kind != "groups":
            return True
        convex = self.plan.root != "none" or self.plan.epsilon > self.penalty.concavity
        return convex and 1 / LIMIT[dtype] < self.penalty.first < LIMIT[dtype]

    @property
    def bends(self) -> bool:
        """Whether it depends on the metric's entries that the subproblem is convex."""
        return self.penalty.concavity > 0 and self.plan.root != "none"
