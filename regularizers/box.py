"""Bounds on the entries."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Regularizer

from .host import to_host
from .pinned import Pinned
from .sparse import where_scaled


def _bound(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise TypeError(f"{name} must be a number or infinite, got {value!r}")
    return float(value)


class Bounds(Regularizer):
    """psi(w) = 0 where lower <= w_i <= upper for all entries, else infinite."""

    lower: float
    upper: float
    convex = True
    separable = True

    def block_values(self, w: Array) -> Array:
        xp = array_namespace(w)
        return xp.where((w < self.lower) | (w > self.upper), xp.full_like(w, math.inf), xp.zeros_like(w))

    def prox(self, v: Array, scale: Array | float) -> Array:
        xp = array_namespace(v)
        low, high = xp.full_like(v, self.lower), xp.full_like(v, self.upper)
        return where_scaled(scale, xp.where(v < low, low, xp.where(v > high, high, v)), v)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        zero, infinite = xp.zeros_like(u), xp.full_like(u, math.inf)
        at_upper = (w == self.upper) & (u > 0)  # the half-line [0, inf)
        at_lower = (w == self.lower) & (u < 0)  # the half-line (-inf, 0];  between the bounds the point 0
        outside = (w < self.lower) | (w > self.upper)
        return xp.where(outside, infinite, xp.where(at_lower | at_upper, u, zero))

    def manifold(self, w: Array) -> Pinned:
        xp = array_namespace(w)
        labels = xp.full_like(w, -1, dtype=xp.int32)
        for label, bound in enumerate((self.lower, self.upper)):
            labels = xp.where(w == bound, xp.full_like(labels, label), labels)
        return Pinned(to_host(labels), tuple(w.shape), (self.lower, self.upper), "entries", self._place)

    @property
    @abstractmethod
    def _place(self) -> str:
        """Where the entries are that the manifold pins, in a word or two."""

    def block_max(self, a: Array) -> Array:
        return a


@dataclass(frozen=True)
class Box(Bounds):
    """psi(w) = 0 where lower <= w_i <= upper for all entries, else infinite;  prox: the nearest bound outside.

    lower < upper: numbers in the units of w, -inf and inf for no bound.  Raises ValueError or TypeError for others.

    Reference: Bertsekas, "On the Goldstein-Levitin-Polyak gradient projection method", 1976.
    """

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        validate.store(self, lower=_bound("lower", self.lower), upper=_bound("upper", self.upper))
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower!r} and {self.upper!r}")
        validate.store(self, homogeneous=self.lower in (0, -math.inf) and self.upper in (0, math.inf))

    @property
    def _place(self) -> str:
        return "at a bound"


@dataclass(frozen=True)
class NonNegative(Bounds):
    """psi(w) = 0 where w_i >= 0 for all entries, else infinite;  prox: max(v, 0), exact zeros.

    Reference: Lawson and Hanson, "Solving least squares problems", 1974.
    """

    lower = 0.0
    upper = math.inf
    homogeneous = True

    @property
    def _place(self) -> str:
        return "zero"
