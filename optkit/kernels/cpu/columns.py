"""Passes over a panel: `rows` rows of `length` neighbouring entries, which are whole groups of `run` in each."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from .functions import FAST, INNER, STRICT
from .memory import AHEAD, load, per_line, pointer, store
from .subproblem import ahead, move, portion, quotient, weigh

BLOCK = 64
"""Rows whose moments are added up in the dtype of the arrays before they go to the float64 totals."""
OWN = 8
"""Lines of scratch memory for Columns, before those for Totals."""

Columns = namedtuple("Columns", "h m1 m2 m3 free column lam bent")
"""Of each column: moments, theta (`column`), threshold and concavity, which are 0 beyond the bend of the penalty. The
average weight times theta is in the place of m1 in the last pass."""
Totals = namedtuple("Totals", "h m1 m2 m3 free theta open")
"""In float64: the moments of each column, then of each group; its next theta; and whether that is to be sought still
(1), is the root (0), or the norm of a group beyond the bend (-1)."""


@njit(**INNER)
def add(n, c, at, to, k, update, flags):
    """Add entry n, in column c, to the moments."""
    reach, q, x = weigh(n, load(to.column, c), at, k, update, flags)
    if flags.bent is not None:
        store(to.free, c, load(to.free, c) + reach * reach)
    q = q * q
    store(to.h, c, load(to.h, c) + q)
    if flags.adaptive is not None:
        q = q * x
        store(to.m1, c, load(to.m1, c) + q)
        q = q * x
        store(to.m2, c, load(to.m2, c) + q)
        store(to.m3, c, load(to.m3, c) + q * x)


@njit(**INNER)
def later(c, stride, length, at):
    """How far it is from an entry in column c to the one that is AHEAD lines later in the panel."""
    rows, columns = divmod(AHEAD * per_line(at.m), length)
    return rows * stride + columns if c + columns < length else (rows + 1) * stride + columns - length


@njit(**FAST)
def accumulate(i0, i1, stride, length, at, to, k, update, flags):
    """Add the rows i0 <= i < i1 to the moments of the columns; with `update` the sums are brought up to date first."""
    some = portion(flags)
    whole = length // some * some
    for i in range(i0, i1):
        for c0 in range(0, whole, some):
            ahead(i * stride + c0 + later(c0, stride, length, at), at, update, None, flags)
            for c in range(c0, c0 + some):
                add(i * stride + c, c, at, to, k, update, flags)
        for c in range(whole, min(whole + some - 1, length)):  # so few that LLVM masks lanes
            add(i * stride + c, c, at, to, k, update, flags)


@njit(**INNER)
def put(n, c, rest, at, to, k, flags):
    """Average the solution of entry n, in column c, into w."""
    q = quotient(n, load(to.column, c), load(to.lam, c), load(to.bent, c), at, k, flags)
    store(to.h, c, load(to.h, c) + q * q)
    move(n, q, rest, load(to.m1, c), at)


@njit(**FAST)
def write(i0, i1, stride, length, at, to, k, flags):
    """Average the solution into w, in the rows i0 <= i < i1, and add up h at the last theta."""
    rest = k.decay * k.rest
    some = portion(flags)
    whole = length // some * some
    for i in range(i0, i1):
        for c0 in range(0, whole, some):
            ahead(i * stride + c0 + later(c0, stride, length, at), at, None, True, flags)
            for c in range(c0, c0 + some):
                put(i * stride + c, c, rest, at, to, k, flags)
        for c in range(whole, min(whole + some - 1, length)):  # so few that LLVM masks lanes
            put(i * stride + c, c, rest, at, to, k, flags)


@njit(**STRICT)
def clear(sums, length):
    """All moments 0."""
    for c in range(length):
        store(sums.h, c, 0.0)
        store(sums.m1, c, 0.0)
        store(sums.m2, c, 0.0)
        store(sums.m3, c, 0.0)
        store(sums.free, c, 0.0)


@njit(**STRICT)
def flush(to, total, length):
    """Move the moments to the totals."""
    for c in range(length):
        store(total.h, c, load(total.h, c) + load(to.h, c))
        store(total.m1, c, load(total.m1, c) + load(to.m1, c))
        store(total.m2, c, load(total.m2, c) + load(to.m2, c))
        store(total.m3, c, load(total.m3, c) + load(to.m3, c))
        store(total.free, c, load(total.free, c) + load(to.free, c))
    clear(to, length)


@njit(**STRICT)
def gather(groups, run, total):
    """From the moments of columns those of groups, in place."""
    for j in range(groups):
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(j * run, (j + 1) * run):
            h += load(total.h, c)
            m1 += load(total.m1, c)
            m2 += load(total.m2, c)
            m3 += load(total.m3, c)
            free += load(total.free, c)
        store(total.h, j, h)
        store(total.m1, j, m1)
        store(total.m2, j, m2)
        store(total.m3, j, m3)
        store(total.free, j, free)


@njit(**STRICT)
def take_moments(groups, begin, end, stride, run, at, to, k, total, update, flags):
    """The moments of all groups, from the rows begin <= i < end."""
    length = groups * run
    clear(to, length)
    clear(total, length)
    for i in range(begin, end, BLOCK):
        accumulate(i, min(i + BLOCK, end), stride, length, at, to, k, update, flags)
        flush(to, total, length)
    if run > 1:
        gather(groups, run, total)


@njit(**STRICT)
def spread(j, run, theta, flat, to, k, flags):
    """Put the theta of group j into its columns."""
    for c in range(j * run, (j + 1) * run):
        store(to.column, c, 1.0 if flat else theta)
        if flags.bent is not None:
            store(to.lam, c, 0.0 if flat else k.lam)
            store(to.bent, c, 0.0 if flat else k.concavity)


@njit(**STRICT)
def average(groups, begin, end, stride, run, at, to, k, total, flags):
    """Average the solution into w, in the rows begin <= i < end; total.h is their part of each group's h."""
    length = groups * run
    clear(to, length)
    clear(total, length)
    for c in range(length):
        store(to.m1, c, k.average * load(to.column, c))
    for i in range(begin + (end - begin - 1) // BLOCK * BLOCK, begin - 1, -BLOCK):  # what was read last is still near
        write(i, min(i + BLOCK, end), stride, length, at, to, k, flags)
        for c in range(length):
            store(total.h, c, load(total.h, c) + load(to.h, c))
            store(to.h, c, 0.0)
    if run > 1:
        gather(groups, run, total)


@njit(**STRICT)
def columns(base, line, dtype):
    """Columns in scratch memory.  line: bytes from one to the next."""
    return Columns(
        pointer(base, 0, dtype, "h"),
        pointer(base + line, 0, dtype, "m1"),
        pointer(base + 2 * line, 0, dtype, "m2"),
        pointer(base + 3 * line, 0, dtype, "m3"),
        pointer(base + 4 * line, 0, dtype, "free"),
        pointer(base + 5 * line, 0, dtype, "column"),
        pointer(base + 6 * line, 0, dtype, "lam"),
        pointer(base + 7 * line, 0, dtype, "bent"),
    )


@njit(**STRICT)
def totals(shared, sums, line):
    """Totals whose sums lie apart from what the pieces of a panel share.  line: bytes from one to the next."""
    return Totals(
        pointer(sums, 0, np.float64, "total h"),
        pointer(sums + line, 0, np.float64, "total m1"),
        pointer(sums + 2 * line, 0, np.float64, "total m2"),
        pointer(sums + 3 * line, 0, np.float64, "total m3"),
        pointer(sums + 4 * line, 0, np.float64, "total free"),
        pointer(shared, 0, np.float64, "next"),
        pointer(shared + line, 0, np.float64, "open"),
    )
