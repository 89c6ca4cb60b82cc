"""Smooth regularizers: the zero function and the squared l2 norm."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .pinned import Support


class _Smooth(Regularizer):
    """A separable function without kinks: its manifold is the whole space."""

    convex = True
    separable = True

    def manifold(self, w: Array) -> Support:
        xp = array_namespace(w)
        return Support.of(xp.ones_like(w, dtype=xp.bool), w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return a


@dataclass(frozen=True)
class Zero(_Smooth):
    """psi(w) = 0: the dense twin of every method (RAMDA becomes MADGRAD, ProxGen AdamW)."""

    homogeneous = True

    def block_values(self, w: Array) -> Array:
        return array_namespace(w).zeros_like(w)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return v

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        return array_namespace(u).zeros_like(u)


@dataclass(frozen=True)
class SquaredL2(_Smooth):
    """psi(w) = strength / 2 * ||w||^2, weight decay without structure;  prox: v / (1 + scale * strength).

    strength: >= 0.  Raises ValueError or TypeError for other strengths.

    Reference: Hoerl and Kennard, "Ridge regression", 1970.
    """

    strength: float

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength))

    def block_values(self, w: Array) -> Array:
        return 0.5 * self.strength * (w * w)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return v / (1 + scale * self.strength)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        return self.strength * w
