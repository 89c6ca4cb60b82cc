"""Stages: the schedule that restarts dual averaging, decays lr and epsilon, and ramps the averaging up at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from optkit import validate

from .averaging import ConstantAveraging, SquareRootRamp
from .method import ProximalMethod


@dataclass(frozen=True)
class Stages:
    """A run cut into stages: a new one begins after milestones[i] steps (or epochs, as the driver counts).

    At a milestone the learning rate is multiplied by lr_factor. Methods anchored at W_0 also restart there (t, alpha, V
    and U to 0, W_0 := W) with the metric's epsilon multiplied by epsilon_factor. In the end their constant averaging c
    ramps up, c_k = min(c sqrt(k), 1), so that W_t reaches What_t and its structure.
    The method in force is a pure function of the steps taken, so that a run resumes exactly.

    milestones: increasing integers >= 1;  lr_factor, epsilon_factor: > 0;  ramp: "paper", k = 1, 2, ... counts the
    steps of the last stage; "ramda_exp", k counts from one epoch before the last milestone on, as in the published
    experiments; None, c stays;  epoch: how many steps (or epochs, as the driver counts) "ramda_exp" begins early.
    Raises ValueError or TypeError otherwise.

    Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
    """

    milestones: tuple[int, ...] = ()
    lr_factor: float = 0.1
    epsilon_factor: float = 0.1
    ramp: Literal["paper", "ramda_exp"] | None = "paper"
    epoch: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.milestones, (tuple, list)):
            raise TypeError(f"milestones must be a tuple of integers, got {self.milestones!r}")
        validate.store(self, milestones=tuple(validate.count("milestones", steps) for steps in self.milestones))
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must increase, got {self.milestones!r}")
        validate.store(self, lr_factor=validate.positive("lr_factor", self.lr_factor))
        validate.store(self, epsilon_factor=validate.positive("epsilon_factor", self.epsilon_factor))
        validate.choice("ramp", self.ramp, ("paper", "ramda_exp", None))
        validate.store(self, epoch=validate.count("epoch", self.epoch))

    def begins(self, steps: int) -> bool:
        """Whether a new stage begins after this many steps."""
        return steps in self.milestones

    @property
    def ramp_begins(self) -> int | None:
        """After how many steps the averaging begins to ramp up, or None."""
        if self.ramp is None or not self.milestones:
            return None
        return max(self.milestones[-1] - (self.epoch if self.ramp == "ramda_exp" else 0), 0)

    def method(self, base: ProximalMethod, steps: int) -> ProximalMethod:
        """The method in force for the step that follows this many steps."""
        begun = [milestone for milestone in self.milestones if milestone <= steps]
        if base.anchor == "previous":
            return base.scale(lr=self.lr_factor ** len(begun))
        now = base.scale(self.lr_factor ** len(begun), self.epsilon_factor ** len(begun))
        ramp = self.ramp_begins
        if ramp is None or steps < ramp or not isinstance(base.averaging, ConstantAveraging):
            return now
        return replace(now, averaging=SquareRootRamp(base.averaging.value, begin=ramp - max(begun, default=0)))
