"""Groups that lie in columns: two passes over memory from the gradient to the new weights.

A panel is `rows` rows of `length` neighbouring entries, which are whole groups of `run` entries in each row. The first
pass runs along the rows, updates the sums and adds up the moments of each column's secular equation at the theta of the
last step; a step in theta for each group follows; the second pass computes the point again and writes the average. As
long as theta moves little, that is exact (see newton.py). Else the moments are taken again, of all columns or of the
few groups that are not settled.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from collections import namedtuple

from numba import njit

from .functions import FAST, STRICT
from .memory import load, pointer, store, take
from .newton import sharp
from .subproblem import PASSES, missed, move, quotient, refine, step, unpack, weigh

BLOCK = 64
"""Rows whose moments are added up in the dtype of the arrays before they go to the float64 totals."""
FEW = 16
"""One of so many groups may be open for the moments to be taken group by group."""
SCRATCH = 15
"""Lines of scratch memory: Columns and Totals."""

Columns = namedtuple("Columns", "h m1 m2 m3 free column lam bent")
"""Of each column: moments, theta (`column`), threshold and concavity, which are 0 beyond the bend of the penalty. The
average weight times theta is in the place of m1 in the last pass."""
Totals = namedtuple("Totals", "h m1 m2 m3 free theta open")
"""In float64: the moments of each column, then of each group; its next theta; and whether that is to be sought still
(1), is the root (0), or the norm of a group beyond the bend (-1)."""


@njit(**FAST)
def accumulate(i0, i1, stride, length, at, to, k, update, flags):
    """Add the rows i0 <= i < i1 to the moments of the columns; with `update` the sums are brought up to date first."""
    for i in range(i0, i1):
        for c in range(length):
            reach, q, x = weigh(i * stride + c, load(to.column, c), at, k, update, flags)
            if flags.bent is not None:
                store(to.free, c, load(to.free, c) + reach * reach)
            q = q * q
            store(to.h, c, load(to.h, c) + q)
            if flags.adaptive is not None:
                q = q * x
                store(to.m1, c, load(to.m1, c) + q)
                q = q * x
                store(to.m2, c, load(to.m2, c) + q)
                store(to.m3, c, load(to.m3, c) + q * x)


@njit(**FAST)
def write(i0, i1, stride, length, at, to, k, flags):
    """Average the solution into w, in the rows i0 <= i < i1, and add up h at the last theta."""
    rest = k.decay * k.rest
    for i in range(i0, i1):
        for c in range(length):
            q = quotient(i * stride + c, load(to.column, c), load(to.lam, c), load(to.bent, c), at, k, flags)
            store(to.h, c, load(to.h, c) + q * q)
            move(i * stride + c, q, rest, load(to.m1, c), at)


@njit(**STRICT)
def clear(to, total, length):
    """All moments 0."""
    for c in range(length):
        store(to.h, c, 0.0)
        store(to.m1, c, 0.0)
        store(to.m2, c, 0.0)
        store(to.m3, c, 0.0)
        store(to.free, c, 0.0)
        store(total.h, c, 0.0)
        store(total.m1, c, 0.0)
        store(total.m2, c, 0.0)
        store(total.m3, c, 0.0)
        store(total.free, c, 0.0)


@njit(**STRICT)
def flush(to, total, length):
    """Move the moments to the totals."""
    for c in range(length):
        store(total.h, c, load(total.h, c) + load(to.h, c))
        store(total.m1, c, load(total.m1, c) + load(to.m1, c))
        store(total.m2, c, load(total.m2, c) + load(to.m2, c))
        store(total.m3, c, load(total.m3, c) + load(to.m3, c))
        store(total.free, c, load(total.free, c) + load(to.free, c))
        store(to.h, c, 0.0)
        store(to.m1, c, 0.0)
        store(to.m2, c, 0.0)
        store(to.m3, c, 0.0)
        store(to.free, c, 0.0)


@njit(**STRICT)
def gather(groups, run, total):
    """From the moments of columns those of groups, in place."""
    for j in range(groups):
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(j * run, (j + 1) * run):
            h += load(total.h, c)
            m1 += load(total.m1, c)
            m2 += load(total.m2, c)
            m3 += load(total.m3, c)
            free += load(total.free, c)
        store(total.h, j, h)
        store(total.m1, j, m1)
        store(total.m2, j, m2)
        store(total.m3, j, m3)
        store(total.free, j, free)


@njit(**STRICT)
def take_moments(groups, rows, stride, run, at, to, k, total, update, flags):
    """The moments of all groups."""
    length = groups * run
    clear(to, total, length)
    for i in range(0, rows, BLOCK):
        accumulate(i, min(i + BLOCK, rows), stride, length, at, to, k, update, flags)
        flush(to, total, length)
    if run > 1:
        gather(groups, run, total)


@njit(**STRICT)
def spread(j, run, theta, flat, to, k, flags):
    """Put the theta of group j into its columns."""
    for c in range(j * run, (j + 1) * run):
        store(to.column, c, 1.0 if flat else theta)
        if flags.bent is not None:
            store(to.lam, c, 0.0 if flat else k.lam)
            store(to.bent, c, 0.0 if flat else k.concavity)


@njit(**STRICT)
def nearby(groups, total, tolerance):
    """The step in theta that needs no other pass, for all groups at once; those are open for which there is none."""
    for j in range(groups):
        theta, h = load(total.theta, j), load(total.h, j)
        m1, m2, m3 = load(total.m1, j) * theta, load(total.m2, j) * theta**2, load(total.m3, j) * theta**3
        r, error = sharp((math.sqrt(h) - 1) * h / m1, h, m1, m2, m3)
        known = error <= tolerance
        store(total.theta, j, theta + theta * r if known else theta)
        store(total.open, j, 0.0 if known else 1.0)


@njit(**STRICT)
def settle(groups, run, to, k, total, tolerance, flags):
    """A step in theta for each group; returns how many come nearer to the root, and are not there yet."""
    for j in range(groups):
        store(total.theta, j, load(to.column, j * run))
        store(total.open, j, 1.0)
    if flags.adaptive is not None and flags.bent is None:
        nearby(groups, total, tolerance)
    left = 0
    for j in range(groups):
        flat = False
        if load(total.open, j) > 0:
            moments = load(total.h, j), load(total.m1, j), load(total.m2, j), load(total.m3, j), load(total.free, j)
            theta, done, flat = step(load(total.theta, j), *moments, k, tolerance, flags)
            store(total.theta, j, theta)
            store(total.open, j, -1.0 if flat else 0.0 if done else 1.0)
            left += not done and theta - theta == 0
        spread(j, run, load(total.theta, j), flat, to, k, flags)
    return left


@njit(**STRICT)
def solve(groups, rows, stride, run, at, to, k, total, tolerance, flags):
    """Update the sums and find theta of all groups; returns the passes over the panel."""
    take_moments(groups, rows, stride, run, at, to, k, total, True, flags)
    passes = 1
    left = settle(groups, run, to, k, total, tolerance, flags)
    while left * FEW > groups and passes < PASSES and flags.adaptive is not None:
        take_moments(groups, rows, stride, run, at, to, k, total, None, flags)
        passes += 1
        left = settle(groups, run, to, k, total, tolerance, flags)
    for j in range(groups):
        if load(total.open, j) > 0:
            theta, flat, steps = refine(j * run, rows, stride, run, load(total.theta, j), at, k, tolerance, flags)
            store(total.open, j, -1.0 if flat else 0.0)
            store(total.theta, j, theta)
            spread(j, run, theta, flat, to, k, flags)
            passes = max(passes, steps)
    return passes


@njit(**STRICT)
def average(groups, rows, stride, run, at, to, k, total, flags):
    """Average the solution into w. Returns the squared residual and the largest |sqrt(h) - 1|."""
    length = groups * run
    clear(to, total, length)
    for c in range(length):
        store(to.m1, c, k.average * load(to.column, c))
    for i in range((rows - 1) // BLOCK * BLOCK, -1, -BLOCK):  # what was read last is still near
        write(i, min(i + BLOCK, rows), stride, length, at, to, k, flags)
        for c in range(length):
            store(total.h, c, load(total.h, c) + load(to.h, c))
            store(to.h, c, 0.0)
    square, worst = 0.0, 0.0
    for j in range(groups):
        if load(total.open, j) == 0 and not load(to.column, j * run) <= 0:  # NaN is no solution
            h = 0.0
            for c in range(j * run, (j + 1) * run):
                h += load(total.h, c)
            gap = missed(h)
            square += (float(k.lam) * gap) ** 2
            worst = max(worst, gap)
    return square, worst


@njit(**STRICT)
def panel(groups, rows, stride, run, theta_, at, k, result, scratch, like, tolerance, flags):
    """The step of one panel.  result: squared residual, passes over the panel, largest |sqrt(h) - 1|."""
    base, size = scratch.ctypes.data, 8 * scratch.shape[1]
    to = Columns(
        pointer(base, like, "h"),
        pointer(base + size, like, "m1"),
        pointer(base + 2 * size, like, "m2"),
        pointer(base + 3 * size, like, "m3"),
        pointer(base + 4 * size, like, "free"),
        pointer(base + 5 * size, like, "column"),
        pointer(base + 6 * size, like, "lam"),
        pointer(base + 7 * size, like, "bent"),
    )
    total = Totals(
        pointer(base + 8 * size, scratch, "total h"),
        pointer(base + 9 * size, scratch, "total m1"),
        pointer(base + 10 * size, scratch, "total m2"),
        pointer(base + 11 * size, scratch, "total m3"),
        pointer(base + 12 * size, scratch, "total free"),
        pointer(base + 13 * size, scratch, "next"),
        pointer(base + 14 * size, scratch, "open"),
    )
    for j in range(groups):
        spread(j, run, load(theta_, j), False, to, k, flags)
    passes = solve(groups, rows, stride, run, at, to, k, total, tolerance, flags)
    for j in range(groups):
        store(theta_, j, load(total.theta, j))
    square, worst = average(groups, rows, stride, run, at, to, k, total, flags)
    result[0], result[1], result[2] = square, passes + 1, worst


@njit(**STRICT)
def panels(jobs, numbers, results, counter, scratch, like, tolerance, flags):
    """Take jobs until there are none.  scratch: SCRATCH lines of as many float64 numbers as the longest panel has;
    flags: see recipes.py."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        at, k = unpack(jobs[j], numbers[jobs[j, 0]], like)
        theta = pointer(jobs[j, 7], like, "theta")
        rows, stride, length, run = jobs[j, 8], jobs[j, 9], jobs[j, 10], jobs[j, 11]
        panel(length // run, rows, stride, run, theta, at, k, results[j], scratch, like, tolerance, flags)
