"""The root of the secular equation of one group, from moments: ||b / (d theta + lam)|| = 1.

With q = b / (d theta + lam) and x = d theta / (d theta + lam), which lies in [0, 1], the moments are m_k = sum q^2 x^k,
and h = m_0. At theta (1 + r), h becomes sum q^2 / (1 + x r)^2: a function of the measure that has mass q^2 at x.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

from numba import njit

from .functions import LOOP

NEAR = 0.1
FAR = 0.5
"""How large |r| may be for the cheap bound and the sharp one."""
FLAT = 1e-9
"""The relative variance of x below which one x stands for all."""


@njit(**LOOP)
def following(theta, h, m1, m2, m3, tolerance):
    """(the next theta, whether it is known to be a root of h(theta) = 1 up to the tolerance); the moments m_k / theta^k
    are given, so that theta may be 0.

    From theta = 0, and far from the root, it is Newton's step on 1/sqrt(h) - 1, which from the left never passes the
    root. From the right it may pass it and even 0; then 0 is next, where h <= 1 says that the group is zero. NaN where
    the moments are not finite.
    """
    if theta == 0 and h <= 1:
        return theta, True
    if h == 0:  # which may be too small a number; at 0 that is decided
        return 0.0, False
    delta = (math.sqrt(h) - 1) * h / m1
    if theta == 0 or abs(delta) > FAR * theta:
        return max(theta + delta, 0.0) if delta == delta else delta, False
    m1, m2, m3 = m1 * theta, m2 * theta**2, m3 * theta**3
    r, error = cheap(h, m1, m2, m3)
    if error > tolerance:
        r, error = sharp(delta / theta, h, m1, m2, m3)
    return theta + theta * r, error <= tolerance


@njit(**LOOP)
def cheap(h, m1, m2, m3):
    """(r, a bound of |h - 1| there), from the one x that has the same h, m_1 and m_2.

    That is mass c = m_1^2 / m_2 at x = m_2 / m_1 and the rest at 0; the difference in m_3 is taken into account as
    - 4 (m_3 - c x^3) r^3. What is left out is at most 5 r^4 (m_3 - c x^4) + 12 |r|^5 m_3 for |r| < 1/10.
    """
    x, c = m2 / m1, m1 * m1 / m2
    more = 4 * (m3 - c * x**3)
    r = (math.sqrt(c / (c + 1 - h)) - 1) / x
    for _ in range(2):
        shrunk = 1 / (1 + x * r)
        value = h - 1 - c + c * shrunk**2 - more * r**3
        r += value / (2 * c * x * shrunk**3 + 3 * more * r**2)
    error = r**4 * (5 * abs(m3 - c * x**4) + 12 * abs(r) * m3)
    return r, error if abs(r) < NEAR else math.inf


@njit(**LOOP, forceinline=True)
def sharp(guess, h, m1, m2, m3):
    """(r, a bound of |h - 1| there), from the least and the largest h that these moments allow.

    The fourth derivative of 1 / (1 + x r)^2 in x is positive, so these are the sums over the two nodes of the Gauss
    rule of the measure, and over the three of the Lobatto rule, whose outer ones are 0 and 1 (Krein and Nudelman, The
    Markov Moment Problem, chapter 4). r makes their mean 1. Where rounding leaves no such rule: (guess, infinity).
    """
    variance = h * m2 - m1 * m1
    x1, x2, mass = m1 / h, m1 / h, 0.0
    if variance > FLAT * h * m2:
        half = (h * m3 - m1 * m2) / (2 * variance)
        apart = math.sqrt(max(half * half - (m1 * m3 - m2 * m2) / variance, 0.0))
        x1, x2 = half - apart, half + apart
        mass = (m1 - h * x1) / (x2 - x1) if x2 > x1 else 0.0
    inside, y, middle = m1 - m2, 0.5, 0.0
    if inside > FLAT * m1:
        y = (m2 - m3) / inside
        middle = inside / (y * (1 - y))
    outer = m1 - middle * y
    r, low, high = guess, h, h
    for k in range(4):
        s1, s2, sy, so = 1 / (1 + x1 * r), 1 / (1 + x2 * r), 1 / (1 + y * r), 1 / (1 + r)
        low = (h - mass) * s1**2 + mass * s2**2
        high = middle * sy**2 + outer * so**2 + h - middle - outer
        slope = (h - mass) * x1 * s1**3 + mass * x2 * s2**3 + middle * y * sy**3 + outer * so**3
        if k < 3:
            r += ((low + high) / 2 - 1) / slope
    error = abs(high - low) / 2 + abs((low + high) / 2 - 1)
    fits = 0 <= x1 <= x2 <= 1.001 and 0 < y < 1 and abs(r) < FAR
    return (r, error) if fits and error < math.inf else (guess, math.inf)
