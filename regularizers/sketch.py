"""What a few products with a matrix show of it: its row space where the rank is small, and a bound of its norm."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from array_api_compat import array_namespace, device

from optkit.core import Array

NOISE = 1e-4
"""Singular values below that part of the largest do not count in a sketch."""


def row_space(a: Array, most: int, spare: int) -> Array | None:
    """Orthonormal columns, (n, rank + spare), whose first ones span about the rows of a: (m, n), from the QR
    decomposition of rank + spare <= `most` random combinations of the rows; None for a larger rank and for rank 0.

    Reference: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.1.
    """
    xp = array_namespace(a)
    if most <= spare or xp.finfo(a.dtype).bits < 32:
        return None
    mix = xp.asarray(_normal(a.shape[0], most), dtype=a.dtype, device=device(a))
    q, r = xp.linalg.qr(xp.matrix_transpose(a) @ mix)
    size = xp.abs(xp.linalg.diagonal(r))
    rank = int(xp.sum(xp.astype(size > NOISE * xp.max(size), xp.int64)))
    return q[:, : rank + spare] if 0 < rank <= most - spare else None


def norm_bound(a: Array, iterations: int = 3) -> Array:
    """A number of at most the spectral norm of a: (m, n), finite and not 0, up to rounding, by the power method.

    It begins at the row of the largest entry, so that it is at least the norm of that row.
    """
    xp = array_namespace(a)
    row = int(xp.argmax(xp.max(xp.abs(a), axis=1)))
    x = a[row, :] / _norm(a[row, :])
    for _ in range(iterations):
        image = a @ x
        back = (image / _norm(image)) @ a
        x = back / _norm(back)
    return _norm(a @ x)


def _norm(x: Array) -> Array:
    """That of x: (n,), not 0, safe against overflow and underflow."""
    xp = array_namespace(x)
    largest = xp.max(xp.abs(x))
    x = x / largest
    return largest * xp.sqrt(xp.sum(x * x))


@lru_cache(maxsize=8)
def _normal(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
