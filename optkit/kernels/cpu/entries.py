"""The loop for separable psi: one pass over memory from the gradient to the new weights."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import carray, njit

from .functions import FAST, INNER, STRICT, inverse, metric, prox
from .jobs import FOUND, JOB
from .memory import bits, load, opened, pointer, store, take
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


@njit(**STRICT)
def size(begin, length, like):
    """The bits of the largest |entry| of a stretch: without the sign they are ordered as the numbers are, and infinity
    and NaN come last.  like: an array of integers as long as the entries, without whose type every operation would be
    one of 64 bits."""
    integer = like.dtype.type
    mask = integer(2 ** (8 * like.itemsize - 1) - 1)
    grad_, most = pointer(begin, like, "grad"), integer(0)
    for i in range(length):
        entry = integer(load(grad_, i) & mask)
        most = entry if entry > most else most
    return most


@njit(**FAST)
def smallest(length, at, k, flags):
    """The smallest entry of the metric in a stretch after the update, which it leaves alone."""
    low = k.keep_square - k.keep_square + type(k.keep_square)(LARGE)
    for n in range(length):
        g = load(at.grad, n)
        u = k.keep_square * load(at.u, n) + k.gain_square * g * g
        if flags.top is not None:
            u = max(u, load(at.top, n))
        low = min(low, u)
    return metric(low, k.correction, k.epsilon, flags.cube)


def entries(dtype, flags):
    """The loop that takes steps."""

    def loop(data):
        memory, like = opened(data), carray(data, (0,), dtype)
        j = take(memory.counters, JOB)
        while j < memory.jobs.shape[0]:
            at, k = unpack(memory.jobs[j], memory, like, flags)
            stretch(memory.jobs[j, 5], at, k, like.dtype.type(1), flags)
            j = take(memory.counters, JOB)

    return loop


def largest(dtype, flags):
    """The loop that finds the largest |entry| of gradients, and whether one is beyond the bound of its plan."""
    integer = np.dtype(f"i{dtype.itemsize}")

    def loop(data):
        memory, like = opened(data), carray(data, (0,), integer)
        j = take(memory.counters, JOB)
        while j < memory.jobs.shape[0]:
            job, tensor = memory.jobs[j], memory.tensors[memory.jobs[j, 0]]
            found = float(bits(size(tensor[2] + like.itemsize * job[1], job[5], like)))
            memory.results[job[7], 0] = found
            if not found < memory.plans[tensor[7], 11]:
                take(memory.counters, FOUND)
            j = take(memory.counters, JOB)

    return loop


def least(dtype, flags):
    """The loop that finds the smallest entry of metrics after the step, of which nothing is taken."""

    def loop(data):
        memory, like = opened(data), carray(data, (0,), dtype)
        j = take(memory.counters, JOB)
        while j < memory.jobs.shape[0]:
            job = memory.jobs[j]
            at, k = unpack(job, memory, like, flags)
            memory.results[job[7], 0] = smallest(job[5], at, k, flags)
            j = take(memory.counters, JOB)

    return loop
