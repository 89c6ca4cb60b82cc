"""The l1 norm: sparsity of single entries."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .support import Support


@dataclass(frozen=True)
class L1(Regularizer):
    """psi(w) = strength * sum_i |w_i|;  prox: soft thresholding, sign(v) max(|v| - scale * strength, 0).

    strength: >= 0, in units of the loss per unit of w.  Raises ValueError or TypeError for other strengths.

    Reference: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """

    strength: float
    convex = True
    separable = True

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength))

    def value(self, w: Array) -> Array:
        xp = array_namespace(w)
        return self.strength * xp.sum(xp.abs(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        threshold = scale * self.strength
        shrunk = xp.where(v > 0, v - threshold, v + threshold)
        return xp.where(xp.abs(v) <= threshold, xp.zeros_like(v), shrunk)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        level = xp.full_like(u, self.strength)
        # w_i = 0: the interval [-strength, strength];  w_i != 0: the point strength * sign(w_i)
        inside = xp.where(u > level, level, xp.where(u < -level, -level, u))
        return xp.where(w > 0, level, xp.where(w < 0, -level, inside))

    def manifold(self, w: Array) -> Support:
        return Support.of(w != 0, w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return a
