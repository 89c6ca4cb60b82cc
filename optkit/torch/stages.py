"""The paper's stages for an optimizer: learning rate decay, restarts and the final ramp of the averaging."""

from __future__ import annotations

from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from optkit import validate
from optkit.algorithms import Stages

from .optimizer import MethodOptimizer, unwrapped


class StageScheduler(LRScheduler):
    """Call `step()` after every epoch (or step), as often as the stages' milestones count.

    At a milestone the groups' lr is multiplied by lr_factor; optimizers anchored at W_0 (RAMDA, RMDA) also restart with
    the epsilon factor, and at the last milestone, or an epoch before, their averaging begins to ramp up. See
    optkit.algorithms.Stages. The optimizer may be wrapped, as accelerate and Lightning do it.

    Raises TypeError for another kind of optimizer or stages.
    """

    optimizer: MethodOptimizer

    def __init__(self, optimizer: MethodOptimizer, stages: Stages) -> None:  # torch's would wrap optimizer.step
        optimizer = unwrapped(optimizer)
        validate.instance("optimizer", optimizer, MethodOptimizer, "for example optkit.torch.RAMDA(...)")
        validate.instance("stages", stages, Stages, "for example Stages(milestones=(20, 40))")
        self.optimizer, self.stages, self.count = optimizer, stages, 0
        self._step_count = 1  # which accelerate adds to while gradients accumulate
        self._begin()

    def step(self, epoch: None = None) -> None:  # type: ignore[override]
        """Count one epoch (or step) and begin the stage that it brings, if any.  epoch: not to be given."""
        if epoch is not None:
            raise ValueError(f"step() counts by itself, got epoch={epoch!r}; use load_state_dict to go elsewhere")
        self.count += 1
        self._step_count += 1
        self._begin()

    def get_last_lr(self) -> list[Any]:
        """The learning rates in force, one a group."""
        return [group["lr"] for group in self.optimizer.param_groups]

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
