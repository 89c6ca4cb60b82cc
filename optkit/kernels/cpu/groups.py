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

from numba import njit

from .functions import ENTRY, FAST, INNER, STRICT, inverse, metric, soft
from .memory import (
    load_anchor,
    load_bent,
    load_column,
    load_free,
    load_grad,
    load_h,
    load_lam,
    load_m,
    load_m1,
    load_m2,
    load_m3,
    load_theta,
    load_top,
    load_u,
    load_w,
    pointer,
    store_bent,
    store_column,
    store_free,
    store_h,
    store_lam,
    store_m,
    store_m1,
    store_m2,
    store_m3,
    store_theta,
    store_top,
    store_u,
    store_w,
    take,
)
from .newton import following

BLOCK = 64
"""Rows whose moments are added up in the dtype of the arrays before they go to the float64 totals."""
PASSES = 30
FEW = 16
"""One of so many groups may be open for the moments to be taken group by group."""


@njit(**INNER)
def terms(n, arrays, numbers, update, adaptive, cube, top, anchored, inner):
    """(b, d) of entry n: the minimiser of 1/2 d w^2 - b w + threshold ||w_g|| is sought; with `update` the sums are
    brought up to date first."""
    w_, anchor_, grad_, m_, u_, top_ = arrays
    keep, gain, out, keep_square, gain_square, correction, epsilon, decay = numbers[:8]
    m = load_m(m_, n)
    if update is not None:
        g = load_grad(grad_, n)
        m = keep * m + gain * g
        store_m(m_, n, m)
    if adaptive is None:
        d = epsilon
    else:
        if top is not None:
            u = load_top(top_, n)
            if update is not None:
                mean = keep_square * load_u(u_, n) + gain_square * g * g
                store_u(u_, n, mean)
                u = max(u, mean)
                store_top(top_, n, u)
        else:
            u = load_u(u_, n)
            if update is not None:
                u = keep_square * u + gain_square * g * g
                store_u(u_, n, u)
        d = metric(u, correction, epsilon, cube)
    if anchored is None:
        b = d * (decay * load_w(w_, n)) - out * m
    else:
        b = d * load_anchor(anchor_, n) - out * m
    if inner is not None:
        b = soft(b, numbers[11])
    return b, d


@njit(**FAST)
def accumulate(i0, i1, stride, length, arrays, columns, numbers, update, adaptive, cube, top, anchored, inner, bent):
    """Add the rows i0 <= i < i1 to the moments of the columns."""
    h_, m1_, m2_, m3_, free_, column_, _, _ = columns
    lam, per_lam, concavity = numbers[10], numbers[12], numbers[13]
    for i in range(i0, i1):
        for c in range(length):
            b, d = terms(i * stride + c, arrays, numbers, update, adaptive, cube, top, anchored, inner)
            if bent is not None:
                free = b * inverse(d)
                store_free(free_, c, load_free(free_, c) + free * free)
                d = d - concavity
            if adaptive is None:
                q = b * per_lam
                store_h(h_, c, load_h(h_, c) + q * q)
            else:
                r = inverse(d * load_column(column_, c) + lam)
                q = b * r
                x = d * r
                q = q * q
                store_h(h_, c, load_h(h_, c) + q)
                q = q * x
                store_m1(m1_, c, load_m1(m1_, c) + q)
                q = q * x
                store_m2(m2_, c, load_m2(m2_, c) + q)
                store_m3(m3_, c, load_m3(m3_, c) + q * x)


@njit(**FAST)
def write(i0, i1, stride, length, arrays, columns, numbers, adaptive, cube, top, anchored, inner, bent):
    """Average the solution into w, in the rows i0 <= i < i1, and add up h at the last theta; the average weight times
    theta is in the place of m1."""
    h_, share_, _, _, _, column_, lam_, bent_ = columns
    rest, lam = numbers[7] * numbers[9], numbers[10]
    w_ = arrays[0]
    for i in range(i0, i1):
        for c in range(length):
            n = i * stride + c
            b, d = terms(n, arrays, numbers, None, adaptive, cube, top, anchored, inner)
            theta = load_column(column_, c)
            if bent is None:
                q = b * inverse(d * theta + lam)
            else:
                q = b * inverse((d - load_bent(bent_, c)) * theta + load_lam(lam_, c))
            store_h(h_, c, load_h(h_, c) + q * q)
            store_w(w_, n, rest * load_w(w_, n) + load_m1(share_, c) * q)


