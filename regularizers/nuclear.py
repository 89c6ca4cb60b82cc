"""The nuclear norm, whose proximal map makes a matrix one of low rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from array_api_compat import array_namespace, device

from optkit import validate
from optkit.core import Array, Regularizer

from .leading import LOSS, leading, within
from .low_rank import LowRank, infinite_where, one_block, outside
from .svd import SVD
from .tracked import TrackedNuclearNorm


@dataclass(frozen=True)
class NuclearNorm(LowRank):
    """psi(w) = strength * (sum of the singular values of w: (m, n));  prox: soft thresholding of the singular values.

    strength: >= 0, without a factor for the size.  Raises ValueError or TypeError for other strengths, ValueError for
    arrays that are no matrices and for those with NaN or infinity. A convolution weight (out, in, height, width) is
    regularized as the matrix (out, in height width) by OnView(NuclearNorm(...), shape=(0, -1)).

    The prox needs the singular triplets above scale * strength alone: from a Gram matrix where a bound says that it is
    accurate enough, else from a full decomposition. The solvers track them from iteration to iteration.

    Reference: Fazel, Hindi and Boyd, "A rank minimization heuristic", 2001; Watson, "Characterization of the
    subdifferential of some matrix norms", 1992; Cai, Candes and Shen, "A singular value thresholding algorithm for
    matrix completion", 2010, theorem 2.1.
    """

    strength: float
    convex = True
    homogeneous = True

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength))

    def block_values(self, w: Array) -> Array:
        return self.strength * one_block(array_namespace(w).sum(self.svd(w).s))

    def prox(self, v: Array, scale: Array | float) -> Array:
        self.check(v.shape)
        threshold = self.threshold(scale)
        return v if threshold == 0 else leading(v, threshold).shrink(threshold).compose()

    def vanishes(self, v: Array, scale: Array | float) -> Array:
        self.check(v.shape)
        xp = array_namespace(v)
        return xp.full((1, 1), within(v, self.threshold(scale)), dtype=xp.bool, device=device(v))

    def threshold(self, scale: Array | float) -> float:
        """scale * strength as a number of Python. That of a matrix without entries does not matter."""
        if isinstance(scale, (int, float, Real)):
            return float(scale) * self.strength
        return float(array_namespace(scale).max(scale)) * self.strength if math.prod(scale.shape) else self.strength

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        """strength U V^T + (the normal part of u, its singular values cut off at strength), for w = U S V^T."""
        at = self.svd(w).truncated()
        if self.strength == 0:
            return array_namespace(u).zeros_like(u)
        normal = outside(at, u)
        return self.strength * at.compose(1.0) + self.ball(normal, self.excess(normal))

    def excess(self, a: Array) -> SVD:
        """What a has to lose for a spectral norm of at most strength."""
        return leading(a, self.strength).shrink(self.strength)

    def ball(self, a: Array, excess: SVD) -> Array:
        """a without its excess: the nearest matrix with a spectral norm of at most strength."""
        if not excess.s.shape[0]:
            return a
        if not bool(excess.largest() > LOSS * self.strength):
            return a - excess.compose()
        every = self.svd(a)  # the difference would cancel
        xp, level = array_namespace(a), self.strength
        return every.compose(xp.where(every.s > level, xp.full_like(every.s, level), every.s))

    def block_margins(self, w: Array, gradient: Array) -> Array:
        xp, at = array_namespace(w), self.svd(w)
        inside = self.strength - self.svd(outside(at.truncated(), gradient)).largest()
        return infinite_where(xp.all(at.rank()), inside)

    def block_lambda_max(self, gradient: Array) -> Array:
        return one_block(self.svd(gradient).largest())

    def tracked(self, start: Array | None = None) -> Regularizer:
        return TrackedNuclearNorm(self, start) if type(self) is NuclearNorm else self  # others may have their own prox
