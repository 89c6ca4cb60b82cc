"""Device functions for the secular equation of a group: ||b / (d theta + lam)|| = 1.

All numbers are relative to lam, more precisely to unit = max(lam, floor): b / unit, lam / unit and theta / unit. So
huge and tiny ones stay in range. b / unit is cut off where it is squared for the norm: beyond that it only matters that
it is large.
"""

# The language of Triton reads as Python and is none.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# pyright: basic, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
from __future__ import annotations

import triton
import triton.language as tl

from .functions import ratio, square_root


@triton.jit
def floor(S: tl.constexpr):
    """The least unit: its reciprocal is far from infinity."""
    return 1e-280 if S == tl.float64 else 1e-30


@triton.jit
def cut(b, S: tl.constexpr):
    """|b|^2 that can be summed."""
    size = tl.minimum(tl.abs(b), 1e140 if S == tl.float64 else 1e15)
    return size * size


@triton.jit
def tolerance(S: tl.constexpr):
    """Up to which | sqrt(h) - 1 | the root is known: above the rounding of the sum h, below the certificate."""
    return 1e-12 if S == tl.float64 else 2e-6


@triton.jit
def certificate(S: tl.constexpr):
    """The largest | sqrt(h) - 1 | at the point that counts as converged."""
    return 1e-10 if S == tl.float64 else 1e-5


@triton.jit
def over(x):
    """The sum over each group of a tile (rows, groups, run), as (1, groups, 1)."""
    return tl.sum(tl.sum(x, 2, keep_dims=True), 0, keep_dims=True)


@triton.jit
def top(x):
    """The largest entry of each group of a tile, as `over`."""
    return tl.max(tl.max(x, 2, keep_dims=True), 0, keep_dims=True)


@triton.jit
def left(norm, lam, entry, metric, S: tl.constexpr):
    """A point left of the root, > 0 where norm > lam: (||b|| - lam) / max d, or max (|b_i| - lam) / d_i if larger, at
    which no |b_i| / (d_i theta + lam) is larger than 1.  entry, metric: these two maxima."""
    return tl.maximum(entry, ratio(norm - lam, metric, S))


@triton.jit
def moments(b, d, lam, theta):
    """(q^2, q^2 x, q^2 x^2) of each entry, with q = b / (d theta + lam) and x = d theta / (d theta + lam)."""
    r = 1.0 / (d * theta + lam)
    q, x = b * r, d * theta * r
    q *= q
    return q, q * x, q * x * x


@triton.jit
def following(theta, least, h, m1, m2, S: tl.constexpr):
    """(the next theta, whether it is the root up to `tolerance`) from the sums of `moments`.

    With theta (1 + delta), h becomes sum q^2 / (1 + x delta)^2 = h - 2 m1 delta + 3 m2 delta^2 - rest, and |rest| <=
    6 m2 |delta|^3 for |delta| <= 1/20: where that is below the tolerance, the quadratic's root is the root. Elsewhere
    Newton's step on 1 - 1/sqrt(h): from the left it never passes the root. From the right it may; then the next one
    starts from `least`, which is left of the root.
    """
    delta = (square_root(h, S) - 1.0) * h / tl.where(m1 > 0, m1, 1.0)
    near = tl.abs(delta) <= 0.05
    fine = tl.where(near, delta, 0.0)
    for _ in tl.static_range(2):  # Newton's method on the quadratic
        slope = 2.0 * m1 - 6.0 * m2 * fine
        fine += (h - 1.0 - 2.0 * m1 * fine + 3.0 * m2 * fine * fine) / tl.where(slope > 0, slope, 1.0)
    near = near & (tl.abs(fine) <= 0.05)
    size = tl.abs(fine)
    certain = near & (6.0 * m2 * size * size * size <= tolerance(S))
    return tl.maximum(theta + theta * tl.where(near, fine, delta), least), certain


@triton.jit
def radial(norm, lam, d, concavity, BENT: tl.constexpr, S: tl.constexpr):
    """||w|| / ||b|| where d is one number, in closed form: (1 - lam / ||b||) / d, and 0 where ||b|| <= lam.

    BENT: the penalty lam r - concavity r^2 / 2, constant from its maximum on: (1 - lam / ||b||) / (d - concavity) up to
    there and 1 / d beyond where concavity < d, else hard thresholding at lam sqrt(d / concavity).
    """
    one = norm * 0.0 + 1.0
    share = 1.0 - ratio(lam * one, tl.where(norm > lam, norm, one), S)
    share = tl.where(norm > lam, share, 0.0)
    free = ratio(one, d * one, S)
    if BENT:
        convex = concavity < d
        curved = ratio(share, tl.where(convex, d - concavity, 1.0) * one, S)
        firm = tl.where(norm * concavity <= lam * d, curved, free)
        hard = tl.where(norm <= lam * square_root(ratio(d * one, concavity * one, S), S), 0.0, free)
        return tl.where(convex, firm, hard)
    else:
        return share * free
