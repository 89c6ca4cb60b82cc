"""Device functions: one entry from its gradient to the terms of its subproblem, and the roots of the metric.

All arithmetic is in the dtype of the state, S. Divisions and square roots in float32 are the ones that round correctly:
they are few, and the kernels wait for memory.
"""

# The language of Triton reads as Python and is none.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# pyright: basic, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
from __future__ import annotations

import triton
import triton.language as tl

WEIGHT, ANCHOR, GRADIENT, MEAN, SQUARE, TOP, THETA = (tl.constexpr(i) for i in range(7))
COLUMNS = tl.constexpr(7)
"""Of the table of addresses, one row a task."""
PLAN = tl.constexpr(10)
PENALTY = tl.constexpr(5)
"""Numbers of a row of the tables of plans and penalties, see tables.py."""


@triton.jit
def pointer(addresses, task, column: tl.constexpr, dtype: tl.constexpr, EVEN: tl.constexpr):
    """The array of a task. EVEN: its address is a multiple of 16 bytes, so that threads load 16 bytes at once."""
    p = tl.load(addresses + task * COLUMNS + column).to(tl.pointer_type(dtype))
    if EVEN:
        p = tl.multiple_of(p, 16)
    return p


@triton.jit
def arrays(addresses, task, W: tl.constexpr, G: tl.constexpr, S: tl.constexpr, EVEN: tl.constexpr):
    """Pointers to weight, anchor, gradient, mean, square and largest square; those that a method lacks are null."""
    return (
        pointer(addresses, task, WEIGHT, W, EVEN),
        pointer(addresses, task, ANCHOR, S, EVEN),
        pointer(addresses, task, GRADIENT, G, EVEN),
        pointer(addresses, task, MEAN, S, EVEN),
        pointer(addresses, task, SQUARE, S, EVEN),
        pointer(addresses, task, TOP, S, EVEN),
    )


@triton.jit
def numbers(plans, row, S: tl.constexpr):
    """(keep, gain, out, keep_square, gain_square, correction, epsilon, decay, average, 1 - average, weight); the
    difference is taken in float64."""
    p = plans + row * PLAN
    average = tl.load(p + 8)
    return (
        tl.load(p).to(S),
        tl.load(p + 1).to(S),
        tl.load(p + 2).to(S),
        tl.load(p + 3).to(S),
        tl.load(p + 4).to(S),
        tl.load(p + 5).to(S),
        tl.load(p + 6).to(S),
        tl.load(p + 7).to(S),
        average.to(S),
        (1.0 - average).to(S),
        tl.load(p + 9),
    )


@triton.jit
def advance(p, plan, sign, at, mask, S: tl.constexpr, ROOT: tl.constexpr, ANCHORED: tl.constexpr, UPDATE: tl.constexpr):
    """(w after decay, anchor, linear, metric) of the entries at these offsets. UPDATE: whether the gradient enters the
    state, which is stored; else it has been."""
    mean = tl.load(p[3] + at, mask, 0.0)
    if UPDATE:
        g = sign * tl.load(p[2] + at, mask, 0.0).to(S)
        mean = plan[0] * mean + plan[1] * g
        tl.store(p[3] + at, mean, mask)
    if ROOT == "none":
        metric = tl.zeros_like(mean) + plan[6]
    else:
        square = tl.load(p[4] + at, mask, 0.0)
        if UPDATE:
            square = plan[3] * square + plan[4] * (g * g)
            tl.store(p[4] + at, square, mask)
        if ROOT == "largest":
            top = tl.load(p[5] + at, mask, 0.0)
            if UPDATE:
                top = tl.maximum(top, square)
                tl.store(p[5] + at, top, mask)
            square = top
        if ROOT == "cube":
            metric = cube_root(square, S) + plan[6]
        else:
            metric = plan[5] * square_root(square, S) + plan[6]
    w = plan[7] * tl.load(p[0] + at, mask, 0.0).to(S)
    if ANCHORED:
        anchor = tl.load(p[1] + at, mask, 0.0)
    else:
        anchor = w
    return w, anchor, plan[2] * mean, metric


@triton.jit
def finish(p, plan, w, point, at, mask, W: tl.constexpr):
    """W_t = (1 - c) W_{t-1} + c What_t, stored."""
    tl.store(p[0] + at, (plan[9] * w + plan[8] * point).to(W), mask)


@triton.jit
def cube_root(x, S: tl.constexpr):
    """x^(1/3) for x >= 0, to a few units in the last place, 0 at 0: x r^2 with r = x^(-1/3).

    r comes from the exponent, divided by -3 as an integer, within 3.5%. With h = 1 - x r^3 the factor (1 - h)^(-1/3) is
    1 + h/3 + 2 h^2/9 + 14 h^3/81 up to h^4 / 7: two such steps leave 1e-19. No division. Denormal numbers are scaled.
    """
    if S == tl.float64:
        small = x < 2.0**-1000
        y = tl.where(small, x * 2.0**54, x)
        r = (0x553EF0FF289DD796 - y.to(tl.int64, bitcast=True) // 3).to(tl.float64, bitcast=True)
    else:
        small = x < 2.0**-120
        y = tl.where(small, x * 2.0**54, x)
        r = (0x54A2FA8C - y.to(tl.int32, bitcast=True) // 3).to(tl.float32, bitcast=True)
    for _ in tl.static_range(2):
        h = 1.0 - (y * r) * (r * r)
        r = r + (r * h) * (0.3333333333333333 + h * (0.2222222222222222 + h * 0.1728395061728395))
    root = (y * r) * r
    return tl.where(small, root * 2.0**-18, root)


@triton.jit
def square_root(x, S: tl.constexpr):
    """x^(1/2), rounded correctly: in float32 tl.sqrt is an approximation."""
    if S == tl.float64:
        return tl.sqrt(x)
    else:
        return tl.sqrt_rn(x)


@triton.jit
def ratio(x, y, S: tl.constexpr):
    """x / y, rounded correctly."""
    if S == tl.float64:
        return x / y
    else:
        return tl.div_rn(x, y)


@triton.jit
def soft(v, threshold):
    """sign(v) max(|v| - threshold, 0)."""
    return tl.where(tl.abs(v) <= threshold, 0.0, tl.where(v > 0, v - threshold, v + threshold))