@njit(**STRICT)
def clear(columns, totals, length, like):
    """All moments 0."""
    zero = like.dtype.type(0)
    for c in range(length):
        store_h(columns[0], c, zero)
        store_m1(columns[1], c, zero)
        store_m2(columns[2], c, zero)
        store_m3(columns[3], c, zero)
        store_free(columns[4], c, zero)
        totals[0, c] = 0.0
        totals[1, c] = 0.0
        totals[2, c] = 0.0
        totals[3, c] = 0.0
        totals[4, c] = 0.0


@njit(**STRICT)
def flush(columns, totals, length, like):
    """Move the moments to the totals."""
    zero = like.dtype.type(0)
    for c in range(length):
        totals[0, c] += load_h(columns[0], c)
        totals[1, c] += load_m1(columns[1], c)
        totals[2, c] += load_m2(columns[2], c)
        totals[3, c] += load_m3(columns[3], c)
        totals[4, c] += load_free(columns[4], c)
        store_h(columns[0], c, zero)
        store_m1(columns[1], c, zero)
        store_m2(columns[2], c, zero)
        store_m3(columns[3], c, zero)
        store_free(columns[4], c, zero)


@njit(**STRICT)
def take_moments(
    rows, stride, length, like, arrays, columns, numbers, totals, update, adaptive, cube, top, anchored, inner, bent
):
    """The moments of all rows, in the totals."""
    clear(columns, totals, length, like)
    for i in range(0, rows, BLOCK):
        last = min(i + BLOCK, rows)
        accumulate(
            i, last, stride, length, arrays, columns, numbers, update, adaptive, cube, top, anchored, inner, bent
        )
        flush(columns, totals, length, like)


@njit(**STRICT)
def step(theta, h, m1, m2, m3, free, numbers, tolerance, adaptive, bent):
    """(the next theta, whether it is the root, whether the group lies beyond the bend of the penalty)."""
    lam, concavity = float(numbers[10]), float(numbers[13])
    if bent is not None:
        reach = math.sqrt(free) if adaptive is not None else math.sqrt(h) * lam / float(numbers[6])
        if reach * concavity >= lam:
            return reach, True, True
    if adaptive is None:
        root = (math.sqrt(h) - 1) * lam / (float(numbers[6]) - concavity) if h > 1 else h * 0
        return root, root - root == 0, False
    theta, done = following(theta, h, m1, m2, m3, tolerance)
    return theta, done, False


@njit(**STRICT)
def set_theta(j, run, theta, flat, columns, like, numbers, bent):
    """Spread the theta of group j over its columns."""
    dtype = like.dtype.type
    for c in range(j * run, (j + 1) * run):
        store_column(columns[5], c, dtype(1) if flat else dtype(theta))
        if bent is not None:
            store_lam(columns[6], c, dtype(0) if flat else numbers[10])
            store_bent(columns[7], c, dtype(0) if flat else numbers[13])


@njit(**STRICT)
def settle(groups, run, like, columns, numbers, totals, tolerance, adaptive, bent):
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
        theta = float(load_column(columns[5], j * run))
        theta, done, flat = step(theta, h, m1, m2, m3, free, numbers, tolerance, adaptive, bent)
        totals[0, j * run] = -1.0 if flat else 0.0 if done else 1.0
        totals[3, j * run] = theta
        left += not done
        set_theta(j, run, theta, flat, columns, like, numbers, bent)
    return left


@njit(**STRICT)
def refine(
    j, rows, stride, run, like, arrays, columns, numbers, totals, tolerance, adaptive, cube, top, anchored, inner, bent
):
    """Find the theta of one group, with moments in float64; returns the number of steps."""
    lam, concavity = float(numbers[10]), float(numbers[13])
    theta = totals[3, j * run]
    theta = theta if theta - theta == 0 else 0.0
    done, flat, steps = False, False, 0
    while not done and steps < 3 * PASSES:
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(rows):
            for n in range(i * stride + j * run, i * stride + (j + 1) * run):
                b, d = terms(n, arrays, numbers, None, adaptive, cube, top, anchored, inner)
                reach = float(b) / float(d)
                free += reach * reach
                r = 1 / ((float(d) - concavity) * theta + lam)
                q = float(b) * r
                x = (float(d) - concavity) * r
                h += q * q
                m1 += q * q * x
                m2 += q * q * x * x
                m3 += q * q * x * x * x
        theta, done, flat = step(theta, h, m1, m2, m3, free, numbers, tolerance, adaptive, bent)
        steps += 1
    totals[0, j * run] = -1.0 if flat else 0.0
    totals[3, j * run] = theta
    set_theta(j, run, theta, flat, columns, like, numbers, bent)
    return steps


