"""Preconditioners: the diagonal metric of the subproblem. None depends on the learning rate but through the gain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array, Clock, Preconditioner


class NoState(NamedTuple):
    """The state of a metric that remembers nothing."""


@dataclass(frozen=True)
class Constant(Preconditioner[NoState]):
    """metric = value, > 0: the Euclidean metric of proximal (stochastic) gradient methods."""

    value: float = 1.0
    state_type = NoState

    def __post_init__(self) -> None:
        validate.store(self, value=validate.positive("value", self.value))

    def init(self, w: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, clock: Clock, state: NoState) -> NoState:
        return state

    def metric(self, state: NoState, clock: Clock) -> float:
        return self.value


@dataclass(frozen=True)
class SqrtCount(Preconditioner[NoState]):
    """metric = sqrt(t), t the steps since the last restart.

    Reference: Huang and Lee, "Training structured neural networks through manifold identification and variance
    reduction" (RMDA), 2022.
    """

    state_type = NoState

    def init(self, w: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, clock: Clock, state: NoState) -> NoState:
        return state

    def metric(self, state: NoState, clock: Clock) -> float:
        return math.sqrt(clock.t)


class SquareSum(NamedTuple):
    """sum: U_t = sum_k s_k g_k * g_k, of S."""

    sum: Array


@dataclass(frozen=True)
class CubeRoot(Preconditioner[SquareSum]):
    """metric = U_t^(1/3) + epsilon with U_t = sum_k s_k g_k * g_k entrywise;  epsilon > 0.

    Reference: RAMDA paper (NeurIPS 2024), (2) and (3); Defazio and Jelassi, "Adaptivity without compromise" (MADGRAD).
    """

    epsilon: float = 1e-6
    state_type = SquareSum

    def __post_init__(self) -> None:
        validate.store(self, epsilon=validate.positive("epsilon", self.epsilon))

    def init(self, w: Array) -> SquareSum:
        return SquareSum(array_namespace(w).zeros_like(w))

    def update(self, grad: Array, clock: Clock, state: SquareSum) -> SquareSum:
        return SquareSum(state.sum + clock.gain * (grad * grad))

    def metric(self, state: SquareSum, clock: Clock) -> Array:
        return state.sum ** (1 / 3) + self.epsilon

    def scale_epsilon(self, factor: float) -> CubeRoot:
        return replace(self, epsilon=self.epsilon * factor)


class SquareMean(NamedTuple):
    """mean: the exponential moving average of g * g, begun at 0, of S;  largest: the largest so far, for amsgrad."""

    mean: Array
    largest: Array | None = None


@dataclass(frozen=True)
class AdamRoot(Preconditioner[SquareMean]):
    """metric = sqrt(v_t / (1 - beta^t)) + epsilon with v_t = beta v_{t-1} + (1 - beta) g_t * g_t.

    beta: in [0, 1);  epsilon: > 0, outside the root;  bias_correction: whether v_t is divided by 1 - beta^t;  amsgrad:
    whether the largest v_t so far takes the place of v_t, entry by entry.

    Reference: Kingma and Ba, "Adam: a method for stochastic optimization", 2015; Reddi, Kale and Kumar, "On the
    convergence of Adam and beyond", 2018, for amsgrad.
    """

    beta: float = 0.999
    epsilon: float = 1e-8
    bias_correction: bool = True
    amsgrad: bool = False
    state_type = SquareMean

    def __post_init__(self) -> None:
        validate.store(self, beta=validate.decay("beta", self.beta))
        validate.store(self, epsilon=validate.positive("epsilon", self.epsilon))
        validate.flag("bias_correction", self.bias_correction)
        validate.flag("amsgrad", self.amsgrad)

    def init(self, w: Array) -> SquareMean:
        xp = array_namespace(w)
        return SquareMean(xp.zeros_like(w), xp.zeros_like(w) if self.amsgrad else None)

    def update(self, grad: Array, clock: Clock, state: SquareMean) -> SquareMean:
        mean = self.beta * state.mean + (1 - self.beta) * (grad * grad)
        largest = None if state.largest is None else array_namespace(mean).maximum(state.largest, mean)
        return SquareMean(mean, largest)

    def metric(self, state: SquareMean, clock: Clock) -> Array:
        xp, square = array_namespace(state.mean), state.mean if state.largest is None else state.largest
        correction = math.sqrt(1 - self.beta**clock.t) if self.bias_correction else 1.0
        return xp.sqrt(square) / correction + self.epsilon

    def scale_epsilon(self, factor: float) -> AdamRoot:
        return replace(self, epsilon=self.epsilon * factor)
