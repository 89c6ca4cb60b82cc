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
class SquareRootRamp(Averaging):
    """c_t = min(value sqrt(t), 1): for the last stage, at whose end W_t = What_t has the structure.

    value: in (0, 1].

    Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
    """

    value: float

    def __post_init__(self) -> None:
        validate.store(self, value=validate.fraction("averaging", self.value))

    def weight(self, t: int) -> float:
        return min(self.value * math.sqrt(t), 1.0)
