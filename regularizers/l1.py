"""The l1 norm and the elastic net: sparsity of single entries."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array

from .sparse import SparsePenalty, soft_threshold


@dataclass(frozen=True)
class L1(SparsePenalty):
    """psi(w) = strength * sum_i |w_i|;  prox: soft thresholding, sign(v) max(|v| - scale * strength, 0).

    strength: >= 0, in units of the loss per unit of w.

    Reference: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """

    convex = True
    homogeneous = True

    @property
    def slope(self) -> float:
        return self.strength

    def derivative(self, r: Array) -> Array:
        return array_namespace(r).full_like(r, self.strength)

    def block_values(self, w: Array) -> Array:
        return self.strength * array_namespace(w).abs(w)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return soft_threshold(v, scale * self.strength)


@dataclass(frozen=True)
class ElasticNet(SparsePenalty):
    """psi(w) = strength * sum_i (l1_ratio |w_i| + (1 - l1_ratio) w_i^2 / 2);  prox: soft thresholding, then shrinking.

    strength: >= 0;  l1_ratio: in (0, 1], the share of the l1 norm (for none of it use SquaredL2).

    Reference: Zou and Hastie, "Regularization and variable selection via the elastic net", 2005; the parametrization
    is scikit-learn's.
    """

    l1_ratio: float = 0.5
    convex = True

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, l1_ratio=validate.fraction("l1_ratio", self.l1_ratio))

    @property
    def slope(self) -> float:
        return self.strength * self.l1_ratio

    @property
    def curvature(self) -> float:
        """The second derivative of the squared part."""
        return self.strength * (1 - self.l1_ratio)

    def derivative(self, r: Array) -> Array:
        return self.slope + self.curvature * r

    def block_values(self, w: Array) -> Array:
        r = array_namespace(w).abs(w)
        return self.slope * r + 0.5 * self.curvature * (r * r)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return soft_threshold(v, scale * self.slope) / (1 + scale * self.curvature)
