"""A step in numbers, as the loops unpack them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import torch

from optkit.algorithms import ProximalMethod
from optkit.core import Regularizer
from optkit.kernels.plan import LIMIT, Penalty, Plan, Root, penalty, plan
from optkit.regularizers import Zero

from .jobs import Geometry

SOUGHT, ENOUGH = {4: 1e-5, 8: 1e-14}, {4: 1e-5, 8: 1e-10}
"""By the bytes of a number: the largest |h - 1| that is sought, about twice |sqrt(h) - 1|; and the largest
|sqrt(h) - 1|, as it is found at last, of a group that counts as solved."""
LEAST = {torch.float32: 1e-30, torch.float64: 1e-140}
"""Thresholds are larger, else the squares of what is relative to them would leave the range of float64."""
COARSE = 4e-7
"""The epsilon beside which the cube root of denormals does not matter."""


class Cohort(NamedTuple):
    """Tensors that step alike.  t, weight: steps so far, and the weight of psi before this one, for dual averaging."""

    method: ProximalMethod
    t: int
    weight: float
    maximize: bool

    def plan(self) -> Plan:
        """Of the next step."""
        return plan(self.method, self.t + 1, self.weight)

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


class Form(NamedTuple):
    """What of a Plan decides about flags.  coarse: whether the cube root of denormals does not matter;  free: whether
    psi has no weight;  the others: see Flags."""

    root: Root
    coarse: bool
    anchored: bool
    plain: bool
    free: bool

    @classmethod
    def of(cls, p: Plan) -> Form:
        """The form of a plan."""
        plain = p.keep == p.out == 1 and (p.keep_square == 1 or p.root == "none")
        return cls(p.root, p.epsilon >= COARSE, p.anchored, plain, p.weight == 0)


class Recipe(NamedTuple):
    """How tensors of one shape step under one psi and plans of one form."""

    penalty: Penalty
    geometry: Geometry
    flags: Flags

    @property
    def bends(self) -> bool:
        """Whether it depends on the metric's entries that the subproblem is convex."""
        return self.flags.bent is not None and self.flags.adaptive is not None

    @property
    def numbers(self) -> tuple[float, float, float]:
        """The penalty's, as the loops unpack them."""
        known = self.penalty
        return known.first, known.level if self.flags.grouped else known.second, known.concavity


@lru_cache(maxsize=4096)
def recipe(form: Form, psi: Regularizer, shape: tuple[int, ...], strides: tuple[int, ...]) -> Recipe:
    """That of tensors of this shape and these strides."""
    known = penalty(Zero() if form.free else psi, shape)
    grouped = known.kind == "groups"
    place = Geometry(shape, strides, known.axes) if grouped else Geometry((math.prod(shape),), (1,), None)
    flags = Flags(
        grouped=None if not grouped else 2 if place.in_runs else True,
        adaptive=form.root != "none" or None,
        cube=None if form.root != "cube" else True if form.coarse else 2,
        top=form.root == "largest" or None,
        anchored=form.anchored or None,
        plain=form.plain or None,
        firm=known.kind == "firm" or None,
        binary=known.kind == "binary" or None,
        inner=(grouped and known.level > 0) or None,
        bent=(grouped and known.concavity > 0) or None,
    )
    return Recipe(known, place, flags)


class Reach(NamedTuple):
    """Of some recipes with groups: the least and the largest threshold, and the largest concavity."""

    low: float
    high: float
    concavity: float

    @classmethod
    def of(cls, recipes: Iterable[Recipe]) -> Reach | None:
        """None where none has groups."""
        some = [each.penalty for each in recipes if each.flags.grouped]
        thresholds = [known.first for known in some]
        return cls(min(thresholds), max(thresholds), max(known.concavity for known in some)) if some else None

    def fits(self, p: Plan, dtype: torch.dtype) -> bool:
        """Whether the loops' numbers stay in range, which are relative to the threshold; and whether a penalty that
        bends meets a metric, if that is a number, under which the subproblem is convex."""
        convex = p.root != "none" or p.epsilon > p.weight * self.concavity
        return convex and LEAST[dtype] < p.weight * self.low and p.weight * self.high < LIMIT[dtype]


def numbers(p: Plan, maximize: bool, dtype: torch.dtype) -> tuple[float, ...]:
    """A plan's, as the loops unpack them."""
    sums = p.keep, -p.gain if maximize else p.gain, p.out, p.keep_square, p.gain_square
    rest = 1 - p.average  # computed in the loop it would be factored out, with another rounding
    return *sums, p.correction, p.epsilon, p.decay, p.average, p.weight, rest, p.bound(LIMIT[dtype])
