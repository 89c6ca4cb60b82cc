"""Groups that lie in columns: two passes over memory from the gradient to the new weights.

The first pass runs along the rows of a panel, updates the sums and adds up the moments of each column's secular
equation at the theta of the last step; a step in theta for each group follows; the second pass computes the point again
and writes the average. As long as theta moves little, that is exact (see newton.py). Else the moments are taken again,
of all columns or of the few groups that are not settled.

A panel may be cut into pieces, of some rows each, for several threads: each pass over them is a round of jobs. Whoever
ends the last of the first solves for theta, while those of the second wait.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numpy as np
from numba import njit

from .columns import OWN, average, columns, spread, take_moments, totals
from .functions import STRICT
from .jobs import RESULT, SHARED, SUMS
from .memory import load, look, opened, pause, pointer, store, take
from .newton import sharp
from .recipes import ENOUGH, SOUGHT
from .shares import next_job, numbered, progress
from .subproblem import PASSES, listed, missed, refine, report, step, unpack

FEW = 16
"""One of so many groups may be open for the moments to be taken group by group."""


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
    """Find theta of all groups from their moments; returns the passes over the panel."""
    passes = 1
    left = settle(groups, run, to, k, total, tolerance, flags)
    while left * FEW > groups and passes < PASSES and flags.adaptive is not None:
        take_moments(groups, 0, rows, stride, run, at, to, k, total, None, flags)
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
def residual(groups, theta_, k, total, flags):
    """The squared residual and the largest |sqrt(h) - 1|."""
    square, worst = 0.0, 0.0
    for j in range(groups):
        if load(total.open, j) == 0 and not load(theta_, j) <= 0:  # NaN is no solution
            gap = missed(load(total.h, j))
            square += (float(k.lam) * gap) ** 2
            worst = max(worst, gap)
    return square, worst


@njit(**STRICT)
def collect(length, groups, pieces, total, sums):
    """Add the sums of the other pieces to those of the first, in the order of the rows whoever came first."""
    for piece in range(1, pieces):
        for j in range(groups):
            n = SUMS * piece * length + j
            store(total.h, j, load(total.h, j) + load(sums, n))
            store(total.m1, j, load(total.m1, j) + load(sums, n + length))
            store(total.m2, j, load(total.m2, j) + load(sums, n + 2 * length))
            store(total.m3, j, load(total.m3, j) + load(sums, n + 3 * length))
            store(total.free, j, load(total.free, j) + load(sums, n + 4 * length))


def panels(dtype, flags):
    """The loop over panels: each job is a whole one, or a pass over a piece of one.

    The counter of a panel: how many of its pieces went through the first pass, 1 more when theta is known, and how many
    more through the second. What follows here is one function, for each that calls others is compiled with all of them.
    """
    tolerance, enough = SOUGHT[dtype.itemsize], ENOUGH[dtype.itemsize]

    def loop(table):
        memory = opened(table)
        done, line, me, turn = memory.counters, memory.width, numbered(memory), 0
        own = memory.scratch + me * (OWN + SHARED + SUMS) * line
        to = columns(own, line, dtype)
        while True:
            turn, n = next_job(turn, me, memory)
            if n < 0:
                return
            job = listed(n, memory)
            at, k = unpack(job, memory, dtype, flags)
            panel, rows, stride, length, run, pieces = job.panel, job.rows, job.stride, job.length, job.run, job.pieces
            counter = progress(panel, memory)
            groups, begin, end = length // run, rows * job.piece // pieces, rows * (job.piece + 1) // pieces
            shared, apart = (own + OWN * line, line) if pieces == 1 else (memory.boards + 8 * job.board, 8 * length)
            first = shared + SHARED * apart
            total = totals(shared, first + SUMS * job.piece * apart, apart)
            if job.second:
                while look(done, counter) <= pieces:
                    pause()
                for j in range(groups):
                    spread(j, run, load(total.theta, j), load(total.open, j) < 0, to, k, flags)
            else:
                for j in range(groups):
                    spread(j, run, float(load(at.theta, j)), False, to, k, flags)
                take_moments(groups, begin, end, stride, run, at, to, k, total, True, flags)
                if pieces > 1:
                    if take(done, counter) < pieces - 1:
                        continue
                    total = totals(shared, first, apart)
                    collect(length, groups, pieces, total, pointer(first, 0, np.float64, "board"))
                passes = solve(groups, rows, stride, run, at, to, k, total, tolerance, flags)
                store(memory.results, RESULT * panel + 1, passes + 1)
                for j in range(groups):
                    store(at.theta, j, load(total.theta, j))
                if pieces > 1:
                    take(done, counter)
                    continue
            average(groups, begin, end, stride, run, at, to, k, total, flags)
            if pieces > 1:
                if take(done, counter) < 2 * pieces:
                    continue
                total = totals(shared, first, apart)
                collect(length, groups, pieces, total, pointer(first, 0, np.float64, "board"))
            square, worst = residual(groups, at.theta, k, total, flags)
            report(panel, square, load(memory.results, RESULT * panel + 1), worst, enough, memory)

    return loop
