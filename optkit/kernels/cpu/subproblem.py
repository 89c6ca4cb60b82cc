"""The subproblem of one group, min 1/2 ||w||_d^2 - <b, w> + lam ||w||: its entries, and how theta is found.

With theta = ||w|| the solution is w = theta b / (d theta + lam); theta is the root of the secular equation that
newton.py solves.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from collections import namedtuple

from numba import njit

from .functions import INNER, STRICT, inverse, metric, soft
from .jobs import FOUND, PENALTY, PLAN, RESULT, TENSOR, WIDTH, Job
from .memory import fetch, load, per_line, pointer, store, take
from .newton import following

PASSES = 30
"""How often moments are taken in the dtype of the arrays, at most."""

Arrays = namedtuple("Arrays", "w anchor grad m u top theta")
Numbers = namedtuple(
    "Numbers",
    "keep gain out keep_square gain_square correction epsilon decay average weight lam level concavity rest per_lam",
)


@njit(**STRICT)
def listed(n, memory):
    """Job n."""
    at, i = memory.jobs, WIDTH * n
    return Job(
        load(at, i),
        load(at, i + 1),
        load(at, i + 2),
        load(at, i + 3),
        load(at, i + 4),
        load(at, i + 5),
        load(at, i + 6),
        load(at, i + 7),
        load(at, i + 8),
        load(at, i + 9),
        load(at, i + 10),
        load(at, i + 11),
    )


@njit(**STRICT)
def unpack(job, memory, dtype, flags):
    """The pointers to the arrays of a job from where it begins, and its numbers in their dtype.

    They come from rows of tables; for the order of those see running.py and recipes.py.
    """
    tensor, first = TENSOR * job.task, job.offset
    at = Arrays(
        pointer(load(memory.tensors, tensor), first, dtype, "w"),
        pointer(load(memory.tensors, tensor + 1), first, dtype, "anchor"),
        pointer(load(memory.tensors, tensor + 2), first, dtype, "grad"),
        pointer(load(memory.tensors, tensor + 3), first, dtype, "m"),
        pointer(load(memory.tensors, tensor + 4), first, dtype, "u"),
        pointer(load(memory.tensors, tensor + 5), first, dtype, "top"),
        pointer(load(memory.tensors, tensor + 6), job.theta, dtype, "theta"),
    )
    plan, i = memory.plans, PLAN * load(memory.tensors, tensor + 7)
    penalty, j = memory.penalties, PENALTY * job.task
    weight = 1.0 if flags.firm is not None else load(plan, i + 9)
    lam, level = weight * load(penalty, j), load(penalty, j + 1)
    if flags.firm is None and flags.binary is None:
        level *= weight
    number = dtype.type
    k = Numbers(
        number(load(plan, i)),
        number(load(plan, i + 1)),
        number(load(plan, i + 2)),
        number(load(plan, i + 3)),
        number(load(plan, i + 4)),
        number(load(plan, i + 5)),
        number(load(plan, i + 6)),
        number(load(plan, i + 7)),
        number(load(plan, i + 8)),
        number(load(plan, i + 9)),
        number(lam),
        number(level),
        number(weight * load(penalty, j + 2)),
        number(load(plan, i + 10)),
        number(1 / lam),
    )
    return at, k


@njit(**STRICT)
def report(panel, square, passes, worst, enough, memory):
    """Enter what came of the groups of a panel: the squared residual, the passes over memory and the largest
    |sqrt(h) - 1|, which counts as found where it is not small enough."""
    store(memory.results, RESULT * panel, square)
    store(memory.results, RESULT * panel + 1, passes)
    store(memory.results, RESULT * panel + 2, worst)
    if not worst <= enough:
        take(memory.counters, FOUND)


@njit(**INNER)
def portion(flags):
    """How many entries a loop takes between two calls of `ahead`: one vector of AVX-512, or two where the operations
    are so few that LLVM would unroll the loop before it could vectorize it."""
    return 16 if flags.adaptive is not None else 32


@njit(**INNER)
def ahead(n, at, update, write, flags):
    """Fetch what the loop is to read later, in the portion from entry n on.

    update, write: whether it brings the sums up to date, and whether it writes w.
    """
    for i in range(n, n + portion(flags), per_line(at.m)):
        fetch(at.m, i)
        if update is not None:
            fetch(at.grad, i)
        if flags.adaptive is not None and (update is not None or flags.top is None):
            fetch(at.u, i)
        if flags.top is not None:
            fetch(at.top, i)
        if flags.anchored is not None:
            fetch(at.anchor, i)
        if write is not None or flags.anchored is None:
            fetch(at.w, i)


@njit(**INNER)
def renew(n, at, k, flags):
    """Bring the sums of entry n up to date; returns its metric."""
    g = load(at.grad, n)
    if flags.plain is None:
        store(at.m, n, k.keep * load(at.m, n) + k.gain * g)
    else:
        store(at.m, n, load(at.m, n) + k.gain * g)
    if flags.adaptive is None:
        return k.epsilon
    if flags.plain is None:
        u = k.keep_square * load(at.u, n) + k.gain_square * g * g
    else:
        u = load(at.u, n) + k.gain_square * g * g
    store(at.u, n, u)
    if flags.top is not None:
        u = max(u, load(at.top, n))
        store(at.top, n, u)
    return metric(u, k.correction, k.epsilon, flags.cube)


@njit(**INNER)
def recall(n, at, k, flags):
    """The metric of entry n."""
    if flags.adaptive is None:
        return k.epsilon
    u = load(at.u, n) if flags.top is None else load(at.top, n)
    return metric(u, k.correction, k.epsilon, flags.cube)


@njit(**INNER)
def target(n, d, at, k, flags):
    """b of entry n, where the minimiser of 1/2 d w^2 - b w + lam ||w_g|| is sought."""
    m = load(at.m, n) if flags.plain is not None else k.out * load(at.m, n)
    if flags.anchored is None:
        b = d * (k.decay * load(at.w, n)) - m
    else:
        b = d * load(at.anchor, n) - m
    return b if flags.inner is None else soft(b, k.level)


@njit(**INNER)
def weigh(n, theta, at, k, update, flags):
    """(reach, q, x) of entry n at this theta: b/d, b / (d theta + lam) and d / (d theta + lam), the first for penalties
    that bend and the last for metrics with entries only; with `update` the sums are brought up to date first."""
    d = recall(n, at, k, flags) if update is None else renew(n, at, k, flags)
    b = target(n, d, at, k, flags)
    reach = b
    if flags.bent is not None:
        reach = b * inverse(d)
        d = d - k.concavity
    if flags.adaptive is None:
        return reach, b * k.per_lam, b
    r = inverse(d * theta + k.lam)
    return reach, b * r, d * r


@njit(**INNER)
def quotient(n, theta, lam, bent, at, k, flags):
    """b / (d theta + lam) of entry n, for this threshold and concavity, which are 0 beyond the bend of the penalty."""
    d = recall(n, at, k, flags)
    b = target(n, d, at, k, flags)
    if flags.bent is None:
        return b * inverse(d * theta + k.lam)
    return b * inverse((d - bent) * theta + lam)


@njit(**INNER)
def move(n, q, rest, factor, at):
    """Average the solution, q times theta, into w; factor: the average weight times theta."""
    store(at.w, n, rest * load(at.w, n) + factor * q)


@njit(**STRICT)
def step(theta, h, m1, m2, m3, free, k, tolerance, flags):
    """(the next theta, whether it is the root, whether the group lies beyond the bend of the penalty)."""
    lam, concavity = float(k.lam), float(k.concavity)
    if flags.bent is not None:
        reach = math.sqrt(free) if flags.adaptive is not None else math.sqrt(h) * lam / float(k.epsilon)
        if reach * concavity >= lam:
            return reach, True, True
    if flags.adaptive is None:
        root = (math.sqrt(h) - 1) * lam / (float(k.epsilon) - concavity) if h > 1 else h * 0
        return root, root - root == 0, False
    theta, done = following(theta, h, m1, m2, m3, tolerance)
    return theta, done, False


@njit(**STRICT)
def refine(first, rows, stride, run, theta, at, k, tolerance, flags):
    """(theta, whether the group lies beyond the bend, the number of steps) of the group of `run` entries in each row
    from entry `first` on, with moments in float64.  theta: where to begin, if it is finite."""
    lam, concavity = float(k.lam), float(k.concavity)
    theta = theta if theta - theta == 0 else 0.0
    done, flat, steps = False, False, 0
    while not done and steps < 3 * PASSES:
        h, m1, m2, m3, free = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(rows):
            for n in range(first + i * stride, first + i * stride + run):
                d = recall(n, at, k, flags)
                b = float(target(n, d, at, k, flags))
                if flags.bent is not None:
                    free += (b / float(d)) ** 2
                r = 1 / ((float(d) - concavity) * theta + lam)
                q = b * r
                x = (float(d) - concavity) * r
                h += q * q
                m1 += q * q * x
                m2 += q * q * x * x
                m3 += q * q * x * x * x
        theta, done, flat = step(theta, h, m1, m2, m3, free, k, tolerance, flags)
        steps += 1
    return theta, flat, steps


@njit(**STRICT)
def missed(h):
    """|sqrt(h) - 1|; infinite where it is no number."""
    gap = abs(math.sqrt(h) - 1)
    return gap if gap == gap else math.inf
