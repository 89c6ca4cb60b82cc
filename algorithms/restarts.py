"""Stages: the schedule that restarts dual averaging, decays lr and epsilon, and ramps the averaging up at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from optkit import validate

from .averaging import ConstantAveraging, SquareRootRamp
from .method import ProximalMethod


@dataclass(frozen=True)
class Stages:
    """A run cut into stages: a new one begins after milestones[i] steps (or epochs, as the driver counts).

    At a milestone the learning rate is multiplied by lr_factor. Methods anchored at W_0 also restart there (t, alpha, V
    and U to 0, W_0 := W) with the metric's epsilon multiplied by epsilon_factor, and with ramp=True their constant
    averaging c becomes min(c sqrt(t), 1) at the last milestone, so that W_t reaches What_t and its structure.
    The method in force is a pure function of the steps taken, so that a run resumes exactly.

    milestones: increasing integers >= 1;  lr_factor, epsilon_factor: > 0. Raises ValueError or TypeError otherwise.

    Reference: RAMDA paper (NeurIPS 2024), appendix A.1.
    """

    milestones: tuple[int, ...] = ()
    lr_factor: float = 0.1
    epsilon_factor: float = 0.1
    ramp: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.milestones, (tuple, list)):
            raise TypeError(f"milestones must be a tuple of integers, got {self.milestones!r}")
        validate.store(self, milestones=tuple(validate.count("milestones", steps) for steps in self.milestones))
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must increase, got {self.milestones!r}")
        validate.store(self, lr_factor=validate.positive("lr_factor", self.lr_factor))
        validate.store(self, epsilon_factor=validate.positive("epsilon_factor", self.epsilon_factor))

    def begins(self, steps: int) -> bool:
        """Whether a new stage begins after this many steps."""
        return steps in self.milestones

    def last(self, steps: int) -> bool:
        """Whether the last stage begins after this many steps."""
        return bool(self.milestones) and steps == self.milestones[-1]

    def method(self, base: ProximalMethod, steps: int) -> ProximalMethod:
        """The method in force for the step that follows this many steps."""
        passed = sum(milestone <= steps for milestone in self.milestones)
        if base.anchor == "previous":
            return base.scale(lr=self.lr_factor**passed)
        now = base.scale(self.lr_factor**passed, self.epsilon_factor**passed)
        in_last = passed > 0 and passed == len(self.milestones)
        if not (self.ramp and in_last and isinstance(base.averaging, ConstantAveraging)):
            return now
        return replace(now, averaging=SquareRootRamp(base.averaging.value))
