"""The state of a method as a flat dictionary of numbers and tensors, which is what torch.optim saves and loads."""

from __future__ import annotations

from typing import Any

from optkit.algorithms import MethodState, ProximalMethod


def pack(state: MethodState) -> dict[str, Any]:
    """The fields of the state; those of the parts under "estimator.FIELD" and "preconditioner.FIELD"."""
    data: dict[str, Any] = {"t": state.t, "anchor": state.anchor, "solution": state.solution}
    for part in ("estimator", "preconditioner"):
        data |= {f"{part}.{key}": value for key, value in getattr(state, part)._asdict().items()}
    return data


def keys(method: ProximalMethod) -> set[str]:
    """The keys of what `pack` returns for a state of the method."""
    parts = {"estimator": method.estimator.state_type, "preconditioner": method.preconditioner.state_type}
    return {"t", "anchor", "solution"} | {f"{part}.{name}" for part, kind in parts.items() for name in kind._fields}


def unpack(data: dict[str, Any], method: ProximalMethod) -> MethodState:
    """The inverse of `pack`, for the method that wrote it."""

    def part(name: str, kind: Any) -> Any:
        return kind(*(data[f"{name}.{field}"] for field in kind._fields))

    estimator = part("estimator", method.estimator.state_type)
    preconditioner = part("preconditioner", method.preconditioner.state_type)
    return MethodState(data["t"], data["anchor"], data["solution"], estimator, preconditioner)
