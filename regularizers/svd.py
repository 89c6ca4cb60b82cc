"""The singular value decomposition, with a second driver where the first one fails, and never NaN."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device, is_torch_array

from optkit.core import Array

from .host import to_host


class SVD(NamedTuple):
    """a = (u * s) @ vh with columns in u: (m, k), falling s: (k,) and rows in vh: (k, n); k = min(m, n), or fewer."""

    u: Array
    s: Array
    vh: Array

    def rank(self) -> Array:
        """Booleans of shape (k,): the singular values that are not rounding errors of the largest one."""
        xp = array_namespace(self.s)
        size = max(self.u.shape[0], self.vh.shape[1])
        return self.s > xp.finfo(self.s.dtype).eps * size * self.largest()

    def truncated(self) -> SVD:
        """Without the singular values that are rounding errors. Copies their number to the host."""
        xp = array_namespace(self.s)
        return self.first(int(xp.sum(xp.astype(self.rank(), xp.int64))))

    def largest(self) -> Array:
        """The spectral norm, a 0-d array."""
        xp = array_namespace(self.s)
        return self.s[0] if self.s.shape[0] else xp.sum(self.s)

    def order(self) -> Array:
        """0, 1, ..., k - 1: the places of the singular values."""
        return array_namespace(self.s).arange(self.s.shape[0], device=device(self.s))

    def compose(self, s: Array | float | None = None) -> Array:
        """The matrix, with these singular values in the place of s if they are given."""
        return (self.u * (self.s if s is None else s)) @ self.vh

    def shrink(self, threshold: float) -> SVD:
        """The singular values less the threshold, where that is positive."""
        xp, less = array_namespace(self.s), self.s - threshold
        count = int(xp.sum(xp.astype(less > 0, xp.int64)))
        return self._replace(s=xp.where(less > 0, less, xp.zeros_like(less))).first(count)

    def first(self, count: int) -> SVD:
        """The first triplets, at most so many."""
        count = min(count, self.s.shape[0])
        return SVD(self.u[:, :count], self.s[:count], self.vh[:count, :])

    def transpose(self) -> SVD:
        """The decomposition of a^T."""
        xp = array_namespace(self.s)
        return SVD(xp.matrix_transpose(self.vh), self.s, xp.matrix_transpose(self.u))


def svd(a: Array) -> SVD:
    """The decomposition of a: (m, n), by the divide-and-conquer driver or else, on the host, by QR iterations.

    Raises ValueError for a matrix with NaN or infinity and when both drivers fail.
    """
    xp = array_namespace(a)
    if is_torch_array(a) and a.dtype.itemsize == 2:  # LAPACK knows no half precision
        return SVD(*(part.to(a.dtype) for part in svd(a.float())))
    try:
        found = SVD(*xp.linalg.svd(a, full_matrices=False))
        if bool(xp.all(xp.isfinite(found.s))):
            return found
    except (np.linalg.LinAlgError, RuntimeError):  # torch's LinAlgError is a RuntimeError
        pass
    return _second_driver(a)


def _second_driver(a: Array) -> SVD:
    xp, host = array_namespace(a), to_host(a)
    if not np.all(np.isfinite(host)):
        raise ValueError(
            f"a matrix of shape {tuple(a.shape)} holds NaN or infinity and has no singular values; "
            "lower lr or mend the problem's data"
        )
    try:
        parts = scipy.linalg.svd(host, full_matrices=False, lapack_driver="gesvd")
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"neither gesdd nor gesvd of LAPACK find the singular values of a matrix of shape {tuple(a.shape)} "
            f"({error}); rescale the problem"
        ) from error
    return SVD(*(xp.asarray(part, dtype=a.dtype, device=device(a)) for part in parts))
