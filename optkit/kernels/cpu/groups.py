"""The loop for functions of the norms of groups, which lie in columns or each in one stretch of memory."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import STRICT
from .jobs import LONG
from .memory import pointer, take
from .panels import panel
from .runs import runs
from .subproblem import Arrays, Numbers


@njit(**STRICT)
def unpack(job, number, like):
    """The pointers to the arrays of a job, and its numbers in their dtype."""
    _, at_w, at_anchor, at_grad, at_m, at_u, at_top, _, _, _, _, _ = job
    at = Arrays(
        pointer(at_w, like, "w"),
        pointer(at_anchor, like, "anchor"),
        pointer(at_grad, like, "grad"),
        pointer(at_m, like, "m"),
        pointer(at_u, like, "u"),
        pointer(at_top, like, "top"),
    )
    dtype = like.dtype.type
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
    return at, k


@njit(**STRICT)
def groups(jobs, numbers, results, counter, scratch, like, tolerance, flags):
    """Take jobs until there are none.  scratch: SCRATCH lines of as many float64 numbers as the longest panel
    has;  flags: see recipes.py."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        at, k = unpack(jobs[j], numbers[jobs[j, 0]], like)
        rows, stride, length, run = jobs[j, 8], jobs[j, 9], jobs[j, 10], jobs[j, 11]
        theta = pointer(jobs[j, 7], like, "theta")
        if rows == 1 and run >= LONG:
            runs(length // run, run, theta, at, k, results[j], like, tolerance, flags)
        else:
            panel(length // run, rows, stride, run, theta, at, k, results[j], scratch, like, tolerance, flags)
