"""The state of a method as a flat dictionary of numbers and tensors, which is what torch.optim saves and loads."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from optkit.algorithms import MethodState, ProximalMethod


def pack(state: MethodState) -> dict[str, Any]:
    """The fields of the state; those of the parts under "estimator.FIELD" and "preconditioner.FIELD"."""
    data: dict[str, Any] = {"t": state.t, "anchor": state.anchor, "solution": state.solution}
    data.update(zip(_keys("estimator", type(state.estimator)._fields), state.estimator, strict=True))
    data.update(zip(_keys("preconditioner", type(state.preconditioner)._fields), state.preconditioner, strict=True))
    return data


@cache
def _keys(part: str, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{part}.{field}" for field in fields)


def keys(method: ProximalMethod) -> set[str]:
    """The keys of what `pack` returns for a state of the method."""
    parts = {"estimator": method.estimator.state_type, "preconditioner": method.preconditioner.state_type}
    return {"t", "anchor", "solution"}.union(*(_keys(part, kind._fields) for part, kind in parts.items()))


NUMBERS = ("t", "estimator.weight")
"""What capturable steps keep on the device, as 0-d tensors of float64."""


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """The same with its numbers on the host; waits for the device where they are not."""
    if not isinstance(data.get("t"), Tensor):
        return data
    return {**data, **{key: data[key].item() for key in NUMBERS if key in data}, "t": int(data["t"])}


def unpack(data: dict[str, Any], method: ProximalMethod) -> MethodState:
    """The inverse of `pack`, for the method that wrote it. Its numbers are on the host, see `plain`."""
    data = plain(data)

    def part(name: str, kind: Any) -> Any:
        return kind(*(data[key] for key in _keys(name, kind._fields)))

    estimator = part("estimator", method.estimator.state_type)
    preconditioner = part("preconditioner", method.preconditioner.state_type)
    return MethodState(data["t"], data["anchor"], data["solution"], estimator, preconditioner)
