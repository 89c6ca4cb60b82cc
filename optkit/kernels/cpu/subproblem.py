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
from .jobs import FOUND
from .memory import fetch, load, per_line, pointer, store, take
from .newton import following
from .recipes import ENOUGH

PASSES = 30
"""How often moments are taken in the dtype of the arrays, at most."""

Arrays = namedtuple("Arrays", "w anchor grad m u top")
Numbers = namedtuple(
    "Numbers",
    "keep gain out keep_square gain_square correction epsilon decay average weight lam level concavity rest per_lam",
)


@njit(**STRICT)
def unpack(job, memory, like, flags):
    """The pointers to the arrays of a job from where it begins, and its numbers in their dtype."""
    begin, address = like.itemsize * job[1], memory.tensors[job[0]]
    plan, penalty = memory.plans[address[7]], memory.penalties[job[0]]
    weight = 1.0 if flags.firm is not None else plan[9]
    lam = weight * penalty[0]
    level = penalty[1] if flags.firm is not None or flags.binary is not None else weight * penalty[1]
    at = Arrays(
        pointer(address[0] + begin, like, "w"),
        pointer(address[1] + begin, like, "anchor"),
        pointer(address[2] + begin, like, "grad"),
        pointer(address[3] + begin, like, "m"),
        pointer(address[4] + begin, like, "u"),
        pointer(address[5] + begin, like, "top"),
    )
    dtype = like.dtype.type
    k = Numbers(
        dtype(plan[0]),
        dtype(plan[1]),
        dtype(plan[2]),
        dtype(plan[3]),
        dtype(plan[4]),
        dtype(plan[5]),
        dtype(plan[6]),
        dtype(plan[7]),
        dtype(plan[8]),
        dtype(plan[9]),
        dtype(lam),
        dtype(level),
        dtype(weight * penalty[2]),
        dtype(plan[10]),
        dtype(1 / lam),
    )
    return at, k


@njit(**STRICT)
def thetas(job, memory, like):
    """The pointer to the thetas of a job's groups."""
    return pointer(memory.tensors[job[0], 6] + like.itemsize * job[2], like, "theta")


@njit(**STRICT)
def of_dtype(pair, like):
    """Which of the two is for the dtype of like."""
    return pair[0] if like.itemsize == 4 else pair[1]


@njit(**STRICT)
def report(panel, square, passes, worst, memory, like):
    """Enter what came of the groups of a panel: the squared residual, the passes over memory and the largest
    |sqrt(h) - 1|, which is looked for where it is too large."""
    result = memory.results[panel]
    result[0], result[1], result[2] = square, passes, worst
    if not worst <= of_dtype(ENOUGH, like):
        take(memory.counters, FOUND)


@njit(**INNER)
def portion(flags):
    """How many entries a loop takes between two calls of `ahead`: one vector of AVX-512, or two where the operations
    are so few that LLVM would unroll the loop before it could vectorize it."""
    return 16 if flags.adaptive is not None else 32


@njit(**INNER)
def ahead(n, at, update, write, flags):
    """Fetch what the loop at the portion from entry n on is to read later.

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
                reach = b / float(d)
                free += reach * reach
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
