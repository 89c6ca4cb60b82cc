"""What a pending restart makes of a group, and of the state of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

States = Mapping[Tensor, dict[str, Any]]


def steps(states: States, group: dict[str, Any]) -> int:
    """The steps of a group since the last restart; waits for the device where they are counted there."""
    known = [states[p] for p in group["params"] if states.get(p)]
    return max((int(state["t"]) for state in known if "stale" not in state), default=0)


def restarted(states: States, group: dict[str, Any]) -> dict[str, Any]:
    """The group as it is after its pending restart; the group itself where none is pending."""
    pending, ramp = group["pending_restart"], group["ramp"]
    if not pending:
        return group
    begun = 0 if pending["ramp"] else ramp if ramp is None else ramp - steps(states, group)
    changed = {**group, "ramp": begun, "pending_restart": None}
    if "epsilon" in group:
        changed["epsilon"] = group["epsilon"] * pending["epsilon_scale"]
    return changed


def commit(states: dict[Tensor, dict[str, Any]], group: dict[str, Any]) -> None:
    """Carry out the pending restart, if there is one: state from before is marked with the epsilon of its time."""
    if group["pending_restart"]:
        epsilon = group.get("epsilon")
        group.update(restarted(states, group))
        for parameter in group["params"]:
            if parameter in states:
                # until its next gradient What_t stays as it is
                states[parameter] = {"stale": epsilon, **states[parameter]}
