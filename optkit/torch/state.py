"""The state of a method as a flat dictionary of numbers and tensors, which is what torch.optim saves and loads."""

from __future__ import annotations

from functools import cache
from typing import Any

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


def unpack(data: dict[str, Any], method: ProximalMethod) -> MethodState:
    """The inverse of `pack`, for the method that wrote it."""

    def part(name: str, kind: Any) -> Any:
        return kind(*(data[key] for key in _keys(name, kind._fields)))

    estimator = part("estimator", method.estimator.state_type)
    preconditioner = part("preconditioner", method.preconditioner.state_type)
    return MethodState(data["t"], data["anchor"], data["solution"], estimator, preconditioner)
