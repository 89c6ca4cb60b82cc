"""Device functions: metrics and proximal maps of one entry, in the dtype of the arrays throughout.

A flag is None or True (and `cube` may be 2): its type decides, at compile time, which branch there is.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from .memory import bits

LOOP: dict[str, Any] = dict(nogil=True, error_model="numpy", boundscheck=False)
"""For loops, and for what is called from Python."""
STRICT: dict[str, Any] = LOOP | dict(no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only loops call: wrappers for calls from Python would take long to compile."""
FAST: dict[str, Any] = STRICT | dict(fastmath={"nnan", "ninf", "nsz", "contract"})
"""For finite numbers. Sums are not reordered: with leave to do so LLVM turns b * inverse(x) back into a division, which
takes longer than the rest of a loop."""
SUMS: dict[str, Any] = STRICT | dict(fastmath={*FAST["fastmath"], "reassoc"})
"""For loops with sums across the lanes, whose other operations stand in functions of their own."""
INNER: dict[str, Any] = FAST | dict(forceinline=True)
"""For what stands in a loop: a call there would leave it scalar."""
EXACT: Any = STRICT | dict(forceinline=True)
"""With divisions and roots as they are."""
LOOSE: Any = EXACT | dict(fastmath=True)
"""With estimates of quotients and roots."""

f32 = np.float32
C0, C1, C2 = f32(1.236761061908372), f32(1.1340149216586113), f32(1.2997602043043235)
C3, C4, CENTRE = f32(1.601374285783139), f32(2.021341882577259), f32(0.7270617485046387)
THIRD, TINY, UP, DOWN, MAGIC = f32(1 / 3), f32(1e-30), f32(2.0**60), f32(2.0**-20), np.int32(1418600000)
ONE = f32(1)
MAGIC_HIGH, LEAST = np.int32(1430023795), 1e-300


def cube_root(x: Any, cube: bool | int) -> Any:
    """x^(1/3) for x >= 0.

    In float32 t p(e) with t = x r^2, e = CENTRE - x r^3, p(e) near (CENTRE - e)^(-2/3): r comes from dividing the
    exponent by 3, which leaves |e| <= 0.0617, and p is the best fit of degree 4 on that range (1.2e-7; 2.7e-7 with all
    rounding, 9e-8 root mean square). Denormals have no such exponent, and are off by 3e-13 at most; where cube is no
    flag but an integer they count, and below 1e-30 it is the root of 2^60 x times 2^-20.

    In float64 r comes from the upper half of x, and a step of Halley's method cubes the error (2.3e-16; below 1e-290
    1.2e-7). Where cube is an integer, it is the root of the C library, for one entry at a time.
    """
    return x ** (1 / 3)


@njit(**LOOSE)
def _estimate(x):
    r = bits(np.int32(MAGIC - np.int32(f32(bits(x)) * THIRD)))
    t = x * r * r
    e = CENTRE - t * r
    return t * (C0 + e * (C1 + e * (C2 + e * (C3 + e * C4))))


@njit(**EXACT)
def _estimate_double(x):
    high = f32(np.int32(bits(x) >> 32)) * THIRD
    r = bits(np.int64(MAGIC_HIGH - np.int32(high)) << 32)
    t = x * r * r
    e = CENTRE - t * r
    t = t * (C0 + e * (C1 + e * (C2 + e * (C3 + e * C4))))
    cube = t * t * t
    return t - t * ((cube - x) / (2 * cube + x + LEAST))  # 0 where x is


@overload(cube_root, jit_options=LOOSE)
def _cube_root(x, cube):
    if x == types.float32 and not isinstance(cube, types.Integer):
        return lambda x, cube: _estimate(x)
    if x == types.float32:

        def careful(x, cube):
            tiny = f32(x < TINY)  # 0 or 1: branches would keep the loop scalar
            return _estimate(x * (ONE + tiny * (UP - ONE))) * (ONE - tiny * (ONE - DOWN))

        return careful
    return None


@overload(cube_root, jit_options=EXACT)
def _exact_cube_root(x, cube):
    if x == types.float64 and not isinstance(cube, types.Integer):
        return lambda x, cube: _estimate_double(x)
    return (lambda x, cube: np.cbrt(x)) if x == types.float64 else None


def inverse(x: Any) -> Any:
    """1/x; in float32 by an estimate and a step of Newton's method (1e-7). In float64 that would miss digits."""
    return 1 / x


@overload(inverse, jit_options=LOOSE)
def _inverse(x):
    return (lambda x: ONE / x) if x == types.float32 else None


@overload(inverse, jit_options=EXACT)
def _exact_inverse(x):
    return (lambda x: 1.0 / x) if x == types.float64 else None


def root(x: Any) -> Any:
    """x^(1/2), as `inverse`."""
    return math.sqrt(x)


@overload(root, jit_options=LOOSE)
def _root(x):
    return (lambda x: np.sqrt(x)) if x == types.float32 else None


@overload(root, jit_options=EXACT)
def _exact_root(x):
    return (lambda x: np.sqrt(x)) if x == types.float64 else None


@njit(**INNER)
def metric(u, correction, epsilon, cube):
    """u^(1/3) + epsilon, or correction u^(1/2) + epsilon."""
    if cube is None:
        return correction * root(u) + epsilon
    return cube_root(u, cube) + epsilon


@njit(**INNER)
def soft(v, threshold):
    """sign(v) max(|v| - threshold, 0)."""
    return v - threshold if v > threshold else (v + threshold if v < -threshold else v - v)


@njit(**INNER)
def prox(v, scale, weight, first, second, one, firm, binary):
    """The proximal map of scale * weight * psi at v; see Penalty for first, second and the weight."""
    if binary is not None:
        level = second if v > 0 else -second
        threshold = scale * first
        return level + soft(v - level, threshold) if threshold > 0 else v
    if firm is None:
        return soft(v, scale * first) * inverse(one + scale * second)
    curved = scale * weight < second
    stretch = one - scale * weight * inverse(second) if curved else one
    edge = (second if curved else root(second * scale * weight)) * first
    inner = soft(v, scale * weight * first) * inverse(stretch) if curved else v - v
    return inner if abs(v) <= edge else v
