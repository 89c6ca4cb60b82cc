"""One step of a method in numbers: what a fused kernel needs to know of the parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch

from optkit.algorithms import (
    AdamRoot,
    Constant,
    ConstantAveraging,
    CubeRoot,
    DecayingAverage,
    DualAveraging,
    MethodState,
    MovingAverage,
    ProximalMethod,
    SqrtCount,
    UncorrectedAdamAverage,
)
from optkit.core import Clock, GradientEstimator, Preconditioner, Regularizer
from optkit.regularizers import L1, MCP, Binary, ElasticNet, GroupLasso, GroupMCP, SparseGroupLasso, SquaredL2, Zero
from optkit.solvers import Automatic, ClosedForm, NewtonRaphson, SecularNewton

LIMIT = {torch.float32: 1e30, torch.float64: 1e280}
"""How large the terms of a sum may be in a fused step, by the dtype of the state."""
Root = Literal["none", "cube", "square", "largest"]
"""The metric: a number, cbrt(u) + epsilon, correction sqrt(u) + epsilon, or the latter with the largest u so far."""
Kind = Literal["soft", "firm", "binary", "groups"]


class Plan(NamedTuple):
    """m <- keep m + gain g, linear = out m, u <- keep_square u + gain_square g g, W = (1 - average) w + average What.

    anchored: the anchor is W_0; else it is w, which is multiplied by `decay` before anything else.
    root, correction, epsilon: the metric (see Root), which is `epsilon` itself for "none".
    weight: the weight of psi;  dual: what is to be stored as the estimator's weight, None for a moving average.
    """

    keep: float
    gain: float
    out: float
    root: Root
    keep_square: float
    gain_square: float
    correction: float
    epsilon: float
    anchored: bool
    decay: float
    average: float
    weight: float
    dual: float | None

    def bound(self, limit: float) -> float:
        """How large the entries of a gradient may be for no sum, and no move, to come near `limit`."""
        move = max(abs(self.gain), abs(self.out * self.gain), 1.0)
        return min(limit / move, math.sqrt(limit / max(self.gain_square, 1.0)))

    def overflows(self, largest: float, limit: float) -> bool:
        """Whether a gradient with an entry of this size is beyond the bound."""
        return not largest < self.bound(limit)


@dataclass(frozen=True, slots=True)
class Penalty:
    """psi on an array, as a kernel evaluates weight * psi.

    kind: "soft", weight * (first * |w| + second / 2 * w^2) on every entry;  "firm", weight * MCP(first, second);
    "binary", weight * first * distance to the nearest of -second and second;  "groups", weight * (first * ||w_g|| +
    level * |w|) and curved by -weight * concavity until the slope is 0.  axes: of a group.
    """

    kind: Kind
    first: float = 0.0
    second: float = 0.0
    level: float = 0.0
    concavity: float = 0.0
    axes: tuple[int, ...] = ()


def plan(method: ProximalMethod, t: int, weight: float) -> Plan:
    """The step t >= 1 of the method.  weight: of psi before it (alpha_{t-1}), for dual averaging."""
    clock = method.clock(t)
    keep, gain, out, dual = _estimator(method.estimator, clock, weight)
    if method.weight_decay and method.decay == "after":
        out *= 1 - method.lr * method.weight_decay
    root, keep_square, gain_square, correction, epsilon = _metric(method.preconditioner, clock)
    return Plan(
        keep=keep,
        gain=gain,
        out=out,
        root=root,
        keep_square=keep_square,
        gain_square=gain_square,
        correction=correction,
        epsilon=epsilon,
        anchored=method.anchor == "initial",
        decay=1 - method.lr * method.weight_decay,
        average=method.averaging.weight(t),
        weight=clock.gain if dual is None else dual,
        dual=dual,
    )


def bound(method: ProximalMethod, state: MethodState, cache: dict[Any, float]) -> float:
    """`Plan.bound` of the next step, in the dtype of the state.  cache: what is known of the same methods."""
    weight = getattr(state.estimator, "weight", 0.0)
    key = id(method), state.t, weight, state.estimator[0].dtype
    if key not in cache:
        cache[key] = plan(method, state.t + 1, weight).bound(LIMIT[key[-1]])
    return cache[key]


@lru_cache(maxsize=4096)
def penalty(psi: Regularizer, shape: tuple[int, ...]) -> Penalty:
    """psi on arrays of this shape."""
    match psi:
        case Zero():
            return Penalty("soft")
        case SquaredL2():
            return Penalty("soft", second=psi.strength)
        case L1():
            return Penalty("soft", psi.strength)
        case ElasticNet():
            return Penalty("soft", psi.slope, psi.curvature)
        case MCP():
            return Penalty("firm", psi.strength, psi.gamma)
        case Binary():
            return Penalty("binary", psi.strength, psi.level)
        case GroupLasso() | GroupMCP() | SparseGroupLasso():
            return _grouped(psi, shape)
    raise TypeError(f"no kernel knows {type(psi).__name__}; see `objection`")


def _grouped(psi: GroupLasso | GroupMCP | SparseGroupLasso, shape: tuple[int, ...]) -> Penalty:
    threshold, axes, level, concavity = psi.threshold(shape), psi.group_axes(shape), 0.0, 0.0
    if isinstance(psi, SparseGroupLasso):
        threshold, level = (1 - psi.l1_ratio) * threshold, psi.level
    if isinstance(psi, GroupMCP):
        concavity = 1 / psi.gamma
    if threshold == 0:
        return Penalty("soft")
    if concavity == 0 and all(shape[axis] == 1 for axis in axes):  # groups of one entry
        return Penalty("soft", threshold + level)
    return Penalty("groups", threshold, 0.0, level, concavity, axes)


def _estimator(part: GradientEstimator[Any], clock: Clock, weight: float) -> tuple[float, float, float, float | None]:
    """(keep, gain, out, dual) of the Plan."""
    match part:
        case DualAveraging():
            return 1.0, clock.gain, 1.0, weight + clock.gain
        case DecayingAverage():
            rho = min(part.rho / (clock.t + part.offset) ** part.power, 1.0)
            return 1 - rho, rho, clock.gain, None
        case MovingAverage():
            correction = 1 - (1 - part.momentum) ** clock.t if part.bias_correction else 1.0
            out = clock.gain / correction
            if isinstance(part, UncorrectedAdamAverage):
                out *= math.sqrt(1 - part.square_decay**clock.t)
            return 1 - part.momentum, part.momentum, out, None
    raise TypeError(f"no kernel knows {type(part).__name__}; see `objection`")


def _metric(part: Preconditioner[Any], clock: Clock) -> tuple[Root, float, float, float, float]:
    """(root, keep_square, gain_square, correction, epsilon) of the Plan."""
    match part:
        case Constant():
            return "none", 0.0, 0.0, 1.0, part.value
        case SqrtCount():
            return "none", 0.0, 0.0, 1.0, math.sqrt(clock.t)
        case CubeRoot():
            return "cube", 1.0, clock.gain, 1.0, part.epsilon
        case AdamRoot():
            correction = 1 / math.sqrt(1 - part.beta**clock.t) if part.bias_correction else 1.0
            return "largest" if part.amsgrad else "square", part.beta, 1 - part.beta, correction, part.epsilon
    raise TypeError(f"no kernel knows {type(part).__name__}; see `objection`")


ESTIMATORS = (DualAveraging, MovingAverage, UncorrectedAdamAverage, DecayingAverage)
METRICS = (Constant, SqrtCount, CubeRoot, AdamRoot)
ENTRYWISE = (Zero, SquaredL2, L1, ElasticNet, MCP, Binary)
GROUPED = (GroupLasso, GroupMCP, SparseGroupLasso)


def objection(method: ProximalMethod) -> str | None:
    """Why no fused kernel can take the steps of the method, or None. Types are compared exactly: a subclass may do
    something else."""
    if type(method) is not ProximalMethod:
        return f"it knows no {type(method).__name__}"
    parts = (method.estimator, ESTIMATORS), (method.preconditioner, METRICS), (method.psi, ENTRYWISE + GROUPED)
    for part, known in parts:
        if type(part) not in known:
            return f"it knows no {type(part).__name__}"
    if method.stopping is not None:
        return "it solves to its own certificate and takes no stopping rule"
    grouped, scalar = type(method.psi) in GROUPED, type(method.preconditioner) in (Constant, SqrtCount)
    exact = [Automatic(), *([SecularNewton()] if grouped else []), *([ClosedForm()] if scalar or not grouped else [])]
    if method.solver not in exact and not (grouped and type(method.solver) is NewtonRaphson):
        return f"it does not imitate {method.solver}"
    if method.anchor == "previous" and method.averaging != ConstantAveraging(1.0):
        return "it keeps no What_t beside the previous anchor"
    return None
