"""What the separable sparsity penalties have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .pinned import Support


@dataclass(frozen=True)
class SparsePenalty(Regularizer):
    """psi(w) = sum_i p(|w_i|) with p(0) = 0, p rising and smooth on (0, inf), and with a kink at 0.

    strength: >= 0, by which the slope of p at 0 is multiplied.  Raises ValueError or TypeError for other strengths.
    A subclass gives p, p', p'(0+) and the proximal map.
    """

    strength: float
    separable = True

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength))

    @property
    @abstractmethod
    def slope(self) -> float:
        """p'(0+), may be infinite: the subdifferential at 0 is [-slope, slope]."""

    @abstractmethod
    def derivative(self, r: Array) -> Array:
        """p'(r) for r > 0."""

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        steep = self.derivative(xp.where(w == 0, xp.ones_like(w), xp.abs(w)))
        high = xp.full_like(u, self.slope)
        inside = xp.where(u > high, high, xp.where(u < -high, -high, u))  # w_i = 0: the interval [-slope, slope]
        return xp.where(w > 0, steep, xp.where(w < 0, -steep, inside))  # else the point p'(|w_i|) sign(w_i)

    def manifold(self, w: Array) -> Support:
        return Support.of(w != 0, w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return a


def soft_threshold(v: Array, threshold: Array | float) -> Array:
    """sign(v) max(|v| - threshold, 0); NaN stays NaN.  v: S; threshold: >= 0, broadcasts to S."""
    xp = array_namespace(v)
    shrunk = xp.where(v > 0, v - threshold, v + threshold)
    return xp.where(xp.abs(v) <= threshold, xp.zeros_like(v), shrunk)


def where_scaled(scale: Array | float, point: Array, v: Array) -> Array:
    """The point of a proximal map where scale > 0, and v where it is 0."""
    if isinstance(scale, (float, Real)):
        return point if float(scale) > 0 else v
    return array_namespace(v).where(scale > 0, point, v)
