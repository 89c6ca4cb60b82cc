"""How a step went, learnt without waiting for the device that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optkit.algorithms import warn_uncertified

from .updates import Update

DEFERRED = {"cuda", "meta"}
"""The kinds of devices for which no step waits. Tensors on "meta" have no values: of them there is nothing to learn."""

NOTHING_CHANGED = 'nothing was changed. Lower lr or clip gradients, or pass nonfinite="skip" to skip such steps'


@dataclass
class Tally:
    """What is known of the steps so far.  skipped: how many were;  uncertified: how many solves stopped at their
    iteration limit;  residuals: of the last subproblem of each parameter, a number or a 0-d tensor."""

    skipped: int = 0
    uncertified: int = 0
    residuals: dict[Tensor, Any] = field(default_factory=dict)

    def count(self, t: int, iterations: int, residual: Tensor | float, converged: Tensor | bool) -> None:
        """Count the solve if it stopped at its iteration limit, and warn of the first."""
        if not bool(converged):
            self.uncertified += 1
            if self.uncertified == 1:
                warn_uncertified(f"step {t}", iterations, residual)


def told_late(which: str, steps: int) -> str:
    """What is said of a gradient, by then `steps` ago, that spoilt its step."""
    return (
        f"the gradient of {which} held NaN or infinity, or its step overflowed, {steps} steps ago; "
        f"since then {NOTHING_CHANGED}"
    )


def masked(ok: Tensor, new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The new state of a parameter where ok, its old tensors where not."""

    def choose(value: Any, before: Any) -> Any:
        both = isinstance(value, Tensor) and isinstance(before, Tensor) and value is not before
        return torch.where(ok, value, before) if both else value

    return {key: choose(value, old.get(key)) for key, value in new.items()}


@dataclass(frozen=True)
class Snapshot:
    """What a masked step changes all the same: whatever is no tensor, in groups and states; and the tensors of KEPT."""

    groups: list[tuple[dict[str, Any], dict[str, Any]]]
    states: dict[Tensor, dict[str, Any] | None]

    @classmethod
    def of(cls, groups: Sequence[dict[str, Any]], states: dict[Tensor, dict[str, Any]]) -> Snapshot:
        """The present values."""
        keys = ("ramp", "pending_restart", "epsilon")
        kept = [(group, {key: group[key] for key in keys if key in group}) for group in groups]
        return cls(kept, {p: _numbers(states.get(p)) for group in groups for p in group["params"]})

    def restore(self, states: dict[Tensor, dict[str, Any]]) -> None:
        """Put them back."""
        for group, values in self.groups:
            group.update(values)
        for parameter, old in self.states.items():
            present = states.pop(parameter, {})
            if old is not None:
                states[parameter] = {key: value for key, value in present.items() if isinstance(value, Tensor)} | old


KEPT = ("solution", "theta")
"""Tensors that a step may leave out of the state."""


def _flag(value: Tensor | bool, device: torch.device) -> Tensor:
    """The value on the device, made there: to copy it would be to wait."""
    return value if isinstance(value, Tensor) else torch.full((), value, device=device)


def _numbers(state: dict[str, Any] | None) -> dict[str, Any] | None:
    if not state:
        return None
    return {key: value for key, value in state.items() if not isinstance(value, Tensor) or key in KEPT}


class Outcome:
    """Of one step: whether all numbers were finite and all solvers converged, one flag each for every parameter.

    The flags are on their way to the host.  before: undoes the step.
    """

    def __init__(self, names: Sequence[str], updates: Sequence[Update], finite: Tensor, before: Snapshot) -> None:
        device = finite.device
        converged = [_flag(update.converged, device) for update in updates]
        self.names, self.before = names, before
        self.solves = [(update.state.t, update.iterations, update.residual) for update in updates]
        self.flags = torch.stack([finite, torch.stack(converged)]).to("cpu", non_blocking=True)
        self.event = torch.cuda.Event() if device.type == "cuda" else None
        if self.event is not None:
            self.event.record(torch.cuda.current_stream(device))

    def ready(self) -> bool:
        """Whether the flags have arrived."""
        return self.event is None or bool(self.event.query())

    def read(self) -> tuple[list[bool], list[bool]]:
        """The flags (finite, converged); waits for them."""
        if self.event is not None:
            self.event.synchronize()
        finite, converged = self.flags.tolist()
        return finite, converged
