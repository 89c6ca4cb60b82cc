"""A distribution with one regularizer, written as the README says."""

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit.core import Regularizer
from optkit.regularizers import Support


@dataclass(frozen=True)
class NegativePart(Regularizer):
    """psi(w) = strength * sum_i max(-w_i, 0): negative entries shrink to exact zeros, positive ones are free."""

    strength: float
    convex = True
    separable = True  # the blocks are single entries

    def block_values(self, w):  # psi on each block; psi.value(w) is their sum
        xp = array_namespace(w)
        return self.strength * xp.where(w > 0, xp.zeros_like(w), -w)

    def prox(self, v, scale):  # argmin_w psi(w) + ||w - v||^2 / (2 scale)
        xp = array_namespace(v)
        shifted = xp.where(v < 0, v + scale * self.strength, v)
        return xp.where((v < 0) & (shifted > 0), xp.zeros_like(v), shifted)

    def project_subdifferential(self, w, u):  # the subgradient of psi at w nearest to u
        xp = array_namespace(w)
        zero, slope = xp.zeros_like(u), xp.full_like(u, -self.strength)
        inside = xp.where(u > zero, zero, xp.where(u < slope, slope, u))  # w_i = 0: the interval [-strength, 0]
        return xp.where(w > 0, zero, xp.where(w < 0, slope, inside))

    def manifold(self, w):  # the structure of w
        return Support.of(w != 0, w.shape, "entries")

    def block_max(self, a):  # the largest entry of a on each block
        return a
