"""The active manifold of sparsity: arrays that vanish outside a set of blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array, is_torch_array, to_device

from optkit.core import Array, Manifold


def _to_host(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
    if is_cupy_array(a):
        a = to_device(a, "cpu")
    return np.array(a.numpy(force=True) if is_torch_array(a) else a)


@dataclass(frozen=True, eq=False, repr=False)
class Support(Manifold):
    """{w : w = 0 outside the blocks where pattern is true}, a linear space.

    pattern: booleans on the host, one a block, of a shape that broadcasts to shape;  shape: that of w;
    noun: what a block is called in the summary, such as "groups".
    """

    pattern: np.ndarray[Any, np.dtype[Any]]
    shape: tuple[int, ...]
    noun: str = field(default="entries")

    @classmethod
    def of(cls, blocks: Array, shape: tuple[int, ...], noun: str) -> Support:
        """The support given by an array of booleans of any back end and device."""
        return cls(_to_host(blocks), tuple(shape), noun)

    @property
    def ambient(self) -> int:
        return math.prod(self.shape)

    @property
    def dimension(self) -> int:
        return int(np.count_nonzero(self.pattern)) * self._block_size

    @property
    def _block_size(self) -> int:
        return self.ambient // max(self.pattern.size, 1)

    def contains(self, w: Array, tol: float = 0.0) -> bool:
        xp = array_namespace(w)
        outside = np.where(self.pattern, 0.0, np.abs(_to_host(w)))
        return bool(xp.all(xp.isfinite(w))) and float(outside.max(initial=0.0)) <= tol

    def distance(self, other: Manifold) -> int:
        if not isinstance(other, Support):
            raise TypeError(f"a Support is compared with a Support, got {type(other).__name__}")
        if (other.shape, other.pattern.shape) != (self.shape, self.pattern.shape):
            raise ValueError(
                f"the two supports are of arrays or blocks of different shapes: {self.shape}, {other.shape}"
            )
        return int(np.count_nonzero(self.pattern != other.pattern)) * self._block_size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Support):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.pattern, other.pattern)

    def __hash__(self) -> int:
        return hash((self.shape, self.pattern.shape, self.pattern.tobytes()))

    def __repr__(self) -> str:
        return f"<Support: {self}>"

    def __str__(self) -> str:
        zero = self.pattern.size - int(np.count_nonzero(self.pattern))
        return f"{zero} of {self.pattern.size} {self.noun} zero"
