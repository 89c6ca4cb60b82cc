"""Constraints on the number of nonzero entries or groups."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .groups import Grouped, as_axes, group_max
from .pinned import Support
from .sparse import where_scaled


def largest(scores: Array, count: Array | int) -> Array:
    """Booleans: the `count` largest scores of each row, the first ones of equals; NaN counts as largest.

    scores: (rows, units);  count: a number or (rows, 1).
    """
    xp = array_namespace(scores)
    order = xp.argsort(xp.where(xp.isnan(scores), xp.full_like(scores, math.inf), scores), axis=1, descending=True)
    return xp.argsort(order, axis=1) < count


class SparseSet(Regularizer):
    """psi(w) = 0 where at most `limit` units of each row are nonzero, else infinite;  prox: the largest units kept.

    A row is what the constraint couples, a unit what is counted. The prox is exact in every diagonal metric: it keeps
    the units with the largest sum of v_i^2 / scale_i.

    Reference: Bauschke, Luke, Phan and Wang, "Restricted normal cones and sparsity optimization with affine
    constraints", 2014, for the normal cone.
    """

    @property
    @abstractmethod
    def limit(self) -> int:
        """How many units of a row may be nonzero."""

    @abstractmethod
    def scores(self, a: Array) -> Array:
        """The norm of each unit, (rows, units).  a: S."""

    @abstractmethod
    def spread(self, x: Array, shape: tuple[int, ...]) -> Array:
        """x: (rows, units) or (rows, 1) at the entries they stand for; broadcasts to shape."""

    @property
    def any_metric(self) -> bool:
        return True

    def block_values(self, w: Array) -> Array:
        xp, count = array_namespace(w), self._count(w)
        zero = xp.zeros(count.shape, dtype=w.dtype, device=w.device)
        return self.spread(xp.where(count <= self.limit, zero, zero + math.inf), w.shape)

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        if isinstance(scale, (float, Real)):
            weighted = v
        else:
            weighted = v / xp.where(scale > 0, scale, xp.ones_like(scale)) ** 0.5
        kept = self.spread(largest(self.scores(weighted), self.limit), v.shape)
        return where_scaled(scale, xp.where(kept | xp.isnan(v), v, xp.zeros_like(v)), v)  # NaN stays in sight

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        """Of the normal cone: zero on the nonzero units of w; on the others free where w has all the nonzeros it may
        have, else at most (units - limit) of them nonzero."""
        xp, scores = array_namespace(w), self.scores(w)
        others = xp.where(scores > 0, xp.full_like(scores, -1.0), self.scores(u))
        cone = (self._count(w) == self.limit) | largest(others, max(scores.shape[1] - self.limit, 0))
        inside = xp.where(self.spread(cone & ~(scores > 0), w.shape), u, xp.zeros_like(u))
        outside = self.spread(self._count(w) > self.limit, w.shape)
        return xp.where(outside, xp.full_like(u, math.inf), inside)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        """Infinite where a row has all the nonzero units it may have; 0 below, where a small gradient brings more."""
        xp, count = array_namespace(w), self._count(w)
        units = self.scores(w).shape[1]
        zero = xp.zeros(count.shape, dtype=w.dtype, device=w.device)
        inside = xp.where(count >= min(self.limit, units), zero + math.inf, zero)
        return self.spread(xp.where(count > self.limit, zero - math.inf, inside), w.shape)

    def _count(self, w: Array) -> Array:
        """How many units of each row are nonzero, (rows, 1)."""
        xp = array_namespace(w)
        return xp.sum(xp.astype(self.scores(w) > 0, xp.int64), axis=1, keepdims=True)


@dataclass(frozen=True)
class Cardinality(SparseSet):
    """psi(w) = 0 where at most k entries of w are nonzero, else infinite;  prox: the k largest entries kept.

    k: >= 0.  Raises ValueError or TypeError for other k.

    Reference: Blumensath and Davies, "Iterative hard thresholding for compressed sensing", 2009.
    """

    k: int

    def __post_init__(self) -> None:
        validate.store(self, k=validate.count("k", self.k, least=0))

    @property
    def limit(self) -> int:
        return self.k

    def scores(self, a: Array) -> Array:
        xp = array_namespace(a)
        return xp.reshape(xp.abs(a), (1, math.prod(a.shape)))

    def spread(self, x: Array, shape: tuple[int, ...]) -> Array:
        return array_namespace(x).reshape(x, (1,) * len(shape) if x.shape[1] == 1 else shape)

    def manifold(self, w: Array) -> Support:
        return Support.of(w != 0, w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return group_max(a, tuple(range(len(a.shape))))


@dataclass(frozen=True)
class GroupCardinality(SparseSet, Grouped):
    """psi(w) = 0 where at most k groups of w are nonzero, else infinite;  prox: the k groups of largest norm kept.

    k: >= 0;  axes: see Grouped.  Raises ValueError or TypeError for other k and bad axes.

    Reference: Baraniuk, Cevher, Duarte and Hegde, "Model-based compressive sensing", 2010.
    """

    k: int
    axes: tuple[int, ...] | int | None = None

    def __post_init__(self) -> None:
        validate.store(self, k=validate.count("k", self.k, least=0), axes=as_axes(self.axes))

    @property
    def limit(self) -> int:
        return self.k

    def scores(self, a: Array) -> Array:
        norms = self.group_norm(a)
        return array_namespace(a).reshape(norms, (1, math.prod(norms.shape)))

    def spread(self, x: Array, shape: tuple[int, ...]) -> Array:
        axes = self.group_axes(shape)
        kept = tuple(1 if axis in axes else length for axis, length in enumerate(shape))
        return array_namespace(x).reshape(x, (1,) * len(shape) if x.shape[1] == 1 else kept)

    def manifold(self, w: Array) -> Support:
        return Support.of(self.group_max(array_namespace(w).abs(w)) != 0, w.shape, "groups")

    def block_max(self, a: Array) -> Array:
        return group_max(a, tuple(range(len(a.shape))))


@dataclass(frozen=True)
class NMSparsity(SparseSet):
    """psi(w) = 0 where of every m consecutive entries along an axis at most n are nonzero, else infinite.

    prox: the n largest of every m kept. 2:4 sparsity, which GPUs accelerate, is NMSparsity(2, 4).

    1 <= n <= m: integers;  axis: along which the entries are counted, whose length m must divide; the last one by
    default, the inputs of a Linear weight (out, in).

    Reference: Mishra et al., "Accelerating sparse deep neural networks", 2021.
    """

    n: int
    m: int
    axis: int = -1

    def __post_init__(self) -> None:
        validate.store(self, n=validate.count("n", self.n), m=validate.count("m", self.m))
        if self.n > self.m:
            raise ValueError(f"n must be at most m, got n={self.n} of m={self.m}")
        axes = as_axes(self.axis)
        if axes is None or len(axes) != 1:
            raise TypeError(f"axis must be an integer, got {self.axis!r}")
        validate.store(self, axis=axes[0])

    @property
    def limit(self) -> int:
        return self.n

    def check(self, shape: tuple[int, ...]) -> None:
        axis, ndim = self.axis, len(shape)
        if not -ndim <= axis < ndim or shape[axis] % self.m:
            raise ValueError(
                f"NMSparsity: axis {axis} of an array of shape {tuple(shape)} must exist and have a length that is a "
                f"multiple of m={self.m}; choose another axis or m, or leave this array unregularized"
            )

    def scores(self, a: Array) -> Array:
        return array_namespace(a).abs(self._rows(a))

    def _rows(self, a: Array) -> Array:
        """The runs of m entries: (rows, m)."""
        self.check(a.shape)
        xp = array_namespace(a)
        moved = xp.moveaxis(a, self.axis, -1)
        return xp.reshape(moved, (math.prod(moved.shape) // self.m, self.m))

    def spread(self, x: Array, shape: tuple[int, ...]) -> Array:
        xp, axis = array_namespace(x), self.axis % len(shape)
        moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
        full = xp.broadcast_to(x, (math.prod(shape) // self.m, self.m))
        return xp.moveaxis(xp.reshape(full, moved), -1, axis)

    def manifold(self, w: Array) -> Support:
        return Support.of(w != 0, w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return self.spread(group_max(self._rows(a), (1,)), a.shape)
