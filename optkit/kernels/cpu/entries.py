"""The loop for separable psi: one pass over memory from the gradient to the new weights."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import FAST, INNER, LOOP, inverse, metric, prox
from .memory import load, pointer, store, take
from .subproblem import ahead, portion, renew, unpack

LARGE = 1e38


@njit(**INNER)
def entry(n, at, k, one, flags):
    """The step of one entry."""
    d = renew(n, at, k, flags)
    m = load(at.m, n) if flags.plain is not None else k.out * load(at.m, n)
    scale = inverse(d)
    w = k.decay * load(at.w, n)
    v = (w if flags.anchored is None else load(at.anchor, n)) - m * scale
    v = prox(v, scale, k.weight, k.lam, k.level, one, flags.firm, flags.binary)
    store(at.w, n, k.rest * w + k.average * v)


@njit(**FAST)
def stretch(length, at, k, one, flags):
    """One stretch of entries."""
    some = portion(flags)
    whole = length // some * some
    for first in range(0, whole, some):
        ahead(first, at, True, True, flags)
        for n in range(first, first + some):
            entry(n, at, k, one, flags)
    for n in range(whole, min(whole + some - 1, length)):  # so few that LLVM masks lanes
        entry(n, at, k, one, flags)


@njit(**LOOP)
def entries(jobs, numbers, counter, like, flags):
    """Take jobs until there are none.  flags: see recipes.py."""
    while True:
        j = take(counter, 0)
        if j >= jobs.shape[0]:
            return
        at, k = unpack(jobs[j], numbers[jobs[j, 0]], like)
        stretch(jobs[j, 10], at, k, like.dtype.type(1), flags)


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
