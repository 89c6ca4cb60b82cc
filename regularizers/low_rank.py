"""Low rank: what the functions of the singular values share, and the constraint on the rank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Manifold, Regularizer

from .groups import group_max
from .host import to_host
from .sparse import where_scaled
from .svd import SVD, svd


@dataclass(frozen=True, eq=False)
class FixedRank(Manifold):
    """The matrices of one rank, a smooth manifold of dimension rank (m + n - rank).

    rank: >= 0;  shape: (m, n).  A matrix has the rank of those singular values that are not rounding errors.

    Reference: Vandereycken, "Low-rank matrix completion by Riemannian optimization", 2013.
    """

    rank: int
    shape: tuple[int, ...]

    @property
    def dimension(self) -> int:
        return self.rank * (sum(self.shape) - self.rank)

    @property
    def ambient(self) -> int:
        return math.prod(self.shape)

    def contains(self, w: Array, tol: float = 0.0) -> bool:
        """Whether all singular values of w but the first `rank` are at most tol, or rounding errors."""
        host = to_host(w)
        if host.shape != self.shape or not np.all(np.isfinite(host)):
            return False
        found = svd(host)
        return bool(np.all(~found.rank()[self.rank :] | (found.s[self.rank :] <= tol)))

    def distance(self, other: Manifold) -> int:
        """The difference of the dimensions."""
        if not isinstance(other, FixedRank):
            raise TypeError(f"a FixedRank is compared with a FixedRank, got {type(other).__name__}")
        if other.shape != self.shape:
            raise ValueError(f"the manifolds are of matrices of different shapes: {self.shape}, {other.shape}")
        return abs(self.dimension - other.dimension)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FixedRank) and (self.rank, self.shape) == (other.rank, other.shape)

    def __hash__(self) -> int:
        return hash((self.rank, self.shape))

    def __str__(self) -> str:
        return f"rank {self.rank} of {min(self.shape)}"


class LowRank(Regularizer):
    """Functions of the singular values of a matrix, one block.  Raises ValueError for arrays that are no matrices."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            name = type(self).__name__
            raise ValueError(
                f"{name} needs a matrix, got shape {tuple(shape)}; view a convolution (out, in, height, width) as one "
                f"with OnView({name}(...), shape=(0, -1))"
            )

    def svd(self, a: Array) -> SVD:
        """The decomposition of a; errors as `check`, and those of a matrix that is not finite."""
        self.check(a.shape)
        return svd(a)

    def manifold(self, w: Array) -> FixedRank:
        return FixedRank(self.svd(w).truncated().s.shape[0], tuple(w.shape))

    def block_max(self, a: Array) -> Array:
        return group_max(a, (0, 1))


def one_block(a: Array) -> Array:
    """A 0-d array as the value of the one block."""
    return array_namespace(a).reshape(a, (1, 1))


def infinite_where(condition: Array, a: Array) -> Array:
    """A 0-d a, infinite where the condition is true, as the value of the one block."""
    xp = array_namespace(a)
    return one_block(xp.where(condition, xp.full_like(a, math.inf), a))


def outside(at: SVD, u: Array) -> Array:
    """The part of u in the normal space of the matrices of this rank: P u Q with the projections P and Q on the
    complements of the columns and of the rows of the decomposition."""
    xp = array_namespace(u)
    left = u - at.u @ (xp.matrix_transpose(at.u) @ u)
    return left - (left @ xp.matrix_transpose(at.vh)) @ at.vh


@dataclass(frozen=True)
class RankConstraint(LowRank):
    """psi(w) = 0 where the rank of w: (m, n) is at most `rank`, else infinite;  prox: the largest singular values kept.

    rank: >= 0.  Raises ValueError or TypeError for other ranks, ValueError for arrays that are no matrices.

    Reference: Eckart and Young, "The approximation of one matrix by another of lower rank", 1936; for the normal cone
    Luke, "Prox-regularity of rank constraint sets and implications for algorithms", 2013.
    """

    rank: int

    def __post_init__(self) -> None:
        validate.store(self, rank=validate.count("rank", self.rank, least=0))

    def block_values(self, w: Array) -> Array:
        at = self.svd(w)
        return infinite_where(self._exceeded(at), 0 * at.largest())

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp, at = array_namespace(v), self.svd(v)
        point = at.compose(xp.where(at.order() < self.rank, at.s, xp.zeros_like(at.s)))
        return where_scaled(scale, v if self.rank >= min(v.shape) else point, v)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        """Of the normal cone: on the complements, and of rank min(m, n) - `rank` where w has a smaller rank."""
        xp, at = array_namespace(w), self.svd(w)
        normal = self.svd(outside(at.truncated(), u))
        few = normal.order() < min(w.shape) - self.rank
        cone = normal.compose(xp.where(self._reached(at) | few, normal.s, xp.zeros_like(normal.s)))
        return xp.where(self._exceeded(at), xp.full_like(u, math.inf), cone)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        """Infinite where the rank is exactly `rank`; 0 below, where small changes of the gradient raise it."""
        xp, at = array_namespace(w), self.svd(w)
        inside = infinite_where(self._reached(at) | xp.all(at.rank()), 0 * at.largest())
        return xp.where(self._exceeded(at), xp.full_like(inside, -math.inf), inside)

    def _exceeded(self, at: SVD) -> Array:
        return array_namespace(at.s).any(at.rank() & (at.order() >= self.rank))

    def _reached(self, at: SVD) -> Array:
        return array_namespace(at.s).sum(array_namespace(at.s).astype(at.rank(), at.s.dtype)) >= self.rank
