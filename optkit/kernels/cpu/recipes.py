"""A step in numbers, as the loops unpack them."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

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


Flag: TypeAlias = Literal[True, 2] | None


class Flags(NamedTuple):
    """Which loop, by what there is: the type of a flag decides, when the loop is compiled.

    grouped: groups (2: each in one run of memory);  adaptive: a metric with entries;  cube: which are cube roots (2:
    also of denormals), else square roots;  top: of the largest so far;  anchored: the anchor is W_0;  plain: m and u
    are sums, and linear is m;  firm, binary: MCP, Binary;  inner, bent: in groups, a penalty of entries too, and a
    concave one.
    """

    grouped: Flag
    adaptive: Flag
    cube: Flag
    top: Flag
    anchored: Flag
    plain: Flag
    firm: Flag
    binary: Flag
    inner: Flag
    bent: Flag


class Recipe(NamedTuple):
    """A step in numbers, for all tensors of one shape that a method treats alike.  numbers: what the loops unpack."""

    plan: Plan
    penalty: Penalty
    geometry: Geometry
    flags: Flags
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, cohort: Cohort, shape: tuple[int, ...], strides: tuple[int, ...], plans: dict[Cohort, Plan]) -> Recipe:
        """plans: those that were made already."""
        p = plans.get(cohort)
        if p is None:
            p = plans[cohort] = plan(cohort.method, cohort.t + 1, cohort.weight)
        psi = penalty(cohort.method.psi, p.weight, shape)
        grouped, adaptive = psi.kind == "groups", p.root != "none"
        plain = p.keep == p.out == 1 and (p.keep_square == 1 or not adaptive)
        place = Geometry(shape, strides, psi.axes) if grouped else Geometry((math.prod(shape),), (1,), None)
        flags = Flags(
            grouped=None if not grouped else 2 if place.in_runs else True,
            adaptive=adaptive or None,
            cube=None if p.root != "cube" else True if p.epsilon >= COARSE else 2,
            top=p.root == "largest" or None,
            anchored=p.anchored or None,
            plain=plain or None,
            firm=psi.kind == "firm" or None,
            binary=psi.kind == "binary" or None,
            inner=(grouped and psi.level > 0) or None,
            bent=(grouped and psi.concavity > 0) or None,
        )
        gain = -p.gain if cohort.maximize else p.gain
        sums = p.keep, gain, p.out, p.keep_square, p.gain_square, p.correction, p.epsilon, p.decay, p.average, p.weight
        listed = *sums, psi.first, psi.level if grouped else psi.second, psi.concavity
        numbers = *listed, 1 - p.average  # computed in the loop it would be factored out, with another rounding
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
