"""What a law of regularizers is tried on: a regularizer, arrays of a back end, and how exact their results can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st

from optkit.core import Array, Regularizer

from .backends import Backend, Host, host
from .blocks import Blocks
from .drawing import Shape, floats, masks, wide_floats

T = TypeVar("T")
NaiveProx = Callable[[Any, list[float], float], list[float]]
Make = Callable[[float], Regularizer]


class Drawn(NamedTuple):
    """psi;  v: an array of the back end;  scale: of the prox. Thresholds are of the order of some entries of v."""

    psi: Regularizer
    v: Array
    scale: Any


@dataclass(frozen=True)
class Trial:
    """One example: the part (made from a strength), where it is tried, and the source of what is drawn.

    rounding: errors of so many units in the last place of a block's numbers are allowed;  unit: see check_regularizer.
    """

    make: Make
    shape: Shape
    blocks: Blocks
    backend: Backend
    data: st.DataObject
    naive: NaiveProx | None = None
    rounding: float = 16.0
    unit: float = 0.0

    @property
    def ulps(self) -> float:
        """The relative error that is allowed."""
        return self.rounding * self.backend.eps

    def draw(self, strategy: st.SearchStrategy[T]) -> T:
        return self.data.draw(strategy)

    def pick(self, *choices: T) -> T:
        """One of the choices."""
        return self.data.draw(st.sampled_from(choices))

    def common(self) -> Array:
        """An array of numbers of the order of 1."""
        return self.backend.array(self.draw(floats(self.shape)))

    def wide(self) -> Array:
        """An array of common, tiny and huge numbers."""
        return self.backend.array(self.draw(wide_floats(self.shape, self.backend.units)))

    def mask(self) -> Host:
        """Booleans on the host, constant on blocks."""
        chosen = self.draw(masks((self.blocks.count,)))
        return self.blocks.spread(chosen)

    def drawn(self) -> Drawn:
        """psi, v and one scale for all blocks."""
        scale = self.pick(0.25, 1.0, 3.0)
        unit = self.pick(*self.backend.units)
        units = self.backend.units if unit <= 1 else (1.0, unit)  # tiny numbers times huge ones are subnormal
        v = self.backend.array(self.draw(wide_floats(self.shape, units)))
        return Drawn(self.make(self.pick(0.3, 1.0, 0.0) * unit / scale), v, scale)

    def ordinary(self) -> Regularizer:
        """psi with a strength of the order of 1, or 0."""
        return self.make(self.pick(0.3, 2.0, 0.0))

    def values(self, psi: Regularizer, w: Array) -> Host:
        """psi on each block, in float64 where that is finite: float32 overflows, and its levels are not float64's."""
        exact = self.blocks.total(host(psi.block_values(host(w))))
        if self.backend.dtype == "float64" or np.all(np.isfinite(exact)):
            return exact
        return np.where(np.isfinite(exact), exact, self.blocks.total(host(psi.block_values(w))))

    def size(self, *terms: Any) -> Host:
        """The size of the numbers that are added up on each block, psi's own included, one number a block."""
        return self.unit + self.blocks.size(sum((np.abs(host(term)) for term in terms), np.zeros(self.shape)))

    def within(self, error: Any, bound: Host) -> Any:
        """Whether |error|: S is at most the allowed part of the bound, one number a block, everywhere."""
        return np.all(np.abs(error) <= self.ulps * self.blocks.spread(bound))
