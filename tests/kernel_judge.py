"""What counts as the same step, for a fused kernel and the reference.

The reference works in float64 whatever the dtype, and solves to rounding. How far a kernel may be off, with eps of the
dtype of the state and k = 16 + sqrt(entries of a group), or 64 in place of 16 in float64, where the reference's own
U ** (1/3) is off by 40 eps for U = 1e200:

* A sum is off by k eps times the sum of the absolute values of its terms.
* So the subproblem min 1/2 <d w, w> - <b, w> + weight psi(w), b = d anchor - linear, is another one: its b is off by
  slack = k eps scale, scale = d |anchor| + sum |terms of linear| + d |w| (the last from the rounding of d and of w).
* psi separable: the solution is monotone in b, so that it lies between those for b - slack and b + slack. Where both
  are equal (exact zeros, levels) it is exactly that; a jump is excused where, and only where, they differ.
* psi grouped: the subproblem is strongly convex in the norm of D = d - concavity, so that ||w - What||_D <=
  ||slack||_{1/D} on each group, where slack has the certificate in it as well: a root with | ||q|| - 1 | <= certificate
  leaves the gradient lam |q| certificate <= |b| certificate. It is 1e-5 in float32 and 1e-10 in float64. A group is
  zero where the reference's is, for b or, at the edge, for b (1 +- rounding), rounding = k eps ||scale|| / ||b||.
* The residual that a kernel reports is that of its point in exact numbers, up to ||slack||, and within the certificate.
* Numbers below the least normal one may be lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import MethodState, ProximalMethod, Step
from optkit.core import Radial, Subproblem
from optkit.kernels.base import Taken
from optkit.regularizers import SparseGroupLasso
from optkit.solvers import Automatic

CERTIFICATE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Bound of | ||q|| - 1 |, and in float64 of all other relative differences together."""


def mapped(state: Any, change: Callable[[Any], Any]) -> Any:
    """A state, or that of a part, with every field that is no part changed."""
    fields = (mapped(field, change) if hasattr(field, "_fields") else change(field) for field in state)
    return type(state)(*fields)


@dataclass(frozen=True)
class Before:
    """What a step begins with, in numpy's float64."""

    method: ProximalMethod
    w: np.ndarray
    grad: np.ndarray
    state: MethodState

    @cached_property
    def step(self) -> Step:
        """The reference's step."""
        with np.errstate(all="ignore"):  # on denormal numbers
            return self.method.step(self.w, self.grad, self.state)

    @cached_property
    def decayed(self) -> np.ndarray:
        """The previous anchor."""
        return np.asarray(self.method.decayed(self.w))

    @cached_property
    def problem(self) -> Subproblem:
        """The subproblem of the step."""
        return self.method.subproblem(self.decayed, self.step.state)

    @cached_property
    def terms(self) -> tuple[Any, Any]:
        """(state of the estimator after the step, linear term), if nothing could cancel: sums of absolute values."""
        clock = self.method.clock(self.step.state.t)
        absolute = mapped(self.state.estimator, lambda value: np.abs(value) if isinstance(value, np.ndarray) else value)
        after = self.method.estimator.update(np.abs(self.grad), clock, absolute)
        return after, self.method.estimator.linear(after, clock)[0]


def judge(before: Before, w: Tensor, taken: Taken, work: torch.dtype) -> None:
    """Raise AssertionError where w, changed by the kernel, or what it returned is not the reference's step.

    work: the dtype of the state."""
    eps, tiny = torch.finfo(work).eps, torch.finfo(w.dtype).tiny
    _same_state(before, taken.state, eps, torch.finfo(work).tiny)
    assert bool(taken.converged), "not converged"
    made = _Made.of(before, w, eps, tiny)
    assert np.isfinite(before.step.w).all() and bool(before.step.solution.converged), "no reference: change the case"
    psi = before.method.psi
    radial = psi.radial(made.b, before.problem.weight)
    if radial is None:
        _entries(before, made)
    else:
        _groups(before, made, radial, CERTIFICATE[work])
    if made.exact and w.dtype == work:  # rounded once more the point has another residual
        slack, scale = (math.hypot(*a.ravel().tolist()) for a in (made.slack, made.scale))
        true = math.hypot(*before.problem.subgradient(made.point, psi).ravel().tolist())
        reported = float(taken.residual)
        assert true <= reported + slack, f"the residual is {true:.3g}, not {reported:.3g} (rounding {slack:.3g})"
        limit = CERTIFICATE[work] * scale + slack
        assert reported <= limit, f"the residual is {reported:.3g} in spite of a certificate of {limit:.3g}"


