"""Functions of the norms of groups: whole channels, columns or filters exactly zero."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Radial, Regularizer

from .concave import MCP
from .l1 import L1
from .pinned import Support
from .sparse import SparsePenalty, soft_threshold


def as_axes(axes: tuple[int, ...] | int | None) -> tuple[int, ...] | None:
    """The axes as a tuple of integers, or None. Raises TypeError for anything else, ValueError for no axis at all."""
    if axes is None:
        return None
    given: Any = (axes,) if isinstance(axes, Integral) else axes
    whole = isinstance(given, (tuple, list)) and all(isinstance(axis, Integral) for axis in given)
    if not whole or any(isinstance(axis, bool) for axis in given):
        raise TypeError(f"axes must be an integer, a tuple of integers or None, got {axes!r}")
    if not given:
        raise ValueError("axes must name at least one axis, got (); for groups of one entry use L1")
    return tuple(int(axis) for axis in given)


def group_max(a: Array, axes: tuple[int, ...]) -> Array:
    """The largest entry of each group over these axes, 0 for groups without entries.  a: S; 1 in place of the axes."""
    xp = array_namespace(a)
    return xp.max(a, axis=axes, keepdims=True) if math.prod(a.shape) else xp.sum(a, axis=axes, keepdims=True)


def group_norm(a: Array, axes: tuple[int, ...]) -> Array:
    """The Euclidean norm of each group over these axes, safe against overflow and underflow.  As `group_max`."""
    xp = array_namespace(a)
    largest = group_max(xp.abs(a), axes)
    unit = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
    return unit * xp.sqrt(xp.sum((a / unit) ** 2, axis=axes, keepdims=True))


class Grouped(Regularizer):
    """Regularizers that look at groups: a group extends over `axes` and there is one for each other index.

    axes: distinct integers, negative ones count from the end; None where another part chooses them
    (`optkit.torch.regularize` does, by layer type). A convolution weight (out, in, height, width) with axes (0, 2, 3)
    has one group per input channel; a Linear weight (out, in) with axes 0 one per input column.
    """

    axes: tuple[int, ...] | int | None

    def group_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes a group extends over, non-negative and sorted, for arrays of this shape; errors as `check`."""
        if self.axes is None:
            raise ValueError(
                f"{type(self).__name__} has axes=None; say which axes a group extends over, for example axes=(0,), "
                "or let optkit.torch.regularize(model, ...) choose them by layer type"
            )
        ndim, given = len(shape), as_axes(self.axes) or ()
        if any(not -ndim <= axis < ndim for axis in given):
            raise ValueError(
                f"{type(self).__name__}: axes {given} do not exist in an array of shape {tuple(shape)}; "
                f"an axis lies in [{-ndim}, {ndim}) there; choose others or leave this array unregularized"
            )
        axes = tuple(sorted(axis % ndim for axis in given))
        if len(set(axes)) < len(axes):
            raise ValueError(
                f"{type(self).__name__}: axes {given} name an axis of shape {tuple(shape)} twice; name it once"
            )
        return axes

    def check(self, shape: tuple[int, ...]) -> None:
        self.group_axes(shape)

    def group_size(self, shape: tuple[int, ...]) -> int:
        """The number of entries of one group."""
        return math.prod(shape[axis] for axis in self.group_axes(shape))

    def group_sum(self, a: Array) -> Array:
        """The sum over each group.  a: S; returns S with 1 in place of the group's axes."""
        return array_namespace(a).sum(a, axis=self.group_axes(a.shape), keepdims=True)

    def group_max(self, a: Array) -> Array:
        """The largest entry of each group.  a: S; returns as `group_sum`."""
        return group_max(a, self.group_axes(a.shape))

    def group_norm(self, a: Array) -> Array:
        """The Euclidean norm of each group, safe against overflow and underflow.  a: S; returns as `group_sum`."""
        return group_norm(a, self.group_axes(a.shape))


