"""One launch for all parameters with groups of one kind of size: each program takes whole groups of one of them.

Sums over a group never leave its program, so that nothing has to be added up atomically and runs can be repeated bit by
bit.
"""

# The language of Triton reads as Python and is none.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# pyright: basic, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
from __future__ import annotations

import triton
import triton.language as tl

from .functions import PENALTY, THETA, advance, arrays, finish, numbers, pointer, soft, square_root
from .newton import certificate, cut, floor, following, left, moments, over, radial, tolerance, top


@triton.jit
def place(blocks, layouts, ok, EVEN: tl.constexpr, SINGLE: tl.constexpr, GROUPS: tl.constexpr):
    """(task, offset of the batch, rows, groups, run, first group, number of the batch's first group) of this program;
    no rows where ok is 0."""
    task = tl.load(blocks + 2 * tl.program_id(0))
    tile = tl.load(blocks + 2 * tl.program_id(0) + 1)
    rows = tl.load(layouts + 4 * task + 1)
    groups = tl.load(layouts + 4 * task + 2)
    run = tl.load(layouts + 4 * task + 3)
    if EVEN:
        groups = tl.multiple_of(groups, 16) if SINGLE else groups
        run = run if SINGLE else tl.multiple_of(run, 16)
    across = tl.cdiv(groups, GROUPS)
    batch = tile // across
    base = batch * rows * groups * run
    if EVEN:
        base = tl.multiple_of(base, 16)
    return task, base, rows * tl.load(ok), groups, run, (tile % across) * GROUPS, batch * groups


@triton.jit
def offsets(base, rows, groups, run, r, g, k, SINGLE: tl.constexpr):
    """(offsets, mask) of the entries in these rows r (rows, 1, 1), groups g (1, groups, 1) and places k (1, 1, run)."""
    if SINGLE:  # k is 0; what the compiler knows of g is enough to load 16 bytes at once
        return base + r.to(tl.int64) * groups + g, (r < rows) & (g < groups)
    else:
        return base + r.to(tl.int64) * (groups * run) + (g * run + k), (r < rows) & (g < groups) & (k < run)


@triton.jit
def scales(penalties, task, plan, S: tl.constexpr):
    """(sign, unit, lam / unit, 1 / unit, level, concavity)."""
    p = penalties + task * PENALTY
    lam = (plan[10] * tl.load(p)).to(S)
    unit = tl.maximum(lam, floor(S))
    level, concavity = (plan[10] * tl.load(p + 2)).to(S), (plan[10] * tl.load(p + 3)).to(S)
    return tl.load(p + 4).to(S), unit, lam / unit, 1.0 / unit, level, concavity


@triton.jit
def target(anchor, linear, metric, level, inverse, SPARSE: tl.constexpr):
    """b / unit."""
    b = metric * anchor - linear
    if SPARSE:
        b = soft(b, level)
    return b * inverse


@triton.jit
def report(parts, unit, lam, gap, GROUPS: tl.constexpr, S: tl.constexpr):
    """parts[i] = (sum of the squares of the residuals, 0 or 1 for a gap beyond the certificate) of program i's groups.
    On a group the residual is threshold * gap, with gap = | ||q|| - 1 |; NaN counts as infinite."""
    gap = tl.where(gap == gap, gap, float("inf"))
    size = (unit * lam).to(tl.float64) * gap.to(tl.float64)
    tl.store(parts + 2 * tl.program_id(0), tl.sum(tl.reshape(size * size, [GROUPS]), 0))
    worst = tl.max(tl.reshape(gap, [GROUPS]), 0)
    tl.store(parts + 2 * tl.program_id(0) + 1, tl.where(worst <= certificate(S), 0.0, 1.0).to(tl.float64))


@triton.jit
def staying(
    blocks,
    addresses,
    layouts,
    rows,
    penalties,
    plans,
    ok,
    parts,
    W: tl.constexpr,
    G: tl.constexpr,
    S: tl.constexpr,
    ROOT: tl.constexpr,
    ANCHORED: tl.constexpr,
    SPARSE: tl.constexpr,
    BENT: tl.constexpr,
    EVEN: tl.constexpr,
    SINGLE: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    RUN: tl.constexpr,
    LIMIT: tl.constexpr,
):
    """Whole groups stay in registers: every array is read and written once."""
    task, base, height, groups, run, first, before = place(blocks, layouts, ok, EVEN, SINGLE, GROUPS)
    p, plan = arrays(addresses, task, W, G, S, EVEN), numbers(plans, tl.load(rows + task), S)
    sign, unit, lam, inverse, level, concavity = scales(penalties, task, plan, S)
    r = tl.arange(0, ROWS)[:, None, None]
    g = first + tl.arange(0, GROUPS)[None, :, None]
    k = tl.arange(0, RUN)[None, None, :]
    at, mask = offsets(base, height, groups, run, r, g, k, SINGLE)
    w, anchor, linear, d = advance(p, plan, sign, at, mask, S, ROOT, ANCHORED, True)
    b = target(anchor, linear, d, level, inverse, SPARSE)
    norm = square_root(over(cut(b, S)), S)
    gap = tl.zeros_like(norm)
    if ROOT == "none":
        point = unit * (b * radial(norm, lam, plan[6], concavity, BENT, S))
    else:
        active = norm > lam
        least = left(norm, lam, top((tl.abs(b) - lam) / d), top(d), S)
        theta = tl.where(active, least, 1.0)
        gap = active.to(S)
        count = 0
        while (count < LIMIT) & (tl.max(tl.reshape(gap, [GROUPS]), 0) > tolerance(S)):
            h, m1, m2 = moments(b, d, lam, theta)
            h, m1, m2 = over(h), over(m1), over(m2)
            gap = tl.where(active, tl.abs(square_root(h, S) - 1.0), 0.0)
            after, certain = following(theta, least, h, m1, m2, S)
            theta = tl.where(gap > tolerance(S), after, theta)
            count += 1
        q = b / (d * theta + lam)
        gap = tl.where(active, tl.abs(square_root(over(q * q), S) - 1.0), 0.0)
        point = tl.where(active, unit * (theta * q), 0.0)
    finish(p, plan, w, point, at, mask, W)
    report(parts, unit, lam, gap, GROUPS, S)


