"""Groups that lie each in one stretch of memory, a run: two passes over each, the second of which is in the cache.

The passes are those of panels.py, with sums across the lanes of a vector in the place of columns.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import STRICT, SUMS
from .memory import load, opened, store
from .recipes import ENOUGH, SOUGHT
from .shares import next_job, numbered
from .subproblem import PASSES, listed, missed, move, quotient, refine, report, step, unpack, weigh

CHUNK = 4096
"""Entries whose moments are added up in the dtype of the arrays, in many lanes, before they go to float64 totals."""


@njit(**SUMS)
def measure(begin, end, theta, at, k, update, flags):
    """The moments of the entries begin <= n < end, and the sum of squares of their b/d."""
    h = m1 = m2 = m3 = free = k.lam - k.lam
    for n in range(begin, end):
        reach, q, x = weigh(n, theta, at, k, update, flags)
        if flags.bent is not None:
            free += reach * reach
        q = q * q
        h += q
        if flags.adaptive is not None:
            q = q * x
            m1 += q
            q = q * x
            m2 += q
            m3 += q * x
    return h, m1, m2, m3, free


@njit(**SUMS)
def put(begin, end, theta, lam, bent, at, k, flags):
    """Average the solution into w, in the entries begin <= n < end; returns h at this theta."""
    h, rest, factor = k.lam - k.lam, k.decay * k.rest, k.average * theta
    for n in range(begin, end):
        q = quotient(n, theta, lam, bent, at, k, flags)
        h += q * q
        move(n, q, rest, factor, at)
    return h


@njit(**STRICT)
def take_moments(begin, end, theta, at, k, update, flags):
    """The moments of a run, in float64."""
    h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(begin, end, CHUNK):
        s0, s1, s2, s3, s4 = measure(n, min(n + CHUNK, end), theta, at, k, update, flags)
        h, m1, m2, m3, free = h + s0, m1 + s1, m2 + s2, m3 + s3, free + s4
    return h, m1, m2, m3, free


@njit(**STRICT)
def solve(begin, end, theta, at, k, dtype, tolerance, flags):
    """Update the sums and find theta: (theta, whether the group lies beyond the bend, passes over the run)."""
    h, m1, m2, m3, free = take_moments(begin, end, theta, at, k, True, flags)
    root, done, flat = step(float(theta), h, m1, m2, m3, free, k, tolerance, flags)
    passes = 1
    while not done and root - root == 0 and passes < PASSES:
        theta = dtype.type(root)
        h, m1, m2, m3, free = take_moments(begin, end, theta, at, k, None, flags)
        root, done, flat = step(float(theta), h, m1, m2, m3, free, k, tolerance, flags)
        passes += 1
    if not done:
        root, flat, steps = refine(begin, 1, 0, end - begin, root, at, k, tolerance, flags)
        passes = max(passes, steps)
    return root, flat, passes


@njit(**STRICT)
def neighbours(groups, run, at, k, dtype, tolerance, flags):
    """The step of neighbouring groups; returns the squared residual, the passes and the largest |sqrt(h) - 1|."""
    number = dtype.type
    zero, one = number(0), number(1)
    square, most, worst = 0.0, 0, 0.0
    for j in range(groups):
        begin, end = j * run, (j + 1) * run
        root, flat, passes = solve(begin, end, load(at.theta, j), at, k, dtype, tolerance, flags)
        store(at.theta, j, root)
        theta = one if flat else number(root)
        lam, bent = (zero, zero) if flat else (k.lam, k.concavity)
        h = 0.0
        for n in range(begin + (run - 1) // CHUNK * CHUNK, begin - 1, -CHUNK):  # what was read last is still near
            h += put(n, min(n + CHUNK, end), theta, lam, bent, at, k, flags)
        if not flat and not theta <= 0:  # NaN is no solution
            gap = missed(h)
            square += (float(k.lam) * gap) ** 2
            worst = max(worst, gap)
        most = max(most, passes)
    return square, most + 1, worst


def runs(dtype, flags):
    """The loop over such groups."""
    tolerance, enough = SOUGHT[dtype.itemsize], ENOUGH[dtype.itemsize]

    def loop(table):
        memory = opened(table)
        me = numbered(memory)
        turn, n = next_job(0, me, memory)
        while n >= 0:
            job = listed(n, memory)
            at, k = unpack(job, memory, dtype, flags)
            found = neighbours(job.length // job.run, job.run, at, k, dtype, tolerance, flags)
            report(job.panel, *found, enough, memory)
            turn, n = next_job(turn, me, memory)

    return loop
