"""The paper's stages for an optimizer: learning rate decay, restarts and the final ramp of the averaging."""

from __future__ import annotations

from typing import Any

from optkit import validate
from optkit.algorithms import Stages

from .optimizer import MethodOptimizer


class StageScheduler:
    """Call `step()` after every epoch (or step), as often as the stages' milestones count.

    At a milestone the groups' lr is multiplied by lr_factor; optimizers anchored at W_0 (RAMDA, RMDA) also restart with
    the epsilon factor, and at the last milestone, or an epoch before, their averaging begins to ramp up. See
    optkit.algorithms.Stages.
    """

    def __init__(self, optimizer: MethodOptimizer, stages: Stages) -> None:
        validate.instance("optimizer", optimizer, MethodOptimizer, "for example optkit.torch.RAMDA(...)")
        validate.instance("stages", stages, Stages, "for example Stages(milestones=(20, 40))")
        self.optimizer, self.stages, self.count = optimizer, stages, 0
        self._begin()

    def step(self) -> None:
        """Count one epoch (or step) and begin the stage that it brings, if any."""
        self.count += 1
        self._begin()

    def _begin(self) -> None:
        """Begin what begins after so many counts."""
        groups, ramp = self.optimizer.param_groups, self.count == self.stages.ramp_begins
        restarts = any(self.optimizer.method(group).anchor == "initial" for group in groups)
        if self.stages.begins(self.count):
            for group in groups:
                group["lr"] = group["lr"] * self.stages.lr_factor
            if restarts:
                self.optimizer.restart(self.stages.epsilon_factor, ramp=ramp)
        elif ramp and restarts:
            self.optimizer.ramp()

    def state_dict(self) -> dict[str, Any]:
        """The count; lr, epsilon and ramp are in the optimizer's state_dict."""
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved count."""
        self.count = state_dict["count"]
