"""The gain s_t with which the gradient of step t enters."""

from __future__ import annotations

from dataclasses import dataclass

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
