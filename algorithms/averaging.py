"""The weight c_t of the new point in W_t = (1 - c_t) W_{t-1} + c_t What_t."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optkit import validate
from optkit.core import Averaging


@dataclass(frozen=True)
class ConstantAveraging(Averaging):
    """c_t = value, in (0, 1]."""

    value: float

    def __post_init__(self) -> None:
        validate.store(self, value=validate.fraction("averaging", self.value))

    def weight(self, t: int) -> float:
        return self.value


@dataclass(frozen=True)
class DecayingAveraging(Averaging):
    """c_t = min(value / (t + offset)^power, 1): steps towards What_t that grow shorter.

    value: >= 0;  power: > 0;  offset: >= 0.

    Reference: Yang et al., "ProxSGD: training structured neural networks under regularization and constraints", 2020.
    """

    value: float
    power: float = 0.5
    offset: float = 4.0

    def __post_init__(self) -> None:
        validate.store(self, value=validate.nonnegative("averaging", self.value))
        validate.store(self, power=validate.positive("power", self.power))
        validate.store(self, offset=validate.nonnegative("offset", self.offset))

    def weight(self, t: int) -> float:
        return min(self.value / (t + self.offset) ** self.power, 1.0)


@dataclass(frozen=True)
class SquareRootRamp(Averaging):
    """c_t = min(value sqrt(t - begin), 1): for the end of a run, where W_t = What_t then has the structure.

    value: in (0, 1];  begin: the t after which the ramp begins, negative when it began before the last restart.

    Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
    """

    value: float
    begin: int = 0

    def __post_init__(self) -> None:
        validate.store(self, value=validate.fraction("averaging", self.value))
        validate.store(self, begin=validate.integer("begin", self.begin))

    def weight(self, t: int) -> float:
        return min(self.value * math.sqrt(max(t - self.begin, 1)), 1.0)
