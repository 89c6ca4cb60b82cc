"""The zero function: no regularization."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace, device

from optkit.core import Array, Regularizer

from .support import Support


@dataclass(frozen=True)
class Zero(Regularizer):
    """psi(w) = 0: the dense twin of every method (RAMDA becomes MADGRAD, ProxGen AdamW)."""

    convex = True
    separable = True

    def value(self, w: Array) -> Array:
        return array_namespace(w).zeros((), dtype=w.dtype, device=device(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        return v

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        return array_namespace(u).zeros_like(u)

    def manifold(self, w: Array) -> Support:
        xp = array_namespace(w)
        return Support.of(xp.ones_like(w, dtype=xp.bool), w.shape, "entries")

    def block_max(self, a: Array) -> Array:
        return a
