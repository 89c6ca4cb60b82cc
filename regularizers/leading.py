"""The singular triplets of a matrix above a threshold, at a fraction of the price of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from optkit.core import Array

from .groups import group_norm
from .sketch import norm_bound
from .svd import SVD, svd

LOSS = 8.0
"""How many times more than a full decomposition, whose error is eps ||a||, a Gram matrix may lose to rounding."""
CLOSE = 1e-3
"""So near to the threshold, relatively, a lower bound does not decide."""
FAILED = (np.linalg.LinAlgError, RuntimeError)  # torch's LinAlgError is a RuntimeError


@dataclass(frozen=True, slots=True)
class Gram:
    """G = t t^T, (k, k), where t is a or, where a has more rows than columns, a^T; and the threshold: > 0.

    Soft thresholding needs U (I - threshold S^-1) U^T t, with the eigenvectors U of G for eigenvalues S^2 above
    threshold^2. With those of G + E it is off by at most ||E||_F / threshold, since the divided differences of
    1 - threshold / s as a function of s^2, times s, are at most 1 / threshold. Rounding makes E about the eps of G
    times ||G||_F, and size = sqrt(||G||_F) >= ||a||_2. So where (eps of G) size / threshold <= LOSS (eps of a), the
    error is about LOSS (eps of a) size at most: up to size = 8 threshold for G in the precision of a, and, for a in
    float32 and G in float64, practically always.

    Reference: Golub and Van Loan, "Matrix computations", 4th edition, 2013, section 8.6, on the squared condition.
    """

    t: Array
    tall: bool
    threshold: float
    matrix: Array

    @classmethod
    def of(cls, a: Array, threshold: float) -> Gram | None:
        """The Gram matrix of a: (m, n), in float64 where its own precision is not enough; None where neither is, and
        for matrices without entries, with NaN, infinity or numbers whose fourth powers overflow or vanish, and in half
        precision."""
        xp, entries, tall = array_namespace(a), math.prod(a.shape), a.shape[0] > a.shape[1]
        own = xp.finfo(a.dtype)
        if own.bits < 32 or not entries:
            return None
        t, bound = xp.matrix_transpose(a) if tall else a, entries**0.5 * float(xp.max(xp.abs(a)))
        if not (float(own.smallest_normal) ** 0.4 < threshold and bound < float(own.max) ** 0.4):
            return None
        least = float(xp.sum(a * a)) ** 0.5 / t.shape[0] ** 0.25  # of what is `size` below
        for dtype in dict.fromkeys((a.dtype, xp.float64)):
            limits = xp.finfo(dtype)
            if not float(limits.smallest_normal) ** 0.2 < bound < float(limits.max) ** 0.2:
                continue
            if 0.99 * least * float(limits.eps) > LOSS * threshold * float(own.eps):
                continue
            factor = xp.astype(t, dtype, copy=False)
            matrix = factor @ xp.matrix_transpose(factor)
            size = float(xp.sum(matrix * matrix)) ** 0.25
            if size * float(limits.eps) <= LOSS * threshold * float(own.eps):
                return cls(t, tall, threshold, matrix)
        return None

    def within(self) -> bool:
        """Whether ||a||_2 <= threshold, up to rounding: threshold^2 I - G has a Cholesky factor.

        Reference: Rump, "Verification of positive definiteness", 2006.
        """
        xp, level = array_namespace(self.matrix), self.threshold**2
        if bool(xp.any(xp.linalg.diagonal(self.matrix) > level)):
            return False
        eye = xp.eye(self.matrix.shape[0], dtype=self.matrix.dtype, device=device(self.matrix))
        try:
            factor = xp.linalg.cholesky(level * eye - self.matrix)
        except FAILED:
            return False
        return bool(xp.all(xp.isfinite(xp.linalg.diagonal(factor))))

    def triplets(self, values: Array, vectors: Array, spare: int) -> SVD:
        """Those above the threshold and at most `spare` more, from the rising eigenvalues and the eigenvectors of G.

        The singular values are the norms of the columns of t^T U: the errors of U enter to second order.
        """
        xp, size = array_namespace(self.t), self.t.shape[0]
        above = int(xp.sum(xp.astype(values > self.threshold**2, xp.int64)))
        u = xp.astype(xp.flip(vectors[:, max(size - above - spare, 0) :], axis=1), self.t.dtype, copy=False)
        rows = xp.matrix_transpose(u) @ self.t
        s = xp.sqrt(xp.sum(rows * rows, axis=1))
        found = SVD(u, s, rows / xp.where(s > 0, s, xp.ones_like(s))[:, None])
        return found.transpose() if self.tall else found


def leading(a: Array, threshold: float, spare: int = 0) -> SVD:
    """The triplets of a: (m, n) with singular values above the threshold, up to rounding, and at most `spare` more.

    From the Gram matrix where it is accurate enough, else by a full decomposition; none where a Cholesky factor shows
    that there are none. Errors as `svd`.

    Reference: Cai, Candes and Shen, "A singular value thresholding algorithm for matrix completion", 2010.
    """
    return leading_all([a], [threshold], spare)[0]


def leading_all(matrices: Sequence[Array], thresholds: Sequence[float], spare: int = 0) -> list[SVD]:
    """`leading` of each matrix; eigenvalue problems of the same shape and dtype are solved in one call."""
    grams = [Gram.of(a, threshold) for a, threshold in zip(matrices, thresholds, strict=True)]
    empty = [gram is not None and gram.within() for gram in grams]
    pairs = _eigen_all([None if none else gram and gram.matrix for gram, none in zip(grams, empty, strict=True)])
    found = []
    for a, threshold, gram, none, pair in zip(matrices, thresholds, grams, empty, pairs, strict=True):
        if none:
            found.append(nothing(a))
        elif gram and pair:
            found.append(gram.triplets(*pair, spare))
        else:
            every = svd(a)
            xp = array_namespace(a)
            found.append(every.first(int(xp.sum(xp.astype(every.s > threshold, xp.int64))) + spare))
    return found


def within(a: Array, threshold: float) -> bool:
    """Whether the spectral norm of a: (m, n) is at most the threshold, >= 0, up to rounding.

    By the Frobenius norm, the power method, a Cholesky factor or, where none is accurate, the singular values; errors
    as `svd`.
    """
    most = float(array_namespace(a).sum(group_norm(a, (0, 1))))
    if most <= threshold:
        return True
    if most < math.inf and float(norm_bound(a)) > threshold * (1 + CLOSE):
        return False
    gram = Gram.of(a, threshold)
    return gram.within() if gram else bool(svd(a).largest() <= threshold)


def nothing(a: Array) -> SVD:
    """The decomposition of a matrix like a without any triplets."""
    return SVD(a[:, :0], a[0, :0], a[:0, :])


def _eigen_all(matrices: Sequence[Array | None]) -> list[tuple[Array, Array] | None]:
    """Eigenvalues and eigenvectors of each matrix, None for None and where the driver fails."""
    found: list[tuple[Array, Array] | None] = [None] * len(matrices)
    stacks: dict[tuple[object, ...], list[int]] = {}
    for i, matrix in enumerate(matrices):
        if matrix is not None:
            stacks.setdefault((tuple(matrix.shape), matrix.dtype, device(matrix)), []).append(i)
    for stack in stacks.values():
        xp = array_namespace(matrices[stack[0]])
        try:
            values, vectors = xp.linalg.eigh(xp.stack([matrices[i] for i in stack]))
        except FAILED:
            continue
        for place, i in enumerate(stack):
            found[i] = (values[place, :], vectors[place, :, :])
    return found
