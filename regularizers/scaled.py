"""Multiples of a regularizer: one factor, or one for each block."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

from optkit import validate
from optkit.core import Array, Manifold, Radial, Regularizer

from .host import to_host
from .pinned import Pinned
from .view import OnView


@dataclass(frozen=True, eq=False)
class Scaled(Regularizer):
    """factor * psi, one factor >= 0 for all of the array or one for each block;  prox: psi's, with scale * factor.

    Factors by block make adaptive and reweighted penalties, and a factor of 0 leaves a block unpenalized:
    `Scaled(L1(1e-3), mask)` with zeros where nothing is to be penalized.

    psi: a Regularizer;  factor: a number >= 0, or an array (numpy, torch, ..., nested lists) of finite numbers >= 0
    that broadcasts to S and is constant on the blocks of psi; it is not copied. Raises ValueError or TypeError for
    others. `lambda_max` is the strength of psi at which 0 becomes stationary with these factors.

    Reference: Zou, "The adaptive lasso and its oracle properties", 2006.
    """

    psi: Regularizer
    factor: Array | float

    def __post_init__(self) -> None:
        validate.instance("psi", self.psi, Regularizer, "for example L1(1e-3)")
        factor = _numbers(self.factor) if isinstance(self.factor, (list, tuple)) else self.factor
        if is_array_api_obj(factor) and not isinstance(factor, Real):
            validate.floating("factor", factor)
            host = to_host(factor)
            if not np.all(np.isfinite(host) & (host >= 0)):
                raise ValueError(f"factor must hold finite numbers >= 0, got {factor!r}")
        else:
            factor = validate.nonnegative("factor", factor)
        facts = {fact: getattr(self.psi, fact) for fact in ("convex", "separable", "homogeneous")}
        validate.store(self, factor=factor, **facts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scaled):
            return NotImplemented
        return self.psi == other.psi and np.array_equal(self._host(), other._host())

    def __hash__(self) -> int:
        return hash((self.psi, (self._host() + 0.0).tobytes()))  # 0 and -0 are equal

    def _host(self) -> np.ndarray[Any, np.dtype[Any]]:
        return np.asarray(to_host(self.factor) if is_array_api_obj(self.factor) else self.factor, dtype=float)

    @property
    def weak_convexity(self) -> float:
        largest = float(self._host().max(initial=0.0))
        return largest * self.psi.weak_convexity if largest else 0.0

    @property
    def any_metric(self) -> bool:
        return self.psi.any_metric

    def check(self, shape: tuple[int, ...]) -> None:
        self.psi.check(shape)
        factor = self._host()
        try:
            whole = np.broadcast_to(factor, shape)
        except ValueError:
            raise ValueError(f"Scaled: a factor of shape {factor.shape} does not broadcast to {tuple(shape)}") from None
        if not np.array_equal(np.broadcast_to(self.psi.block_max(whole), shape), whole):
            name = type(self.psi).__name__
            raise ValueError(f"Scaled: the factor must be constant on the blocks of {name}; give each block one number")

    def _factor(self, w: Array) -> Array:
        """The factor of each block, in the shape of `block_max(w)`, like w."""
        xp = array_namespace(w)
        factor = xp.asarray(self.factor, dtype=w.dtype, device=device(w))
        return self.psi.block_max(xp.broadcast_to(factor, w.shape))

    def block_values(self, w: Array) -> Array:
        xp, factor, values = array_namespace(w), self._factor(w), self.psi.block_values(w)
        return xp.where(factor > 0, _or_one(factor) * values, xp.zeros_like(values))

    def prox(self, v: Array, scale: Array | float) -> Array:
        return self.psi.prox(v, scale * (self._factor(v) if is_array_api_obj(self.factor) else self.factor))

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp, factor = array_namespace(w), self._factor(w)
        safe = _or_one(factor)
        return xp.where(factor > 0, safe * self.psi.project_subdifferential(w, u / safe), xp.zeros_like(u))

    def block_margins(self, w: Array, gradient: Array) -> Array:
        xp, factor = array_namespace(w), self._factor(w)
        safe = _or_one(factor)
        margins = safe * self.psi.block_margins(w, gradient / safe)
        return xp.where(factor > 0, margins, xp.full_like(margins, math.inf))

    def block_lambda_max(self, gradient: Array) -> Array:
        xp, factor, least = array_namespace(gradient), self._factor(gradient), self.psi.block_lambda_max(gradient)
        unreachable = xp.where(least > 0, xp.full_like(least, math.inf), least)
        return xp.where(factor > 0, least / _or_one(factor), unreachable)

    def manifold(self, w: Array) -> Manifold:
        """psi's, with the unpenalized blocks free. Raises TypeError for a manifold that can not leave blocks free."""
        inner, free = self.psi.manifold(w), self._host() == 0
        if not np.any(free):
            return inner
        if isinstance(self.psi, OnView):
            factor = self.psi.view(np.broadcast_to(self._host(), tuple(w.shape)))
            return replace(self.psi, psi=Scaled(self.psi.psi, factor)).manifold(w)
        free = to_host(self._factor(w)) == 0
        if isinstance(inner, Pinned):
            labels = np.where(
                np.broadcast_to(free, w.shape) if free.shape != inner.labels.shape else free, -1, inner.labels
            )
            return Pinned(labels, inner.shape, inner.levels, inner.noun, inner.place)
        if np.all(free):
            return Pinned(np.full(free.shape, -1), tuple(w.shape))
        raise TypeError(
            f"the manifold of {type(self.psi).__name__} is not made of blocks, so that none can be left free"
        )

    def block_max(self, a: Array) -> Array:
        return self.psi.block_max(a)

    def radial(self, b: Array, weight: Array | float) -> Radial | None:
        return self.psi.radial(b, weight * (self._factor(b) if is_array_api_obj(self.factor) else self.factor))


def _numbers(nested: Any) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        return np.asarray(nested, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"factor must be numbers in lists of equal length, got {nested!r}") from None


def _or_one(factor: Array) -> Array:
    """The factors with 1 in the place of 0, which may meet an infinite value or be a divisor."""
    return array_namespace(factor).where(factor > 0, factor, array_namespace(factor).ones_like(factor))
