"""The nuclear norm in the iterations of one solve: each prox begins with the singular vectors of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace, device

from optkit.core import Array, Manifold, Regularizer

from .leading import leading, leading_all
from .low_rank import one_block, outside
from .sketch import row_space
from .svd import SVD

if TYPE_CHECKING:
    from .nuclear import NuclearNorm

SPARE = 8
"""How many singular vectors beyond those above the threshold are followed."""
FEW = 4
"""A subspace is followed while its dimension is at most a part of that many of the full rank."""


class TrackedNuclearNorm(Regularizer):
    """The same function as psi for nearby arguments, one after the other: it remembers the singular vectors of its last
    prox.  Its prox is one step of subspace iteration on them where they are few, else that of psi.

    Such a step is no exact prox, and may miss a direction that was not there before. What is exact is the
    subdifferential at the point that the prox returned, whose singular vectors are known: `project_subdifferential`
    certifies, by a Cholesky factor, that the normal part of u is in the ball of spectral norms, or finds what exceeds
    it, and the next prox follows these directions too. So a residual of 0 is one of psi, whatever the way to it.

    psi: a NuclearNorm;  start: (m, n), near the point of the first prox, which begins with its rows if the rank is
    small.  It is not a part: it lives in one solve.

    Reference: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4, with the last
    singular vectors in the place of random ones.
    """

    convex = True
    homogeneous = True

    def __init__(self, psi: NuclearNorm, start: Array | None = None) -> None:
        self.psi = psi
        # (n, width), the right singular vectors that are followed
        self._rows = None if start is None else row_space(start, min(start.shape) // FEW, SPARE)
        self._point: tuple[Array, SVD] | None = None
        self._subgradient: tuple[Array, Array] | None = None  # (u, its projection), at the point

    def prox(self, v: Array, scale: Array | float) -> Array:
        return self.prox_all([self], [v], [scale])[0]

    @staticmethod
    def prox_all(parts: Sequence[Any], vs: Sequence[Array], scales: Sequence[Array | float]) -> list[Array]:
        thresholds = [part.psi.threshold(scale) for part, scale in zip(parts, scales, strict=True)]
        triples = list(zip(parts, vs, thresholds, strict=True))
        steps: list[SVD | None] = [part.followed(v, threshold) for part, v, threshold in triples]
        others = [i for i, step in enumerate(steps) if step is None]
        rest = iter(leading_all([vs[i] for i in others], [thresholds[i] for i in others], SPARE))
        found = [step or next(rest) for step in steps]
        return [part.remember(at, v, level) for (part, v, level), at in zip(triples, found, strict=True)]

    def remember(self, found: SVD, v: Array, threshold: float) -> Array:
        """The point of the prox of v: (m, n), from the triplets of v above the threshold and those that are spare."""
        kept = found.shrink(threshold)
        point = kept.compose() if threshold else v
        rows = found.first(kept.s.shape[0] + SPARE).vh
        few = 0 < FEW * rows.shape[0] <= min(v.shape)
        self._rows = array_namespace(v).matrix_transpose(rows) if few else None
        self._point, self._subgradient = (point, kept.truncated()), None
        return point

    def followed(self, v: Array, threshold: float) -> SVD | None:
        """The decomposition of Q Q^T v, where the columns of Q span v times the followed vectors; None where there are
        none, or too few for what is above the threshold."""
        if self._rows is None:
            return None
        xp = array_namespace(v)
        image = v @ self._rows
        if not bool(xp.all(xp.isfinite(image))):
            return None
        q, _ = xp.linalg.qr(image)
        part = leading(xp.matrix_transpose(q) @ v, threshold, spare=q.shape[1])
        return None if bool(xp.all(part.s > threshold)) else part._replace(u=q @ part.u)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        at = self._decomposition(w)
        if at is None:
            return self.psi.project_subdifferential(w, u)
        if self._subgradient is None or not same(self._subgradient[0], u):
            normal = outside(at, u)
            excess = self.psi.excess(normal)
            self._follow(excess)
            self._subgradient = u, self.psi.strength * at.compose(1.0) + self.psi.ball(normal, excess)
        return self._subgradient[1]

    def distance_bound(self, w: Array, u: Array) -> Array | float:
        """||P x|| with x = u - strength U V^T and the projection P on the tangent space, for w = U S V^T; for many
        singular vectors ||U^T x|| or ||x V|| alone, of the longer ones."""
        at = self._decomposition(w)
        if at is None:
            return 0.0
        xp, rank, level = array_namespace(w), at.s.shape[0], self.psi.strength
        (rows, columns), many = w.shape, FEW * rank > min(w.shape)
        left = right = inner = xp.zeros((), dtype=w.dtype, device=device(w))
        if not many or rows < columns:
            left = xp.matrix_transpose(at.u) @ u - level * at.vh
        if not many or rows >= columns:
            right = u @ xp.matrix_transpose(at.vh) - level * at.u
        if not many:
            inner = left @ xp.matrix_transpose(at.vh)
        return xp.sqrt(xp.sum(left * left) + xp.sum(right * right) - xp.sum(inner * inner))

    def _follow(self, excess: SVD) -> None:
        if self._rows is not None:
            xp = array_namespace(self._rows)
            self._rows = xp.concat((self._rows, xp.matrix_transpose(excess.vh)), axis=1)

    def _decomposition(self, w: Array) -> SVD | None:
        """That of w if w is the point of the last prox."""
        return self._point[1] if self._point and same(self._point[0], w) else None

    def block_values(self, w: Array) -> Array:
        at = self._decomposition(w)
        if at is None:
            return self.psi.block_values(w)
        return self.psi.strength * one_block(array_namespace(w).sum(at.s))

    def manifold(self, w: Array) -> Manifold:
        return self.psi.manifold(w)

    def block_max(self, a: Array) -> Array:
        return self.psi.block_max(a)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        return self.psi.block_margins(w, gradient)

    def block_lambda_max(self, gradient: Array) -> Array:
        return self.psi.block_lambda_max(gradient)

    def vanishes(self, v: Array, scale: Array | float) -> Array:
        return self.psi.vanishes(v, scale)

    def check(self, shape: tuple[int, ...]) -> None:
        self.psi.check(shape)


def same(a: Array, b: Array) -> bool:
    """Whether both are the same array, or hold the same numbers."""
    return a is b or (a.shape == b.shape and bool(array_namespace(a).all(a == b)))
