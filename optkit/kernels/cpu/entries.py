"""The loop for separable psi: one pass over memory from the gradient to the new weights."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import ENTRY, FAST, inverse, metric, prox
from .memory import (
    load_anchor,
    load_grad,
    load_m,
    load_top,
    load_u,
    load_w,
    pointer,
    store_m,
    store_top,
    store_u,
    store_w,
    take,
)

LARGE = 1e38


@njit(**FAST)
def stretch(job, number, like, adaptive, cube, top, anchored, firm, binary):
    """One stretch of entries.  job, number: rows of the tables of kernel.py, in the order of unpacking."""
    _, at_w, at_anchor, at_grad, at_m, at_u, at_top, _, _, _, length, _ = job
    dtype = like.dtype.type
    keep, gain, out = dtype(number[0]), dtype(number[1]), dtype(number[2])
    keep_square, gain_square = dtype(number[3]), dtype(number[4])
    correction, epsilon, decay = dtype(number[5]), dtype(number[6]), dtype(number[7])
    average, rest, weight = dtype(number[8]), dtype(number[13]), dtype(number[9])
    first, second, one = dtype(number[10]), dtype(number[11]), dtype(1)
    w_, anchor_, grad_ = pointer(at_w, like), pointer(at_anchor, like), pointer(at_grad, like)
    m_, u_, top_ = pointer(at_m, like), pointer(at_u, like), pointer(at_top, like)
    for i in range(length):
        g = load_grad(grad_, i)
        m = keep * load_m(m_, i) + gain * g
        store_m(m_, i, m)
        if adaptive is None:
            d = epsilon
        else:
            u = keep_square * load_u(u_, i) + gain_square * g * g
            store_u(u_, i, u)
            if top is not None:
                u = max(u, load_top(top_, i))
                store_top(top_, i, u)
            d = metric(u, correction, epsilon, cube)
        scale = inverse(d)
        w = decay * load_w(w_, i)
        if anchored is None:
            v = w - out * m * scale
        else:
            v = load_anchor(anchor_, i) - out * m * scale
        store_w(w_, i, rest * w + average * prox(v, scale, weight, first, second, one, firm, binary))


@njit(**ENTRY)
def entries(jobs, numbers, counter, like, adaptive, cube, top, anchored, firm, binary):
    """Take jobs until there are none."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        stretch(jobs[j], numbers[jobs[j, 0]], like, adaptive, cube, top, anchored, firm, binary)


@njit(**ENTRY)
def largest(jobs, found, counter):
    """found[j] = the bits of the largest |entry| of the stretch of job j, as an integer of the same size: without the
    sign they are ordered as the numbers are, and infinity and NaN come last."""
    mask = found.dtype.type(2 ** (8 * found.itemsize - 1) - 1)
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        grad_ = pointer(jobs[j, 3], found)
        most = mask - mask
        for i in range(jobs[j, 10]):
            most = max(most, load_grad(grad_, i) & mask)
        found[j] = most


@njit(**ENTRY)
def least(jobs, numbers, found, counter, like, cube, top):
    """found[j] = the smallest entry of the metric after the update of job j, which changes nothing."""
    while True:
        j = take(counter)
        if j >= jobs.shape[0]:
            return
        found[j] = smallest(jobs[j], numbers[jobs[j, 0]], like, cube, top)


@njit(**FAST)
def smallest(job, number, like, cube, top):
    """The smallest entry of the metric in one stretch."""
    dtype = like.dtype.type
    keep_square, gain_square = dtype(number[3]), dtype(number[4])
    grad_, u_, top_ = pointer(job[3], like), pointer(job[5], like), pointer(job[6], like)
    low = keep_square - keep_square + dtype(LARGE)
    for i in range(job[10]):
        g = load_grad(grad_, i)
        u = keep_square * load_u(u_, i) + gain_square * g * g
        if top is not None:
            u = max(u, load_top(top_, i))
        low = min(low, u)
    return metric(low, dtype(number[5]), dtype(number[6]), cube)
