"""The loop for separable psi: one pass over memory from the gradient to the new weights."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import njit

from .functions import FAST, INNER, STRICT, inverse, metric, prox
from .jobs import FOUND, PLAN, RESULT, TENSOR
from .memory import AHEAD, bits, load, opened, per_line, pointer, store, take
from .shares import next_job, numbered
from .subproblem import ahead, listed, portion, renew, unpack

LARGE = 1e38
"""In the place of any larger metric, in either dtype."""


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
    some, far = portion(flags), AHEAD * per_line(at.m)
    whole = length // some * some
    for first in range(0, whole, some):
        ahead(first + far, at, True, True, flags)
        for n in range(first, first + some):
            entry(n, at, k, one, flags)
    for n in range(whole, min(whole + some - 1, length)):  # so few that LLVM masks lanes
        entry(n, at, k, one, flags)


@njit(**STRICT)
def size(grad_, length, dtype, most):
    """The largest |entry| of a stretch.

    grad_: to its bits, as integers: without the sign they are ordered as the numbers are, and infinity and NaN come
    last;  dtype: of these integers;  most: the largest one, which is all bits but the sign.
    """
    integer = dtype.type  # without which every operation would be one of 64 bits
    mask, found = integer(most), integer(0)
    for i in range(length):
        entry = integer(load(grad_, i) & mask)
        found = entry if entry > found else found
    return bits(found)


@njit(**FAST)
def smallest(length, at, k, low, flags):
    """The smallest entry of the metric in a stretch after the update, of which it takes nothing.  low: a large one."""
    for n in range(length):
        g = load(at.grad, n)
        u = k.keep_square * load(at.u, n) + k.gain_square * g * g
        if flags.top is not None:
            u = max(u, load(at.top, n))
        low = min(low, u)
    return metric(low, k.correction, k.epsilon, flags.cube)


def entries(dtype, flags):
    """The loop that takes steps."""

    def loop(table):
        memory = opened(table)
        me = numbered(memory)
        turn, n = next_job(0, me, memory)
        while n >= 0:
            job = listed(n, memory)
            at, k = unpack(job, memory, dtype, flags)
            stretch(job.length, at, k, dtype.type(1), flags)
            turn, n = next_job(turn, me, memory)

    return loop


def largest(dtype, flags):
    """The loop that finds the largest |entry| of gradients, and whether one is beyond the bound of its plan."""
    integer = np.dtype(f"i{dtype.itemsize}")
    most = np.iinfo(integer).max

    def loop(table):
        memory = opened(table)
        me = numbered(memory)
        turn, n = next_job(0, me, memory)
        while n >= 0:
            job = listed(n, memory)
            tensor = TENSOR * job.task
            grad_ = pointer(load(memory.tensors, tensor + 2), job.offset, integer, "grad")
            found = float(size(grad_, job.length, integer, most))
            store(memory.results, RESULT * job.panel, found)
            if not found < load(memory.plans, PLAN * load(memory.tensors, tensor + 7) + 11):
                take(memory.counters, FOUND)
            turn, n = next_job(turn, me, memory)

    return loop


def least(dtype, flags):
    """The loop that finds the smallest entry of metrics after the step, of which nothing is taken."""

    def loop(table):
        memory = opened(table)
        me = numbered(memory)
        turn, n = next_job(0, me, memory)
        while n >= 0:
            job = listed(n, memory)
            at, k = unpack(job, memory, dtype, flags)
            store(memory.results, RESULT * job.panel, smallest(job.length, at, k, dtype.type(LARGE), flags))
            turn, n = next_job(turn, me, memory)

    return loop