@dataclass(frozen=True)
class GroupPenalty(Grouped):
    """psi(w) = sum_g p(||w_g||) with a sparsity penalty p on the line; prox: w_g = v_g prox_p(||v_g||) / ||v_g||.

    strength: >= 0;  axes: see Grouped;  scale_by_size: the strength of a group is strength * sqrt(its size), the
    default as in the paper. Raises ValueError or TypeError for a bad strength or bad axes, and for arrays without
    those axes.
    """

    strength: float
    axes: tuple[int, ...] | int | None = None
    scale_by_size: bool = True

    def __post_init__(self) -> None:
        validate.store(self, axes=as_axes(self.axes))
        validate.store(self, strength=validate.nonnegative("strength", self.strength))
        validate.flag("scale_by_size", self.scale_by_size)

    @abstractmethod
    def penalty(self, threshold: float) -> SparsePenalty:
        """p with this strength."""

    def threshold(self, shape: tuple[int, ...]) -> float:
        """strength * sqrt(size of a group), or the strength alone: the slope of psi in ||w_g|| at 0."""
        return self.strength * self._factor(shape)

    def _factor(self, shape: tuple[int, ...]) -> float:
        return math.sqrt(self.group_size(shape)) if self.scale_by_size else 1.0

    def block_values(self, w: Array) -> Array:
        return self.penalty(self.threshold(w.shape)).block_values(self.group_norm(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        norm = self.group_norm(v)
        shrunk = self.penalty(self.threshold(v.shape)).prox(norm, scale)
        kept = ~(shrunk == 0)  # NaN is kept: it must not turn into a silent zero
        return xp.where(kept, v * (shrunk / xp.where(kept, norm, xp.ones_like(norm))), xp.zeros_like(v))

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        penalty = self.penalty(self.threshold(w.shape))
        norm_w, norm_u = self.group_norm(w), self.group_norm(u)
        safe_w, safe_u = (xp.where(norm > 0, norm, xp.ones_like(norm)) for norm in (norm_w, norm_u))
        sphere = penalty.derivative(safe_w) * (w / safe_w)  # w_g != 0: the point p'(||w_g||) w_g / ||w_g||
        ball = xp.where(norm_u > penalty.slope, penalty.slope * (u / safe_u), u)  # w_g = 0: the ball of radius p'(0+)
        return xp.where(norm_w > 0, sphere, ball)

    def manifold(self, w: Array) -> Support:
        return Support.of(self.group_max(array_namespace(w).abs(w)) != 0, w.shape, "groups")

    def block_max(self, a: Array) -> Array:
        return self.group_max(a)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        xp = array_namespace(w)
        inside = self.threshold(w.shape) - self.group_norm(gradient)
        return xp.where(self.group_norm(w) > 0, xp.full_like(inside, math.inf), inside)

    def block_lambda_max(self, gradient: Array) -> Array:
        return self.group_norm(gradient) / (self._factor(gradient.shape) or 1.0)  # groups without entries have 0 / 0


@dataclass(frozen=True)
class GroupLasso(GroupPenalty):
    """psi(w) = strength * sum_g sqrt(size of g) ||w_g||;  prox: w_g = v_g max(1 - scale * threshold / ||v_g||, 0).

    Reference: Yuan and Lin, "Model selection and estimation in regression with grouped variables", 2006.
    """

    convex = True
    homogeneous = True

    def penalty(self, threshold: float) -> L1:
        return L1(threshold)

    def radial(self, b: Array, weight: float) -> Radial:
        return Radial(self.group_axes(b.shape), b, weight * self.threshold(b.shape))


@dataclass(frozen=True)
class GroupMCP(GroupPenalty):
    """psi(w) = sum_g p(||w_g||) with the MCP p of strength sqrt(size of g) * strength;  prox: firm group thresholding.

    gamma: > 0, see MCP; psi is convex up to curvature 1 / gamma.

    Reference: Breheny and Huang, "Group descent algorithms for nonconvex penalized linear and logistic regression
    models with grouped predictors", 2015; Deleu and Bengio, "Structured sparsity inducing adaptive optimizers for deep
    learning" (ProxSSI), 2021.
    """

    gamma: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, gamma=validate.positive("gamma", self.gamma))

    @property
    def weak_convexity(self) -> float:
        return self.penalty(self.strength).weak_convexity

    def penalty(self, threshold: float) -> MCP:
        return MCP(threshold, self.gamma)

    def radial(self, b: Array, weight: float) -> Radial:
        return Radial(self.group_axes(b.shape), b, weight * self.threshold(b.shape), weight / self.gamma)


@dataclass(frozen=True)
class SparseGroupLasso(GroupPenalty):
    """psi(w) = strength * sum_g (l1_ratio ||w_g||_1 + (1 - l1_ratio) sqrt(size of g) ||w_g||): zeros inside groups too.

    prox: soft thresholding, then that of the group norm.

    l1_ratio: in (0, 1), the share of the l1 norm (for all of it use L1, for none of it GroupLasso).

    Reference: Simon, Friedman, Hastie and Tibshirani, "A sparse-group lasso", 2013.
    """

    l1_ratio: float = 0.5
    convex = True
    homogeneous = True

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, l1_ratio=validate.fraction("l1_ratio", self.l1_ratio))
        if self.l1_ratio == 1:
            raise ValueError("l1_ratio must be a number in (0, 1), got 1; use L1")

    @property
    def level(self) -> float:
        """The weight of the l1 norm."""
        return self.strength * self.l1_ratio

    def penalty(self, threshold: float) -> L1:
        return L1((1 - self.l1_ratio) * threshold)

    def block_values(self, w: Array) -> Array:
        return self.level * self.group_sum(array_namespace(w).abs(w)) + super().block_values(w)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return super().prox(soft_threshold(v, scale * self.level), scale)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        """Of box + ball where w_g = 0: the part of u outside the box is brought into the ball."""
        xp = array_namespace(w)
        outside = soft_threshold(u, self.level)
        within = u - outside  # w_i = 0: the interval [-level, level]
        signs = xp.where(w > 0, xp.full_like(w, self.level), xp.where(w < 0, xp.full_like(w, -self.level), within))
        return signs + super().project_subdifferential(w, outside)

    def manifold(self, w: Array) -> Support:
        return Support.of(w != 0, w.shape, "entries")

    def block_margins(self, w: Array, gradient: Array) -> Array:
        """The signed distance to the boundary of box + ball where w_g = 0, of the box on the other zero entries."""
        xp = array_namespace(w)
        size, infinite = xp.abs(gradient), xp.full_like(w, math.inf)
        radius = self.penalty(self.threshold(w.shape)).slope
        out = self.group_norm(soft_threshold(gradient, self.level))
        depth = -self.group_max(xp.where(w == 0, size - self.level, -infinite))
        return xp.where(self.group_norm(w) > 0, depth, radius + xp.where(out > 0, -out, depth))

    def block_lambda_max(self, gradient: Array) -> Array:
        """The root of ||soft(g, l1_ratio x)|| = (1 - l1_ratio) factor x on each group, by Newton's method from 0: the
        difference is convex and falls."""
        xp, alpha = array_namespace(gradient), self.l1_ratio
        slope = (1 - alpha) * self._factor(gradient.shape)
        unit = self.group_norm(gradient)
        unit = xp.where(unit > 0, unit, xp.ones_like(unit))
        size, x = xp.abs(gradient) / unit, xp.zeros_like(unit)
        for _ in range(50):  # piecewise quadratic: it ends after a few steps
            over = xp.where(size > alpha * x, size - alpha * x, xp.zeros_like(size))
            norm = self.group_norm(over)
            fall = alpha * self.group_sum(over) / xp.where(norm > 0, norm, xp.ones_like(norm))
            x = x + xp.maximum(norm - slope * x, xp.zeros_like(x)) / (fall + (slope or 1.0))  # 0 without entries
        return unit * x

    def radial(self, b: Array, weight: float) -> Radial:
        threshold = weight * (1 - self.l1_ratio) * self.threshold(b.shape)
        return Radial(self.group_axes(b.shape), soft_threshold(b, weight * self.level), threshold)
