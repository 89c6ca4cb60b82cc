"""The loop for functions of the norms of groups: two passes over memory from the gradient to the new weights.

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

from .functions import ENTRY, FAST, INNER, STRICT, inverse, metric, soft
from .memory import load, pointer, store, take
from .newton import following

BLOCK = 64
"""Rows whose moments are added up in the dtype of the arrays before they go to the float64 totals."""
PASSES = 30
FEW = 16
"""One of so many groups may be open for the moments to be taken group by group."""
SCRATCH = 8, 5
"""Lines of scratch memory: for the columns, and for their totals."""

Arrays = namedtuple("Arrays", "w anchor grad m u top")
Columns = namedtuple("Columns", "h m1 m2 m3 free column lam bent")
"""Of each column: moments, theta (`column`), threshold and concavity, which are 0 beyond the bend of the penalty. The
average weight times theta is in the place of m1 in the last pass."""
Numbers = namedtuple(
    "Numbers", "keep gain out keep_square gain_square correction epsilon decay average lam level concavity rest per_lam"
)


@njit(**INNER)
def renew(n, at, k, flags):
    """Bring the sums of entry n up to date; returns its metric."""
    g = load(at.grad, n)
    if flags.plain is None:
        store(at.m, n, k.keep * load(at.m, n) + k.gain * g)
    else:
        store(at.m, n, load(at.m, n) + k.gain * g)
    if flags.adaptive is None:
        return k.epsilon
    if flags.plain is None:
        u = k.keep_square * load(at.u, n) + k.gain_square * g * g
    else:
        u = load(at.u, n) + k.gain_square * g * g
    store(at.u, n, u)
    if flags.top is not None:
        u = max(u, load(at.top, n))
        store(at.top, n, u)
    return metric(u, k.correction, k.epsilon, flags.cube)


@njit(**INNER)
def recall(n, at, k, flags):
    """The metric of entry n."""
    if flags.adaptive is None:
        return k.epsilon
    u = load(at.u, n) if flags.top is None else load(at.top, n)
    return metric(u, k.correction, k.epsilon, flags.cube)


@njit(**INNER)
def target(n, d, at, k, flags):
    """b of entry n, where the minimiser of 1/2 d w^2 - b w + lam ||w_g|| is sought."""
    m = load(at.m, n) if flags.plain is not None else k.out * load(at.m, n)
    if flags.anchored is None:
        b = d * (k.decay * load(at.w, n)) - m
    else:
        b = d * load(at.anchor, n) - m
    return b if flags.inner is None else soft(b, k.level)


@njit(**FAST)
def accumulate(i0, i1, stride, length, at, to, k, update, flags):
    """Add the rows i0 <= i < i1 to the moments of the columns; with `update` the sums are brought up to date first."""
    for i in range(i0, i1):
        for c in range(length):
            n = i * stride + c
            d = recall(n, at, k, flags) if update is None else renew(n, at, k, flags)
            b = target(n, d, at, k, flags)
            if flags.bent is not None:
                free = b * inverse(d)
                store(to.free, c, load(to.free, c) + free * free)
                d = d - k.concavity
            if flags.adaptive is None:
                q = b * k.per_lam
                store(to.h, c, load(to.h, c) + q * q)
            else:
                r = inverse(d * load(to.column, c) + k.lam)
                q = b * r
                x = d * r
                q = q * q
                store(to.h, c, load(to.h, c) + q)
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
            n = i * stride + c
            d = recall(n, at, k, flags)
            b = target(n, d, at, k, flags)
            if flags.bent is None:
                q = b * inverse(d * load(to.column, c) + k.lam)
            else:
                q = b * inverse((d - load(to.bent, c)) * load(to.column, c) + load(to.lam, c))
            store(to.h, c, load(to.h, c) + q * q)
            store(at.w, n, rest * load(at.w, n) + load(to.m1, c) * q)


@njit(**STRICT)
def clear(to, totals, length):
    """All moments 0."""
    for c in range(length):
        store(to.h, c, 0.0)
        store(to.m1, c, 0.0)
        store(to.m2, c, 0.0)
        store(to.m3, c, 0.0)
        store(to.free, c, 0.0)
        totals[0, c] = 0.0
        totals[1, c] = 0.0
        totals[2, c] = 0.0
        totals[3, c] = 0.0
        totals[4, c] = 0.0


@njit(**STRICT)
def flush(to, totals, length):
    """Move the moments to the totals."""
    for c in range(length):
        totals[0, c] += load(to.h, c)
        totals[1, c] += load(to.m1, c)
        totals[2, c] += load(to.m2, c)
        totals[3, c] += load(to.m3, c)
        totals[4, c] += load(to.free, c)
        store(to.h, c, 0.0)
        store(to.m1, c, 0.0)
        store(to.m2, c, 0.0)
        store(to.m3, c, 0.0)
        store(to.free, c, 0.0)


@njit(**STRICT)
def take_moments(rows, stride, length, at, to, k, totals, update, flags):
    """The moments of all rows, in the totals."""
    clear(to, totals, length)
    for i in range(0, rows, BLOCK):
        accumulate(i, min(i + BLOCK, rows), stride, length, at, to, k, update, flags)
        flush(to, totals, length)


@njit(**STRICT)
def step(theta, h, m1, m2, m3, free, k, tolerance, flags):
    """(the next theta, whether it is the root, whether the group lies beyond the bend of the penalty)."""
    lam, concavity = float(k.lam), float(k.concavity)
    if flags.bent is not None:
        reach = math.sqrt(free) if flags.adaptive is not None else math.sqrt(h) * lam / float(k.epsilon)
        if reach * concavity >= lam:
            return reach, True, True
    if flags.adaptive is None:
        root = (math.sqrt(h) - 1) * lam / (float(k.epsilon) - concavity) if h > 1 else h * 0
        return root, root - root == 0, False
    theta, done = following(theta, h, m1, m2, m3, tolerance)
    return theta, done, False


@njit(**STRICT)
def set_theta(j, run, theta, flat, to, k, flags):
    """Spread the theta of group j over its columns."""
    for c in range(j * run, (j + 1) * run):
        store(to.column, c, 1.0 if flat else theta)
        if flags.bent is not None:
            store(to.lam, c, 0.0 if flat else k.lam)
            store(to.bent, c, 0.0 if flat else k.concavity)


@njit(**STRICT)
def settle(groups, run, to, k, totals, tolerance, flags):
    """A step in theta for each group; returns how many are not at the root yet. totals[0] becomes 1 for these, -1 for
    groups beyond the bend, and 0 for all others, in the first column of each; totals[3] the norm beyond the bend."""
    left = 0
    for j in range(groups):
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(j * run, (j + 1) * run):
            h += totals[0, c]
            m1 += totals[1, c]
            m2 += totals[2, c]
            m3 += totals[3, c]
            free += totals[4, c]
        theta = float(load(to.column, j * run))
        theta, done, flat = step(theta, h, m1, m2, m3, free, k, tolerance, flags)
        totals[0, j * run] = -1.0 if flat else 0.0 if done else 1.0
        totals[3, j * run] = theta
        left += not done
        set_theta(j, run, theta, flat, to, k, flags)
    return left


@njit(**STRICT)
def refine(j, rows, stride, run, at, to, k, totals, tolerance, flags):
    """Find the theta of one group, with moments in float64; returns the number of steps."""
    lam, concavity = float(k.lam), float(k.concavity)
    theta = totals[3, j * run]
    theta = theta if theta - theta == 0 else 0.0
    done, flat, steps = False, False, 0
    while not done and steps < 3 * PASSES:
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(rows):
            for n in range(i * stride + j * run, i * stride + (j + 1) * run):
                d = recall(n, at, k, flags)
                b = float(target(n, d, at, k, flags))
                reach = b / float(d)
                free += reach * reach
                r = 1 / ((float(d) - concavity) * theta + lam)
                q = b * r
                x = (float(d) - concavity) * r
                h += q * q
                m1 += q * q * x
                m2 += q * q * x * x
                m3 += q * q * x * x * x
        theta, done, flat = step(theta, h, m1, m2, m3, free, k, tolerance, flags)
        steps += 1
    totals[0, j * run] = -1.0 if flat else 0.0
    totals[3, j * run] = theta
    set_theta(j, run, theta, flat, to, k, flags)
    return steps


@njit(**STRICT)
def solve(groups, rows, stride, length, run, at, to, k, totals, tolerance, flags):
    """Update the sums and find theta of all groups; returns the passes over the panel."""
    take_moments(rows, stride, length, at, to, k, totals, True, flags)
    passes = 1
    left = settle(groups, run, to, k, totals, tolerance, flags)
    while left * FEW > groups and passes < PASSES and flags.adaptive is not None:
        take_moments(rows, stride, length, at, to, k, totals, None, flags)
        passes += 1
        left = settle(groups, run, to, k, totals, tolerance, flags)
    if left:
        for j in range(groups):
            if totals[0, j * run] > 0:
                passes = max(passes, refine(j, rows, stride, run, at, to, k, totals, tolerance, flags))
    return passes


@njit(**STRICT)
def average(groups, rows, stride, length, run, at, to, k, totals, flags):
    """Average the solution into w. Returns the squared residual and the largest |sqrt(h) - 1|."""
    for c in range(length):
        totals[1, c] = totals[0, c // run * run]
        totals[2, c] = 0.0
        store(to.h, c, 0.0)
        store(to.m1, c, k.average * load(to.column, c))
    for i in range((rows - 1) // BLOCK * BLOCK, -1, -BLOCK):  # what was read last is still near
        write(i, min(i + BLOCK, rows), stride, length, at, to, k, flags)
        for c in range(length):
            totals[2, c] += load(to.h, c)
            store(to.h, c, 0.0)
    square, worst = 0.0, 0.0
    for j in range(groups):
        if totals[1, j * run] == 0 and not load(to.column, j * run) <= 0:  # NaN is no solution
            h = 0.0
            for c in range(j * run, (j + 1) * run):
                h += totals[2, c]
            gap = abs(math.sqrt(h) - 1)
            square += (float(k.lam) * gap) ** 2
            worst = max(worst, gap if gap == gap else math.inf)
    return square, worst


@njit(**STRICT)
def panel(job, number, result, scratch, like, tolerance, flags):
    """The step of one panel.  result: squared residual, passes over the panel, largest |sqrt(h) - 1|."""
    _, at_w, at_anchor, at_grad, at_m, at_u, at_top, at_theta, rows, stride, length, run = job
    groups = length // run
    dtype = like.dtype.type
    at = Arrays(
        pointer(at_w, like, "w"),
        pointer(at_anchor, like, "anchor"),
        pointer(at_grad, like, "grad"),
        pointer(at_m, like, "m"),
        pointer(at_u, like, "u"),
        pointer(at_top, like, "top"),
    )
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
    totals = scratch[SCRATCH[0] :]
    k = Numbers(
        dtype(number[0]),
        dtype(number[1]),
        dtype(number[2]),
        dtype(number[3]),
        dtype(number[4]),
        dtype(number[5]),
        dtype(number[6]),
        dtype(number[7]),
        dtype(number[8]),
        dtype(number[10]),
        dtype(number[11]),
        dtype(number[12]),
        dtype(number[13]),
        dtype(1 / number[10]),
    )
    theta_ = pointer(at_theta, like, "theta")
    for j in range(groups):
        set_theta(j, run, load(theta_, j), False, to, k, flags)
    passes = solve(groups, rows, stride, length, run, at, to, k, totals, tolerance, flags)
    for j in range(groups):
        store(theta_, j, totals[3, j * run])
    square, worst = average(groups, rows, stride, length, run, at, to, k, totals, flags)
    result[0], result[1], result[2] = square, passes + 1, worst


@njit(**ENTRY)
def groups(jobs, numbers, results, counter, scratch, like, tolerance, flags):
    """Take jobs until there are none.  scratch: sum(SCRATCH) lines of as many float64 numbers as the longest panel
    has;  flags: see recipes.py."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        panel(jobs[j], numbers[jobs[j, 0]], results[j], scratch, like, tolerance, flags)
