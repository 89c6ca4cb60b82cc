"""The gain s_t with which the gradient of step t enters."""

from __future__ import annotations

from dataclasses import dataclass

from optkit.core import Weighting


@dataclass(frozen=True)
class SqrtWeighting(Weighting):
    """s_t = lr sqrt(t): later gradients count more (RAMDA paper (2), MADGRAD)."""

    def gain(self, lr: float, t: int) -> float:
        return lr * t**0.5


@dataclass(frozen=True)
class ConstantWeighting(Weighting):
    """s_t = lr."""

    def gain(self, lr: float, t: int) -> float:
        return lr
