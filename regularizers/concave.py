"""Folded concave penalties: like the l1 norm at 0, with little or no bias on large entries."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array

from .sparse import SparsePenalty, soft_threshold


@dataclass(frozen=True)
class MCP(SparsePenalty):
    """psi(w) = sum_i p(|w_i|), p(r) = strength r - r^2 / (2 gamma) up to r = gamma strength, constant beyond.

    prox: firm thresholding, that is soft thresholding times 1 / (1 - scale / gamma) up to |v| = gamma strength and v
    beyond, where scale < gamma; hard thresholding at strength sqrt(scale gamma) where scale >= gamma.

    strength: >= 0;  gamma: > 0, in units of 1 / curvature; psi is convex up to curvature 1 / gamma.

    Reference: Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010.
    """

    gamma: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, gamma=validate.positive("gamma", self.gamma))

    @property
    def weak_convexity(self) -> float:
        return 1 / self.gamma if self.strength else 0.0

    @property
    def slope(self) -> float:
        return self.strength

    def derivative(self, r: Array) -> Array:
        xp = array_namespace(r)
        return xp.where(r < self.gamma * self.strength, self.strength - r / self.gamma, xp.zeros_like(r))

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        bend = self.gamma * self.strength
        r = xp.minimum(xp.abs(w), xp.full_like(w, bend))
        return self.strength * r - r * r / (2 * self.gamma)

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        scale, r = xp.zeros_like(v) + scale, xp.abs(v)
        firm = scale < self.gamma
        stretch = 1 / xp.where(firm, 1 - scale / self.gamma, xp.ones_like(v))
        edge = xp.where(firm, xp.full_like(v, self.gamma), (self.gamma * scale) ** 0.5) * self.strength
        inner = xp.where(firm, soft_threshold(v, scale * self.strength) * stretch, xp.zeros_like(v))
        return xp.where(r <= edge, inner, v)


@dataclass(frozen=True)
class SCAD(SparsePenalty):
    """psi(w) = sum_i p(|w_i|), p' = strength up to strength, then falling linearly to 0 at a strength.

    prox: soft thresholding up to |v| = strength (1 + scale), linear up to a strength and v beyond, where scale < a - 1.
    Where scale >= a - 1 it jumps from soft thresholding to v, at the point where both cost the same.

    strength: >= 0;  a: > 2; psi is convex up to curvature 1 / (a - 1).

    Reference: Fan and Li, "Variable selection via nonconcave penalized likelihood and its oracle properties", 2001.
    """

    a: float = 3.7

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, a=validate.real("a", self.a, "a finite number > 2"))
        if self.a <= 2:
            raise ValueError(f"a must be a finite number > 2, got {self.a!r}")

    @property
    def weak_convexity(self) -> float:
        return 1 / (self.a - 1) if self.strength else 0.0

    @property
    def slope(self) -> float:
        return self.strength

    def derivative(self, r: Array) -> Array:
        xp = array_namespace(r)
        steep, flat = xp.full_like(r, self.strength), xp.zeros_like(r)
        falling = xp.where(r < self.a * self.strength, (self.a * self.strength - r) / (self.a - 1), flat)
        return xp.where(r <= self.strength, steep, falling)

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        bend, flat = self.strength, self.a * self.strength
        r = xp.minimum(xp.abs(w), xp.full_like(w, flat))
        over = xp.where(r > bend, r - bend, xp.zeros_like(r))
        return self.strength * r - over * over / (2 * (self.a - 1))

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        scale, r, a = xp.zeros_like(v) + scale, xp.abs(v), self.a
        soft, continuous = soft_threshold(v, scale * self.strength), scale < a - 1
        bend = scale * (self.strength * a / (a - 1))
        bend = xp.where(v > 0, bend, -bend)
        line = (v - bend) / xp.where(continuous, 1 - scale / (a - 1), xp.ones_like(v))
        jump = xp.where(scale <= a + 1, (a + 1 + scale) / 2, (scale * (a + 1)) ** 0.5)
        inner = xp.where(continuous & (r > self.strength * (1 + scale)), line, soft)
        return xp.where(r <= self.strength * xp.where(continuous, xp.full_like(v, a), jump), inner, v)


@dataclass(frozen=True)
class LogSum(SparsePenalty):
    """psi(w) = strength * sum_i log(1 + |w_i| / epsilon), the penalty behind reweighted l1 minimization.

    prox: the larger root w of (w - |v|) (epsilon + w) + scale strength = 0 where it costs less than 0, else 0.

    strength: >= 0;  epsilon: > 0, in the units of w; psi is convex up to curvature strength / epsilon^2.

    Reference: Candes, Wakin and Boyd, "Enhancing sparsity by reweighted l1 minimization", 2008.
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, epsilon=validate.positive("epsilon", self.epsilon))

    @property
    def weak_convexity(self) -> float:
        return self.strength / self.epsilon**2

    @property
    def slope(self) -> float:
        return self.strength / self.epsilon

    def derivative(self, r: Array) -> Array:
        return self.strength / (self.epsilon + r)

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        return self.strength * xp.log1p(xp.abs(w) / self.epsilon)

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        r, price, epsilon = xp.abs(v), xp.zeros_like(v) + scale * self.strength, self.epsilon
        reach = 2 * price**0.5
        real = ~(r + epsilon < reach)  # NaN is kept
        root = xp.where(real, (r + epsilon - reach), xp.zeros_like(v)) ** 0.5 * (r + epsilon + reach) ** 0.5
        small = r < epsilon  # without cancellation on either side
        below = 2 * (epsilon * r - price) / xp.where(small, epsilon - r + root, xp.ones_like(v))
        w = xp.where(small, below, 0.5 * (r - epsilon + root))
        jumps = price > epsilon**2  # there 0 may cost less than the local minimum at w
        safe = xp.where(w > 0, w, xp.ones_like(v))
        dearer = jumps & (0.5 * safe - r + price * xp.log1p(safe / epsilon) / safe >= 0)  # the costs' difference over w
        zero = ~real | (w <= 0) | dearer
        point = xp.where(zero, xp.zeros_like(v), xp.where(v > 0, w, -w))
        return xp.where(price > 0, point, v)
