"""The loop for separable psi: one pass over memory from the gradient to the new weights."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import FAST, LOOP, inverse, metric, prox
from .memory import load, pointer, store, take

LARGE = 1e38


@njit(**FAST)
def stretch(job, number, like, flags):
    """One stretch of entries.  job, number: rows of the tables of running.py, in the order of unpacking."""
    _, at_w, at_anchor, at_grad, at_m, at_u, at_top = job[:7]
    length = job[10]
    dtype = like.dtype.type
    keep, gain, out = dtype(number[0]), dtype(number[1]), dtype(number[2])
    keep_square, gain_square = dtype(number[3]), dtype(number[4])
    correction, epsilon, decay = dtype(number[5]), dtype(number[6]), dtype(number[7])
    average, rest, weight = dtype(number[8]), dtype(number[13]), dtype(number[9])
    first, second, one = dtype(number[10]), dtype(number[11]), dtype(1)
    w_, anchor_ = pointer(at_w, like, "w"), pointer(at_anchor, like, "anchor")
    grad_, m_ = pointer(at_grad, like, "grad"), pointer(at_m, like, "m")
    u_, top_ = pointer(at_u, like, "u"), pointer(at_top, like, "top")
    for i in range(length):
        g = load(grad_, i)
        m = keep * load(m_, i) + gain * g if flags.plain is None else load(m_, i) + gain * g
        store(m_, i, m)
        if flags.adaptive is None:
            d = epsilon
        else:
            u = load(u_, i) if flags.plain is not None else keep_square * load(u_, i)
            u = u + gain_square * g * g
            store(u_, i, u)
            if flags.top is not None:
                u = max(u, load(top_, i))
                store(top_, i, u)
            d = metric(u, correction, epsilon, flags.cube)
        scale = inverse(d)
        w = decay * load(w_, i)
        linear = m if flags.plain is not None else out * m
        v = (w if flags.anchored is None else load(anchor_, i)) - linear * scale
        store(w_, i, rest * w + average * prox(v, scale, weight, first, second, one, flags.firm, flags.binary))


@njit(**LOOP)
def entries(jobs, numbers, counter, like, flags):
    """Take jobs until there are none.  flags: see recipes.py."""
    while True:
        j = take(counter, 0)
        if j >= jobs.shape[0]:
            return
        stretch(jobs[j], numbers[jobs[j, 0]], like, flags)


@njit(**LOOP)
def largest(jobs, found, counter):
    """found[j] = the bits of the largest |entry| of the stretch of job j, as an integer of the same size: without the
    sign they are ordered as the numbers are, and infinity and NaN come last."""
    integer = found.dtype.type  # without which every operation would be one of 64 bits
    mask = integer(2 ** (8 * found.itemsize - 1) - 1)
    while True:
        j = take(counter, 0)
        if j >= jobs.shape[0]:
            return
        grad_ = pointer(jobs[j, 3], found, "grad")
        most = integer(0)
        for i in range(jobs[j, 10]):
            bits = integer(load(grad_, i) & mask)
            most = bits if bits > most else most
        found[j] = most


@njit(**LOOP)
def least(jobs, numbers, found, counter, like, flags):
    """found[j] = the smallest entry of the metric after the update of job j, which changes nothing."""
    while True:
        j = take(counter, 0)
        if j >= jobs.shape[0]:
            return
        found[j] = smallest(jobs[j], numbers[jobs[j, 0]], like, flags)


@njit(**FAST)
def smallest(job, number, like, flags):
    """The smallest entry of the metric in one stretch."""
    dtype = like.dtype.type
    keep_square, gain_square = dtype(number[3]), dtype(number[4])
    grad_, u_, top_ = pointer(job[3], like, "grad"), pointer(job[5], like, "u"), pointer(job[6], like, "top")
    low = keep_square - keep_square + dtype(LARGE)
    for i in range(job[10]):
        g = load(grad_, i)
        u = keep_square * load(u_, i) + gain_square * g * g
        if flags.top is not None:
            u = max(u, load(top_, i))
        low = min(low, u)
    return metric(low, dtype(number[5]), dtype(number[6]), flags.cube)
