"""The blocks of a regularizer, found from its block_max alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optkit.core import Regularizer

from .backends import Host
from .drawing import Shape


@dataclass(frozen=True)
class Blocks:
    """labels: S, the number of the block that an entry is in, counted from 0."""

    labels: Host

    @classmethod
    def of(cls, psi: Regularizer, shape: Shape) -> Blocks:
        """Entries that block_max joins, directly or through others, are in one block."""
        labels = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        for index in np.ndindex(*shape):
            joined = np.array(touched(psi, shape, index) > 0)
            joined[index] = True
            labels[np.isin(labels, labels[joined])] = labels[joined].min()
        return cls(np.unique(labels, return_inverse=True)[1].reshape(shape))

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def largest(self) -> int:
        """The number of entries of the largest block."""
        return int(np.bincount(self.labels.ravel()).max(initial=0))

    def total(self, a: Host) -> Host:
        """The sum of the entries of a on each block.  a: of S or with 1 in place of axes; one number a block."""
        if self.labels.size == 0:
            return np.zeros(0)
        if self.count == 1:
            return np.sum(a, keepdims=True).reshape(1)
        if np.broadcast_shapes(a.shape, self.labels.shape) != self.labels.shape or a.ndim != self.labels.ndim:
            raise AssertionError(f"block_values of shape {a.shape} do not tell the blocks of {self.labels.shape} apart")
        cells = self.labels[tuple(slice(n) for n in a.shape)]
        return np.bincount(cells.ravel(), np.broadcast_to(a, cells.shape).ravel(), minlength=self.count)

    def max(self, a: Host) -> Host:
        """The largest entry of a: S on each block, one number a block."""
        most = np.full(self.count, -np.inf)
        np.maximum.at(most, self.labels.ravel(), a.ravel())
        return most

    def size(self, a: Host) -> Host:
        """A bound of the Euclidean norm of a: S on each block, safe against overflow, one number a block."""
        members = np.bincount(self.labels.ravel(), minlength=self.count)
        return np.sqrt(members) * np.maximum(self.max(np.abs(a)), 0.0)

    def spread(self, each: Host) -> Host:
        """One number a block, at each entry of the block: S."""
        return np.asarray(each[self.labels])


def touched(psi: Regularizer, shape: Shape, index: tuple[int, ...]) -> Host:
    """block_max of the unit vector of this index: S."""
    unit = np.zeros(shape)
    unit[index] = 1.0
    return np.array(np.broadcast_to(psi.block_max(unit), shape))
