"""The lq quasi-norms, q < 1: sparser than the l1 norm, with no bias on large entries as q falls to 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array

from .sparse import SparsePenalty


@dataclass(frozen=True)
class L0(SparsePenalty):
    """psi(w) = strength * (number of nonzero entries);  prox: hard thresholding, v where |v| > sqrt(2 scale strength).

    strength: >= 0, the price of one nonzero entry.

    Reference: Blumensath and Davies, "Iterative thresholding for sparse approximations", 2008.
    """

    @property
    def weak_convexity(self) -> float:
        return math.inf if self.strength else 0.0

    @property
    def slope(self) -> float:
        return math.inf if self.strength else 0.0

    def derivative(self, r: Array) -> Array:
        return array_namespace(r).zeros_like(r)

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        return self.strength * xp.astype(w != 0, w.dtype)

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        return xp.where(xp.abs(v) <= (2 * scale * self.strength) ** 0.5, xp.zeros_like(v), v)


@dataclass(frozen=True)
class Lq(SparsePenalty):
    """psi(w) = strength * sum_i |w_i|^q, 0 < q < 1: L1/2 with q = 1/2, L2/3 with q = 2/3.

    The prox is 0 up to a threshold and jumps there: with r = (2 (1 - q) scale strength)^(1 / (2 - q)) it is 0 for
    |v| <= r (2 - q) / (2 - 2 q), and beyond it the largest root w of w - |v| + q scale strength w^(q - 1) = 0, found by
    Newton's method from |v|, which falls to it monotonically.

    strength: >= 0;  q: in (0, 1), 1/2 by default.

    Reference: Yun, Lozano and Yang, "Adaptive proximal gradient methods for structured neural networks" (ProxGen),
    2021; Cao, Sun and Xu, "Fast image deconvolution using closed-form thresholding formulas of Lq (q = 1/2, 2/3)
    regularization", 2013.
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, q=validate.fraction("q", self.q))
        if self.q == 1:
            raise ValueError("q must be a number in (0, 1), got 1; use L1")

    @property
    def weak_convexity(self) -> float:
        return math.inf if self.strength else 0.0

    @property
    def slope(self) -> float:
        return math.inf if self.strength else 0.0

    def derivative(self, r: Array) -> Array:
        return self.q * self.strength * r ** (self.q - 1)

    def block_values(self, w: Array) -> Array:
        return self.strength * array_namespace(w).abs(w) ** self.q

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp, q = array_namespace(v), self.q
        least = (2 * (1 - q) * (scale * self.strength)) ** (1 / (2 - q))  # the smallest nonzero value of the prox
        zero = xp.abs(v) <= least * ((2 - q) / (2 - 2 * q))
        c = q / (2 - 2 * q) * (least / xp.where(zero, xp.full_like(v, math.inf), xp.abs(v))) ** (2 - q)
        y = xp.ones_like(v)  # w / |v|
        for _ in range(8):  # converges quadratically from a distance below 1
            y = y - (y - 1 + c * y ** (q - 1)) / (1 - c * (1 - q) * y ** (q - 2))
        return xp.where(zero, xp.zeros_like(v), v * y)
