"""Norms of groups: whole channels, columns or filters exactly zero."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .support import Support


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


class GroupNorm(Regularizer):
    """Regularizers whose blocks are groups: a group extends over `axes` and there is one for each other index.

    axes: distinct integers, negative ones count from the end; None where another part chooses them
    (`optkit.torch.regularize` does, by layer type). A convolution weight (out, in, height, width) with axes (0, 2, 3)
    has one group per input channel; a Linear weight (out, in) with axes 0 one per input column.

    In a diagonal metric the subproblem of a group norm reduces to min 1/2 <d w, w> - <b, w> + threshold ||w|| on each
    group; `reduce` gives b and the threshold, which is all that the secular solvers need.
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

    def group_norm(self, a: Array) -> Array:
        """The Euclidean norm of each group, safe against overflow and underflow.  a: S; returns as `group_sum`."""
        xp = array_namespace(a)
        largest = self.block_max(xp.abs(a))
        unit = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
        return unit * xp.sqrt(self.group_sum((a / unit) ** 2))

    def block_max(self, a: Array) -> Array:
        xp = array_namespace(a)
        if math.prod(a.shape) == 0:
            return self.group_sum(a)
        return xp.max(a, axis=self.group_axes(a.shape), keepdims=True)

    def manifold(self, w: Array) -> Support:
        return Support.of(self.block_max(array_namespace(w).abs(w)) != 0, w.shape, "groups")

    @abstractmethod
    def reduce(self, b: Array, weight: float) -> tuple[Array, float]:
        """(b, threshold) of the reduced problem for weight * psi.  b: S; threshold >= 0, one for all groups."""


@dataclass(frozen=True)
class GroupLasso(GroupNorm):
    """psi(w) = strength * sum_g sqrt(size of g) ||w_g||;  prox: w_g = v_g max(1 - scale * threshold / ||v_g||, 0).

    strength: >= 0;  axes: see GroupNorm;  scale_by_size: include the factor sqrt(size of g), the default as in the
    paper. Raises ValueError or TypeError for a bad strength or bad axes, and for arrays without those axes.

    Reference: Yuan and Lin, "Model selection and estimation in regression with grouped variables", 2006.
    """

    strength: float
    axes: tuple[int, ...] | int | None = None
    scale_by_size: bool = True
    convex = True

    def __post_init__(self) -> None:
        validate.store(self, axes=as_axes(self.axes))
        validate.store(self, strength=validate.nonnegative("strength", self.strength))
        if not isinstance(self.scale_by_size, bool):
            raise TypeError(f"scale_by_size must be True or False, got {self.scale_by_size!r}")

    def threshold(self, shape: tuple[int, ...]) -> float:
        """strength * sqrt(size of a group): the weight of ||w_g||."""
        return self.strength * (math.sqrt(self.group_size(shape)) if self.scale_by_size else 1.0)

    def value(self, w: Array) -> Array:
        return self.threshold(w.shape) * array_namespace(w).sum(self.group_norm(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        norm, threshold = self.group_norm(v), scale * self.threshold(v.shape)
        kept = ~(norm <= threshold)  # NaN is kept: it must not turn into a silent zero
        shrink = xp.where(kept, norm - threshold, xp.zeros_like(norm)) / xp.where(kept, norm, xp.ones_like(norm))
        return xp.where(kept, v * shrink, xp.zeros_like(v))

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        threshold = self.threshold(w.shape)
        norm_w, norm_u = self.group_norm(w), self.group_norm(u)
        ones = xp.ones_like(norm_w)
        sphere = threshold * (w / xp.where(norm_w > 0, norm_w, ones))  # w_g != 0: the point threshold * w_g / ||w_g||
        surface = threshold * (u / xp.where(norm_u > 0, norm_u, ones))
        ball = xp.where(norm_u > threshold, surface, u)  # w_g = 0: the ball ||.|| <= threshold
        return xp.where(norm_w > 0, sphere, ball)

    def reduce(self, b: Array, weight: float) -> tuple[Array, float]:
        return b, weight * self.threshold(b.shape)