@njit(**STRICT)
def panel(job, number, result, scratch, like, tolerance, adaptive, cube, top, anchored, inner, bent):
    """The step of one panel.  result: squared residual, passes over the panel, largest |sqrt(h) - 1|."""
    _, at_w, at_anchor, at_grad, at_m, at_u, at_top, at_theta, rows, stride, length, run = job
    groups = length // run
    dtype = like.dtype.type
    arrays = (
        pointer(at_w, like),
        pointer(at_anchor, like),
        pointer(at_grad, like),
        pointer(at_m, like),
        pointer(at_u, like),
        pointer(at_top, like),
    )
    base, size = scratch.ctypes.data, 8 * scratch.shape[1]
    columns = (
        pointer(base, like),
        pointer(base + size, like),
        pointer(base + 2 * size, like),
        pointer(base + 3 * size, like),
        pointer(base + 4 * size, like),
        pointer(base + 5 * size, like),
        pointer(base + 6 * size, like),
        pointer(base + 7 * size, like),
    )
    totals = scratch[8:]
    numbers = (
        dtype(number[0]),
        dtype(number[1]),
        dtype(number[2]),
        dtype(number[3]),
        dtype(number[4]),
        dtype(number[5]),
        dtype(number[6]),
        dtype(number[7]),
        dtype(number[8]),
        dtype(number[13]),
        dtype(number[10]),
        dtype(number[11]),
        dtype(1 / number[10]),
        dtype(number[12]),
    )
    theta_ = pointer(at_theta, like)
    for j in range(groups):
        set_theta(j, run, load_theta(theta_, j), False, columns, like, numbers, bent)
    take_moments(
        rows, stride, length, like, arrays, columns, numbers, totals, True, adaptive, cube, top, anchored, inner, bent
    )
    passes = 1
    left = settle(groups, run, like, columns, numbers, totals, tolerance, adaptive, bent)
    while left * FEW > groups and passes < PASSES and adaptive is not None:
        take_moments(
            rows,
            stride,
            length,
            like,
            arrays,
            columns,
            numbers,
            totals,
            None,
            adaptive,
            cube,
            top,
            anchored,
            inner,
            bent,
        )
        passes += 1
        left = settle(groups, run, like, columns, numbers, totals, tolerance, adaptive, bent)
    if left:
        for j in range(groups):
            if totals[0, j * run] > 0:
                passes = max(
                    passes,
                    refine(
                        j,
                        rows,
                        stride,
                        run,
                        like,
                        arrays,
                        columns,
                        numbers,
                        totals,
                        tolerance,
                        adaptive,
                        cube,
                        top,
                        anchored,
                        inner,
                        bent,
                    ),
                )
    for j in range(groups):
        store_theta(theta_, j, dtype(totals[3, j * run]))
        for c in range(j * run, (j + 1) * run):
            totals[1, c] = totals[0, j * run]
    for c in range(length):
        store_h(columns[0], c, dtype(0))
        store_m1(columns[1], c, numbers[8] * load_column(columns[5], c))
        totals[2, c] = 0.0
    for i in range(0, rows, BLOCK):
        write(
            i,
            min(i + BLOCK, rows),
            stride,
            length,
            arrays,
            columns,
            numbers,
            adaptive,
            cube,
            top,
            anchored,
            inner,
            bent,
        )
        for c in range(length):
            totals[2, c] += load_h(columns[0], c)
            store_h(columns[0], c, dtype(0))
    square, worst = 0.0, 0.0
    for j in range(groups):
        if totals[1, j * run] == 0 and load_column(columns[5], j * run) > 0:
            h = 0.0
            for c in range(j * run, (j + 1) * run):
                h += totals[2, c]
            gap = abs(math.sqrt(h) - 1)
            square += (number[10] * gap) ** 2
            worst = max(worst, gap) if gap == gap else gap
    result[0], result[1], result[2] = square, passes + 1, worst


@njit(**ENTRY)
def groups(jobs, numbers, results, counter, scratch, like, tolerance, adaptive, cube, top, anchored, inner, bent):
    """Take jobs until there are none."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        panel(
            jobs[j],
            numbers[jobs[j, 0]],
            results[j],
            scratch,
            like,
            tolerance,
            adaptive,
            cube,
            top,
            anchored,
            inner,
            bent,
        )
