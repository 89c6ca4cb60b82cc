"""The gain s_t with which the gradient of step t enters."""

from __future__ import annotations

from dataclasses import dataclass

from optkit import validate
from optkit.core import Weighting


@dataclass(frozen=True)
class SqrtWeighting(Weighting):
    """s_t = lr sqrt(t): later gradients count more.

    Reference: Defazio and Jelassi, "Adaptivity without compromise: a momentumized, adaptive, dual averaged gradient
    method" (MADGRAD), 2022; RAMDA paper (NeurIPS 2024), equation (2).
    """

    def gain(self, lr: float, t: int) -> float:
        return lr * t**0.5


@dataclass(frozen=True)
class ConstantWeighting(Weighting):
    """s_t = lr."""

    def gain(self, lr: float, t: int) -> float:
        return lr


@dataclass(frozen=True)
class PowerWeighting(Weighting):
    """s_t = lr t^power: in dual averaging the learning rate eta_t = lr t^(power - 1/2), elsewhere s_t itself.

    power: any number. With dual averaging s_t / alpha_t is near (1 + power) / t for power > -1, as Theorem 2 needs.

    Reference: RAMDA paper (NeurIPS 2024), equation (2) and condition (13).
    """

    power: float

    def __post_init__(self) -> None:
        validate.store(self, power=validate.real("power", self.power))

    def gain(self, lr: float, t: int) -> float:
        return lr * t**self.power