@dataclass(frozen=True)
class _Made:
    """What the kernel made.  point: its What_t;  exact: whether that is W_t itself, with its zeros;  b, metric: of the
    subproblem;  scale, slack: see above;  rounding: of the point;  tiny: below which numbers may be lost."""

    point: np.ndarray
    exact: bool
    b: np.ndarray
    metric: np.ndarray
    scale: np.ndarray
    slack: np.ndarray
    rounding: np.ndarray
    tiny: float

    @classmethod
    def of(cls, before: Before, w: Tensor, eps: float, tiny: float) -> _Made:
        """eps: of the state;  tiny: the least normal number of w's dtype."""
        problem, hat, now = before.problem, np.asarray(before.step.solution.point), np.array(w.cpu().double().numpy())
        c, metric = before.method.averaging.weight(before.step.state.t), np.ones_like(now) * problem.metric
        rounding = torch.finfo(w.dtype).eps * np.abs(now)
        if c == 1:
            point = now
        else:
            point = (now - (1 - c) * before.decayed) / c
            rounding = 4 / c * (rounding + torch.finfo(w.dtype).eps * np.abs(before.decayed))
        scale = metric * np.abs(problem.anchor) + before.terms[1] + metric * np.abs(hat)
        scale = np.maximum(scale, metric * np.abs(now)) if c == 1 else scale
        k = (64 if eps < 1e-10 else 16) + math.sqrt(_size(before))
        slack = k * eps * scale + metric * rounding + 4 * tiny * (1 + metric)
        b = metric * problem.anchor - problem.linear
        return cls(point, c == 1, b, metric, scale, slack, rounding + 4 * eps * np.abs(hat) + 4 * tiny, tiny)


def _size(before: Before) -> int:
    """The number of entries of a block."""
    radial = before.method.psi.radial(before.w, 1.0)
    return 1 if radial is None else math.prod(before.w.shape[axis] for axis in radial.axes)


def _same_state(before: Before, state: MethodState, eps: float, tiny: float) -> None:
    expected, terms = before.step.state, before.terms[0]
    assert float(state.t) == expected.t, f"t is {state.t}, not {expected.t}"
    assert (state.anchor is None) == (expected.anchor is None) and state.solution is None
    if state.anchor is not None:
        same = np.asarray(state.anchor.cpu().double().numpy() == expected.anchor)
        assert same.all(), "the anchor changed"
    for part, sizes in (("estimator", terms), ("preconditioner", expected.preconditioner)):
        new, reference = getattr(state, part), getattr(expected, part)
        assert type(new) is type(reference), f"the state of the {part} is a {type(new).__name__}"
        for name, value, number, size in zip(reference._fields, new, reference, sizes, strict=True):
            if isinstance(number, np.ndarray):
                off = np.abs(value.cpu().double().numpy() - number) <= 16 * eps * size + 4 * tiny
                assert off.all(), f"{name} is {_first(value.cpu().double().numpy(), ~off)}, not {_first(number, ~off)}"
            elif number is not None:
                assert math.isclose(float(value), number, rel_tol=1e-12), f"{name} is {value}, not {number}"
            else:
                assert value is None


def _first(a: np.ndarray, bad: np.ndarray) -> str:
    """The first bad entry, with its place."""
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{a[place]:.9g} at {place}"


def _entries(before: Before, made: _Made) -> None:
    """Each entry lies between the proximal maps of b - slack and b + slack; where these are equal it is that."""
    psi, scale = before.method.psi, before.problem.weight / made.metric
    low, high = (np.asarray(psi.prox((made.b + sign * made.slack) / made.metric, scale)) for sign in (-1, 1))
    rounding = np.where((low == high) & made.exact, 0.0, made.rounding)
    fits = (low - rounding <= made.point) & (made.point <= high + rounding)
    if not fits.all():
        first = ", ".join(_first(a, ~fits) for a in (made.point, low, high))
        raise AssertionError(f"(point, low, high) is ({first})")


def _groups(before: Before, made: _Made, radial: Radial, certificate: float) -> None:
    """Each group is near the solution for b, or for b (1 + rounding) or b (1 - rounding), with the same zeros."""
    problem, psi, metric = before.problem, before.method.psi, made.metric

    def norm(a: np.ndarray) -> np.ndarray:
        return np.sqrt(np.sum(a * a, axis=radial.axes, keepdims=True))

    curved = np.where(metric > radial.concavity, metric - radial.concavity, metric)
    bound = norm((made.slack + certificate * made.scale) / np.sqrt(curved))
    level = problem.weight * psi.level if isinstance(psi, SparseGroupLasso) else 0.0
    at_edge = np.abs(np.abs(made.b) - level) <= made.slack

    def near(point: np.ndarray) -> np.ndarray:
        close = norm(np.sqrt(curved) * (made.point - point)) <= bound
        lost = np.maximum(np.abs(point), np.abs(made.point)) < 4 * made.tiny
        alike = ((point == 0) == (made.point == 0)) | at_edge | lost | (not made.exact)
        return close & np.all(alike, axis=radial.axes, keepdims=True)

    fits = near(np.asarray(before.step.solution.point))
    if fits.all():
        return
    size, whole = norm(radial.b), norm(made.slack)
    rounding = np.where(size > 0, whole / np.where(size > 0, size, 1.0), 0.0)
    for sign in (-1, 1):
        moved = replace(problem, linear=metric * problem.anchor - (1 + sign * rounding) * made.b)
        with np.errstate(all="ignore"):
            fits |= near(np.asarray(Automatic().solve(moved, psi, before.w).point))
    if not fits.all():
        shape = np.broadcast_to(fits, made.b.shape)
        error, point = norm(np.sqrt(curved) * (made.point - np.asarray(before.step.solution.point))), made.point
        raise AssertionError(
            f"a group is off by {_first(error, ~fits)} where {_first(bound, ~fits)} is allowed; its first entry is "
            f"{_first(point, ~shape)}, not {_first(np.asarray(before.step.solution.point), ~shape)}; "
            f"||b|| = {_first(size, ~fits)}, threshold {float(np.max(radial.threshold)):.9g}"
        )
