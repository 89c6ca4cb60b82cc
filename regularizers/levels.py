"""Quantization: penalties that pull each entry to the nearest of a few levels, and the sets of quantized arrays."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .host import to_host
from .pinned import Pinned
from .sparse import soft_threshold, where_scaled


def as_levels(levels: Any) -> tuple[float, ...]:
    """The levels as a rising tuple. Raises TypeError for anything but numbers, ValueError for too few or equal ones."""
    if isinstance(levels, str) or not isinstance(levels, Iterable):
        raise TypeError(f"levels must be a sequence of numbers, got {levels!r}")
    numbers = tuple(sorted(validate.real("levels", level, "finite numbers") for level in levels))
    if len(numbers) < 2 or len(set(numbers)) < len(numbers):
        raise ValueError(f"levels must be at least two different numbers, got {levels!r}")
    return numbers


class Quantizer(Regularizer):
    """Separable functions that know a few levels, and the one that is nearest to each entry."""

    separable = True

    @property
    @abstractmethod
    def grid(self) -> tuple[float, ...]:
        """The levels, rising."""

    @property
    def _place(self) -> str:
        return "at a level"

    def nearest(self, v: Array) -> Array:
        """The level nearest to each entry, the smaller one of two; NaN stays NaN."""
        xp = array_namespace(v)
        point = xp.where(xp.isnan(v), v, xp.full_like(v, self.grid[0]))
        for middle, level in self._middles():
            point = xp.where(v > middle, xp.full_like(v, level), point)
        return point

    def _middles(self) -> list[tuple[float, float]]:
        """(the middle between a level and the next, the next) for all levels but the last."""
        grid = self.grid
        return [(low / 2 + high / 2, high) for low, high in zip(grid, grid[1:], strict=False)]

    def manifold(self, w: Array) -> Pinned:
        xp = array_namespace(w)
        labels = xp.full_like(w, -1, dtype=xp.int32)
        for label, level in enumerate(self.grid):
            labels = xp.where(w == level, xp.full_like(labels, label), labels)
        return Pinned(to_host(labels), tuple(w.shape), self.grid, "entries", self._place)

    def block_max(self, a: Array) -> Array:
        return a


class LevelPenalty(Quantizer):
    """psi(w) = strength * sum_i min_k |w_i - level_k|;  prox: soft thresholding around the nearest level."""

    strength: float

    @property
    def weak_convexity(self) -> float:
        return math.inf if self.strength else 0.0

    def block_values(self, w: Array) -> Array:
        return self.strength * array_namespace(w).abs(w - self.nearest(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        level = self.nearest(v)
        threshold = scale * self.strength
        return where_scaled(threshold, level + soft_threshold(v - level, threshold), v)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp, level = array_namespace(w), self.nearest(w)
        high = xp.full_like(u, self.strength)
        inside = xp.where(u > high, high, xp.where(u < -high, -high, u))  # at a level: the interval
        point = xp.where(w > level, high, -high)
        for middle, _ in self._middles():  # half-way between two: the two points
            point = xp.where(w == middle, xp.where(u > 0, high, -high), point)
        return xp.where(w == level, inside, point)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        """As for all separable psi, but 0 half-way between two levels, where no gradient is far from all others."""
        xp, margins = array_namespace(w), super().block_margins(w, gradient)
        for middle, _ in self._middles() if self.strength else ():
            margins = xp.where(w == middle, xp.zeros_like(margins), margins)
        return margins

    def block_lambda_max(self, gradient: Array) -> Array:
        """Raises TypeError where 0 is no level."""
        if 0 not in self.grid:
            raise TypeError(f"{type(self).__name__} has no lambda_max: 0 is not one of its levels {self.grid}")
        return super().block_lambda_max(gradient)


class LevelIndicator(Quantizer):
    """psi(w) = 0 where all entries are levels, else infinite;  prox: rounding to the nearest level."""

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        return xp.where(w == self.nearest(w), xp.zeros_like(w), xp.full_like(w, math.inf))

    def prox(self, v: Array, scale: Array | float) -> Array:
        return where_scaled(scale, self.nearest(v), v)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        return xp.where(w == self.nearest(w), u, xp.full_like(u, math.inf))  # at a level: the line


@dataclass(frozen=True)
class Levels(LevelPenalty):
    """psi(w) = strength * sum_i min_k |w_i - level_k|: entries settle exactly at the given levels.

    prox: soft thresholding of the distance to the nearest level.

    strength: >= 0;  levels: at least two different numbers, in the units of w.

    Reference: Bai, Wang and Liberty, "ProxQuant: quantized neural networks via proximal operators", 2019.
    """

    strength: float
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength), levels=as_levels(self.levels))

    @property
    def grid(self) -> tuple[float, ...]:
        return self.levels


@dataclass(frozen=True)
class Binary(LevelPenalty):
    """psi(w) = strength * sum_i | |w_i| - level |, W-shaped: entries settle exactly at level or -level.

    strength: >= 0;  level: > 0, in the units of w.

    Reference: Bai, Wang and Liberty, "ProxQuant: quantized neural networks via proximal operators", 2019, equation (6).
    """

    strength: float
    level: float = 1.0

    def __post_init__(self) -> None:
        validate.store(self, strength=validate.nonnegative("strength", self.strength))
        validate.store(self, level=validate.positive("level", self.level))

    @property
    def grid(self) -> tuple[float, ...]:
        return -self.level, self.level

    @property
    def _place(self) -> str:
        return f"at ±{self.level:g}"


@dataclass(frozen=True)
class LevelSet(LevelIndicator):
    """psi(w) = 0 where every entry is one of the levels, else infinite;  prox: the nearest level.

    levels: at least two different numbers, in the units of w.

    Reference: Courbariaux, Bengio and David, "BinaryConnect", 2015, whose projection this is for two levels.
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        validate.store(self, levels=as_levels(self.levels))

    @property
    def grid(self) -> tuple[float, ...]:
        return self.levels


@dataclass(frozen=True)
class BinarySet(LevelIndicator):
    """psi(w) = 0 on {-level, level}^n, else infinite;  prox: level * sign(v), -level for 0.

    level: > 0, in the units of w.

    Reference: Courbariaux, Bengio and David, "BinaryConnect", 2015.
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        validate.store(self, level=validate.positive("level", self.level))

    @property
    def grid(self) -> tuple[float, ...]:
        return -self.level, self.level

    @property
    def _place(self) -> str:
        return f"at ±{self.level:g}"