@triton.jit
def streaming(
    blocks,
    addresses,
    layouts,
    rows,
    penalties,
    plans,
    ok,
    parts,
    W: tl.constexpr,
    G: tl.constexpr,
    S: tl.constexpr,
    ROOT: tl.constexpr,
    ANCHORED: tl.constexpr,
    SPARSE: tl.constexpr,
    BENT: tl.constexpr,
    EVEN: tl.constexpr,
    SINGLE: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    RUN: tl.constexpr,
    LIMIT: tl.constexpr,
):
    """Groups pass by in chunks. Pass 1 updates the state and sums up at the theta of the last step; the last pass
    writes the weights, and its sum is the certificate. Between them are passes only where theta is not certain yet.

    In float32 a pass after the first reads 12 bytes an entry, from L2 where the groups of all resident programs fit.
    """
    task, base, height, groups, run, first, before = place(blocks, layouts, ok, EVEN, SINGLE, GROUPS)
    p, plan = arrays(addresses, task, W, G, S, EVEN), numbers(plans, tl.load(rows + task), S)
    sign, unit, lam, inverse, level, concavity = scales(penalties, task, plan, S)
    r = tl.arange(0, ROWS)[:, None, None]
    g = first + tl.arange(0, GROUPS)[None, :, None]
    k = tl.arange(0, RUN)[None, None, :]
    empty = tl.zeros([ROWS, GROUPS, RUN], S)
    if ROOT != "none":
        kept = pointer(addresses, task, THETA, S, False) + before + g
        theta = tl.load(kept, (g < groups) & (height > 0), 0.0) / unit
        warm = theta > 0
        theta = tl.where(warm, theta, 1.0)
    else:
        theta = tl.full([1, GROUPS, 1], 1.0, S)
    square, h, m1, m2 = empty, empty, empty, empty
    entry, most = empty - 1.0, empty + plan[6]
    for row in range(0, height, ROWS):
        for column in range(0, run, RUN):
            at, mask = offsets(base, height, groups, run, row + r, g, column + k, SINGLE)
            w, anchor, linear, d = advance(p, plan, sign, at, mask, S, ROOT, ANCHORED, True)
            b = target(anchor, linear, d, level, inverse, SPARSE)
            square += cut(b, S)
            if ROOT != "none":
                entry, most = tl.maximum(entry, (tl.abs(b) - lam) / d), tl.maximum(most, d)
                h0, h1, h2 = moments(b, d, lam, theta)
                h, m1, m2 = h + h0, m1 + h1, m2 + h2
    norm = square_root(over(square), S)
    active = norm > lam
    if ROOT == "none":
        factor = unit * radial(norm, lam, plan[6], concavity, BENT, S)
    else:
        least = left(norm, lam, top(entry), top(most), S)
        h, m1, m2 = over(h), over(m1), over(m2)
        after, certain = following(theta, least, h, m1, m2, S)
        warm = warm & (m1 > 0) & (h < 1e9)
        theta = tl.where(active, tl.where(warm, after, least), 1.0)
        unknown = (active & ~(warm & certain)).to(tl.int32)
        count = 0
        while (count < LIMIT) & (tl.max(tl.reshape(unknown, [GROUPS]), 0) > 0):
            tl.debug_barrier()  # what other threads have stored
            h, m1, m2 = empty, empty, empty
            for row in range(0, height, ROWS):
                for column in range(0, run, RUN):
                    at, mask = offsets(base, height, groups, run, row + r, g, column + k, SINGLE)
                    w, anchor, linear, d = advance(p, plan, sign, at, mask, S, ROOT, ANCHORED, False)
                    h0, h1, h2 = moments(target(anchor, linear, d, level, inverse, SPARSE), d, lam, theta)
                    h, m1, m2 = h + h0, m1 + h1, m2 + h2
            h, m1, m2 = over(h), over(m1), over(m2)
            after, certain = following(theta, least, h, m1, m2, S)
            arrived = tl.abs(square_root(h, S) - 1.0) <= tolerance(S)
            theta = tl.where((unknown > 0) & ~arrived, after, theta)
            unknown = tl.where(arrived | certain, 0, unknown)
            count += 1
    tl.debug_barrier()
    h = empty
    for row in range(0, height, ROWS):
        for column in range(0, run, RUN):
            at, mask = offsets(base, height, groups, run, row + r, g, column + k, SINGLE)
            w, anchor, linear, d = advance(p, plan, sign, at, mask, S, ROOT, ANCHORED, False)
            b = target(anchor, linear, d, level, inverse, SPARSE)
            if ROOT == "none":
                point = b * factor
            else:
                q = b / (d * theta + lam)
                h += q * q
                point = tl.where(active, unit * (theta * q), 0.0)
            finish(p, plan, w, point, at, mask, W)
    gap = tl.zeros_like(norm)
    if ROOT != "none":
        gap = tl.where(active, tl.abs(square_root(over(h), S) - 1.0), 0.0)
        tl.store(kept, tl.where(active, unit * theta, 0.0), (g < groups) & (height > 0))
    report(parts, unit, lam, gap, GROUPS, S)
