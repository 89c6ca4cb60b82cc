"""One launch for all parameters with a separable psi: each program takes a stretch of one of them."""

# The language of Triton reads as Python and is none.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# pyright: basic, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
from __future__ import annotations

import triton
import triton.language as tl

from .functions import GRADIENT, PENALTY, advance, arrays, finish, numbers, pointer, ratio, soft, square_root


@triton.jit
def entries(
    blocks,
    addresses,
    lengths,
    rows,
    penalties,
    plans,
    ok,
    W: tl.constexpr,
    G: tl.constexpr,
    S: tl.constexpr,
    ROOT: tl.constexpr,
    ANCHORED: tl.constexpr,
    KIND: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program i takes entries blocks[i, 1] BLOCK, ... of the task blocks[i, 0].  ok: where 0, no entry is touched."""
    task = tl.load(blocks + 2 * tl.program_id(0))
    start = tl.load(blocks + 2 * tl.program_id(0) + 1) * BLOCK
    length = tl.load(lengths + task) * tl.load(ok)
    if EVEN:
        length = tl.multiple_of(length, 16)
    p, plan = arrays(addresses, task, W, G, S, EVEN), numbers(plans, tl.load(rows + task), S)
    penalty = penalties + task * PENALTY
    at = start + tl.arange(0, BLOCK)
    mask = at < length
    w, anchor, linear, metric = advance(p, plan, tl.load(penalty + 4).to(S), at, mask, S, ROOT, ANCHORED, True)
    scale = ratio(1.0, metric, S)
    v = anchor - linear * scale
    first, second = tl.load(penalty), tl.load(penalty + 1)
    if KIND == "firm":
        point = firm(v, plan[10].to(S) * scale, first.to(S), second.to(S), S)
    elif KIND == "binary":
        level = tl.where(v > 0, second.to(S), -second.to(S))
        threshold = (plan[10] * first).to(S) * scale
        point = tl.where(threshold > 0, level + soft(v - level, threshold), v)
    else:
        point = ratio(soft(v, (plan[10] * first).to(S) * scale), 1.0 + (plan[10] * second).to(S) * scale, S)
    finish(p, plan, w, point, at, mask, W)


@triton.jit
def firm(v, scale, strength, gamma, S: tl.constexpr):
    """prox of scale * MCP(strength, gamma): soft thresholding stretched up to gamma strength where scale < gamma, else
    hard thresholding."""
    convex = scale < gamma
    stretch = tl.where(convex, 1.0 - ratio(scale, gamma + tl.zeros_like(v), S), 1.0)
    edge = strength * tl.where(convex, gamma, square_root(gamma * scale, S))
    inner = tl.where(convex, ratio(soft(v, scale * strength), stretch, S), 0.0)
    return tl.where(tl.abs(v) <= edge, inner, v)


@triton.jit
def largest(blocks, addresses, lengths, parts, G: tl.constexpr, EVEN: tl.constexpr, BLOCK: tl.constexpr):
    """parts[i] = the largest |entry| of the gradient in the stretch of program i, infinite for NaN."""
    task = tl.load(blocks + 2 * tl.program_id(0))
    start = tl.load(blocks + 2 * tl.program_id(0) + 1) * BLOCK
    length = tl.load(lengths + task)
    if EVEN:
        length = tl.multiple_of(length, 16)
    at = start + tl.arange(0, BLOCK)
    g = tl.load(pointer(addresses, task, GRADIENT, G, EVEN) + at, at < length, 0.0).to(parts.dtype.element_ty)
    size = tl.where(g == g, tl.abs(g), float("inf"))
    tl.store(parts + tl.program_id(0), tl.max(size, 0))


@triton.jit
def gather_largest(parts, bounds, out, BLOCK: tl.constexpr):
    """out[i] = the largest of parts[bounds[i, 0] : bounds[i, 1]], 0 of none."""
    at, last = tl.load(bounds + 2 * tl.program_id(0)), tl.load(bounds + 2 * tl.program_id(0) + 1)
    lanes = tl.arange(0, BLOCK)
    most = tl.zeros([BLOCK], out.dtype.element_ty)
    while at < last:
        most = tl.maximum(most, tl.load(parts + at + lanes, at + lanes < last, 0.0))
        at += BLOCK
    tl.store(out + tl.program_id(0), tl.max(most, 0))


@triton.jit
def gather_reports(parts, bounds, residuals, converged, BLOCK: tl.constexpr):
    """Of parts[bounds[i, 0] : bounds[i, 1]], pairs: residuals[i] = the root of the sum of the first, converged[i] =
    whether all second ones are 0. Always added in the same order."""
    at, last = tl.load(bounds + 2 * tl.program_id(0)), tl.load(bounds + 2 * tl.program_id(0) + 1)
    lanes = tl.arange(0, BLOCK)
    square, missed = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
    while at < last:
        mask = at + lanes < last
        square += tl.load(parts + 2 * (at + lanes), mask, 0.0)
        missed += tl.load(parts + 2 * (at + lanes) + 1, mask, 0.0)
        at += BLOCK
    tl.store(residuals + tl.program_id(0), tl.sqrt(tl.sum(square, 0)))
    tl.store(converged + tl.program_id(0), tl.sum(missed, 0) == 0)
