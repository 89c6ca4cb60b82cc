"""The root of the secular equation of one group, from moments: ||b / (d theta + lam)|| = 1."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

from numba import njit

from .functions import STRICT


@njit(**STRICT)
def following(theta, h, m1, m2, m3, tolerance):
    """(the next theta, whether it is known to be a root of h(theta) = 1 up to the tolerance).

    With q = b / (d theta + lam) and x = d / (d theta + lam) the moments are h = sum q^2 and m_k = sum q^2 x^k. At
    theta + delta, h becomes sum q^2 / (1 + x delta)^2. Were there one value of x where q counts, that would be
    h - c + c / (1 + x delta)^2 with c = m1^2 / m2 and x = m2 / m1; these have the same h, m1 and m2, and the difference
    in m3 is taken into account as - 4 (m3 - c x^3) delta^3. What is left out is, because x theta < 1, at most
    5 r^4 (m3 - c x^4 theta) theta^3 + 12 r^5 m3 theta^3 for r = |delta| / theta < 1/10.

    From theta = 0, and far from the root, it is Newton's step on 1/sqrt(h) - 1, which from the left never passes the
    root. From the right it may pass it and even 0; then 0 is next, where h <= 1 says that the group is zero. NaN where
    the moments are not finite.
    """
    if theta == 0 and h <= 1:
        return theta, True
    delta = (math.sqrt(h) - 1) * h / m1
    if theta == 0 or abs(delta) > 0.1 * theta:
        return max(theta + delta, 0.0) if delta == delta else delta, False
    x, c = m2 / m1, m1 * m1 / m2
    more = 4 * (m3 - c * x**3)
    delta = (math.sqrt(c / (c + 1 - h)) - 1) / x
    for _ in range(2):
        shrunk = 1 / (1 + x * delta)
        value = h - 1 - c + c * shrunk**2 - more * delta**3
        delta += value / (2 * c * x * shrunk**3 + 3 * more * delta**2)
    r = abs(delta) / theta
    left_out = r**4 * theta**3 * (5 * abs(m3 - c * x**4 * theta) + 12 * r * m3)
    return theta + delta, r < 0.1 and left_out <= tolerance
