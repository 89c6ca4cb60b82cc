"""Gradient estimators: the linear term of the subproblem and the weight of the regularizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Clock, GradientEstimator


class DualSum(NamedTuple):
    """sum: V_t = sum_k s_k g_k, of S;  weight: alpha_t = sum_k s_k."""

    sum: Array
    weight: float


@dataclass(frozen=True)
class DualAveraging(GradientEstimator[DualSum]):
    """Linear term V_t = sum_k s_k g_k, weight alpha_t = sum_k s_k: the variance of V_t/alpha_t tends to zero.

    Reference: Xiao, "Dual averaging methods for regularized stochastic learning", 2010; RAMDA paper, (2) and (3).
    """

    state_type = DualSum

    def init(self, w: Array) -> DualSum:
        return DualSum(array_namespace(w).zeros_like(w), 0.0)

    def update(self, grad: Array, clock: Clock, state: DualSum) -> DualSum:
        return DualSum(state.sum + clock.gain * grad, state.weight + clock.gain)

    def linear(self, state: DualSum, clock: Clock) -> tuple[Array, float]:
        return state.sum, state.weight


class Mean(NamedTuple):
    """mean: the exponential moving average of the gradients, begun at 0, of S."""

    mean: Array


@dataclass(frozen=True)
class MovingAverage(GradientEstimator[Mean]):
    """m_t = (1 - c) m_{t-1} + c g_t with m_0 = 0; linear term s_t m_t (or s_t m_t / (1 - (1 - c)^t)), weight s_t.

    The subproblem is the paper's (6) times the step size s_t, so that a step size of 0 means: stay.

    momentum: c, the weight of the new gradient, in (0, 1];  bias_correction: divide by 1 - (1 - c)^t.
    """

    momentum: float
    bias_correction: bool = False
    state_type = Mean

    def __post_init__(self) -> None:
        validate.store(self, momentum=validate.fraction("momentum", self.momentum))

    def init(self, w: Array) -> Mean:
        return Mean(array_namespace(w).zeros_like(w))

    def update(self, grad: Array, clock: Clock, state: Mean) -> Mean:
        return Mean((1 - self.momentum) * state.mean + self.momentum * grad)

    def linear(self, state: Mean, clock: Clock) -> tuple[Array, float]:
        correction = 1 - (1 - self.momentum) ** clock.t if self.bias_correction else 1.0
        return (clock.gain / correction) * state.mean, clock.gain


@dataclass(frozen=True)
class UncorrectedAdamAverage(MovingAverage):
    """m_t as MovingAverage; linear term s_t m_t sqrt(1 - square_decay^t) / (1 - (1 - c)^t), weight s_t.

    With a metric that lacks Adam's bias correction the smooth step is still Adam's, and only psi sees another metric.

    square_decay: the decay of the metric's average of squares, in [0, 1).

    Reference: Deleu and Bengio, "Structured sparsity inducing adaptive optimizers for deep learning" (ProxSSI), 2021,
    as published in code.
    """

    square_decay: float = 0.999
    bias_correction: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.store(self, square_decay=validate.decay("square_decay", self.square_decay))

    def linear(self, state: Mean, clock: Clock) -> tuple[Array, float]:
        linear, weight = super().linear(state, clock)
        return math.sqrt(1 - self.square_decay**clock.t) * linear, weight


@dataclass(frozen=True)
class DecayingAverage(GradientEstimator[Mean]):
    """m_t = (1 - rho_t) m_{t-1} + rho_t g_t with m_0 = 0 and rho_t = min(rho / (t + offset)^power, 1); weight s_t.

    rho: > 0;  power: > 0, the variance of m_t vanishes for a power in (0, 1];  offset: >= 0.

    Reference: Yang, Yuan, Chatzimichailidis, van Sloun, Lei and Chatzinotas, "ProxSGD: training structured neural
    networks under regularization and constraints", 2020, equation (5).
    """

    rho: float = 0.9
    power: float = 0.5
    offset: float = 4.0
    state_type = Mean

    def __post_init__(self) -> None:
        validate.store(self, rho=validate.positive("rho", self.rho), power=validate.positive("power", self.power))
        validate.store(self, offset=validate.nonnegative("offset", self.offset))

    def init(self, w: Array) -> Mean:
        return Mean(array_namespace(w).zeros_like(w))

    def update(self, grad: Array, clock: Clock, state: Mean) -> Mean:
        rho = min(self.rho / (clock.t + self.offset) ** self.power, 1.0)
        return Mean((1 - rho) * state.mean + rho * grad)

    def linear(self, state: Mean, clock: Clock) -> tuple[Array, float]:
        return clock.gain * state.mean, clock.gain
