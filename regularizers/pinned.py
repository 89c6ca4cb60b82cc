"""The active manifolds on which some blocks are pinned to given values and the others are free."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from optkit.core import Array, Manifold

from .host import to_host


@dataclass(frozen=True, eq=False, repr=False)
class Pinned(Manifold):
    """{w : w = levels[label] on the blocks that have a label >= 0}, an affine space.

    labels: integers on the host, one a block, -1 on free blocks, of a shape that broadcasts to shape;  shape: that of
    w;  levels: the values;  noun, place: words for the summary, as in "37 of 64 groups zero".

    Reference: Lewis, "Active sets, nonsmoothness, and sensitivity", 2002.
    """

    labels: np.ndarray[Any, np.dtype[Any]]
    shape: tuple[int, ...]
    levels: tuple[float, ...] = (0.0,)
    noun: str = "entries"
    place: str = "zero"

    @property
    def ambient(self) -> int:
        return math.prod(self.shape)

    @property
    def dimension(self) -> int:
        return int(np.count_nonzero(self.labels < 0)) * self._block_size

    @property
    def _block_size(self) -> int:
        return self.ambient // max(self.labels.size, 1)

    def contains(self, w: Array, tol: float = 0.0) -> bool:
        xp, values = array_namespace(w), to_host(w)
        if values.shape != self.shape:
            return False
        levels = np.asarray((*self.levels, 0.0), dtype=values.dtype)[self.labels]  # the last one stands in for free
        off = np.where(self.labels >= 0, np.abs(values - levels), 0.0)
        return bool(xp.all(xp.isfinite(w))) and float(off.max(initial=0.0)) <= tol

    def distance(self, other: Manifold) -> int:
        if not isinstance(other, Pinned):
            raise TypeError(f"a {type(self).__name__} is compared with another, got {type(other).__name__}")
        if self._space != other._space:
            raise ValueError(
                "the two manifolds are of arrays or blocks of different shapes: "
                f"{self.shape}, {other.shape}, or of different levels: {self.levels}, {other.levels}"
            )
        return int(np.count_nonzero(self.labels != other.labels)) * self._block_size

    @property
    def _space(self) -> tuple[Any, ...]:
        return self.shape, self.labels.shape, self.levels

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pinned):
            return NotImplemented
        return self._space == other._space and np.array_equal(self.labels, other.labels)

    def __hash__(self) -> int:
        return hash((self._space, self.labels.astype(np.int64).tobytes()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def __str__(self) -> str:
        return f"{int(np.count_nonzero(self.labels >= 0))} of {self.labels.size} {self.noun} {self.place}"


class Support(Pinned):
    """{w : w = 0 outside given blocks}, a linear space: the active manifold of sparsity."""

    @classmethod
    def of(cls, blocks: Array, shape: tuple[int, ...], noun: str) -> Support:
        """The support given by booleans, true on the blocks that are free, of any back end and device."""
        return cls(np.where(to_host(blocks), -1, 0), tuple(shape), noun=noun)
