"""How the plain data of a parameter group become a ProximalMethod."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from optkit import registry, validate
from optkit.algorithms import ConstantAveraging, ProximalMethod, SquareRootRamp
from optkit.core import Averaging, Regularizer, StoppingRule, SubproblemSolver
from optkit.regularizers import Zero
from optkit.solvers import Automatic

Factory = Callable[..., ProximalMethod]

_PARTS: dict[str, tuple[type, str]] = {
    "regularizer": (Regularizer, "for example optkit.regularizers.GroupLasso(1e-4), or None"),
    "solver": (SubproblemSolver, "for example optkit.solvers.SecularNewton(), or None for the best exact one"),
    "stopping": (StoppingRule, "for example optkit.solvers.SubgradientNorm(1e-6), or None for the solver's own"),
}
_FOREIGN = {
    name for optimizer in (torch.optim.AdamW, torch.optim.SGD) for name in inspect.signature(optimizer).parameters
} - {"params"}
"""What torch.optim's optimizers take: in a group of ours it would be ignored without a word."""


class Recipe:
    """A factory of methods with its hyper-parameters, which are the keys of a parameter group beside the parts.

    factory: a function (psi, *, solver, stopping, hyper-parameters by keyword); those three it may also lack.
    """

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self.name: str = getattr(factory, "__name__", type(factory).__name__)
        if not callable(factory):
            raise TypeError(f"factory must be a function that returns a ProximalMethod, got {validate.given(factory)}")
        accepted = {name: p for name, p in inspect.signature(factory).parameters.items() if p.kind is not p.VAR_KEYWORD}
        self.accepts = [name for name in ("psi", "solver", "stopping") if name in accepted]
        self.hyperparameters = {name: accepted[name].default for name in accepted if name not in self.accepts}
        self._keys = *_PARTS, *self.hyperparameters, "ramp"
        self._methods: dict[str, ProximalMethod] = {}

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a group with their values, as plain data, where it does not say otherwise."""
        for name in given:
            if name not in (*_PARTS, *self.hyperparameters):
                allowed = registry.allowed(name, self.hyperparameters)
                raise TypeError(f"{name} is no hyper-parameter of {self.name}; {allowed}")
        values = {**dict.fromkeys(_PARTS), **self.hyperparameters, **given}
        for name, value in values.items():
            if value is inspect.Parameter.empty:
                raise TypeError(f"{self.name} needs a value for {name}")
        return self.plain(values)

    def plain(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """The group with its parts and hyper-parameters as plain data; refuses keys that would be ignored."""
        known = (*_PARTS, *self.hyperparameters, "maximize")
        for key in group:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            lost = (
                near
                or key in _FOREIGN
                or key in _fields_of_regularizers()
                or isinstance(group[key], tuple(registry.KINDS))
            )
            if key not in known and lost:
                raise ValueError(f"unknown key {key!r} in a parameter group; {registry.allowed(key, known)}")
        return {key: self._plain(key, value) if key in known else value for key, value in group.items()}

    def _plain(self, key: str, value: Any) -> Any:
        if key in _PARTS and value is not None and not isinstance(value, Mapping):
            validate.instance(key, value, *_PARTS[key])
        if isinstance(value, torch.Tensor) and value.ndim == 0 and key in self.hyperparameters:
            return value  # as torch.optim has it: schedulers then write into it
        try:
            return registry.to_data(value)
        except TypeError as error:
            raise TypeError(f"{key}: {error}; give a number, or a part that is a frozen dataclass") from None

    def method(self, group: Mapping[str, Any]) -> ProximalMethod:
        """The method that the group describes. The latest ones are kept, for building takes a while."""
        data = repr([_number(group[key]) for key in self._keys])
        if data not in self._methods:
            if len(self._methods) >= 64:
                self._methods.clear()
            self._methods[data] = self._build(group)
        return self._methods[data]

    def _build(self, group: Mapping[str, Any]) -> ProximalMethod:
        parts = {key: registry.from_data(kind | None, group[key], key) for key, (kind, _) in _PARTS.items()}
        psi = parts.pop("regularizer") or Zero()
        if "psi" not in self.accepts and not isinstance(psi, Zero):
            raise ValueError(f"{self.name} takes no regularizer; leave it out or use ProxGen")
        if isinstance(psi, Zero):  # a solver given for all groups need not support Zero
            parts["solver"] = Automatic()
        if parts["solver"] is None:
            parts.pop("solver")  # the method's own
        parts["psi"] = psi
        values = {key: _hyperparameter(key, group[key]) for key in self.hyperparameters}
        method = self.factory(**values, **{key: parts[key] for key in self.accepts if key in parts})
        validate.instance(f"what {self.name} returns", method, ProximalMethod, "return one built from its parts")
        if group["ramp"] is not None and isinstance(method.averaging, ConstantAveraging):
            return replace(method, averaging=SquareRootRamp(method.averaging.value, begin=group["ramp"]))
        return method


def _fields_of_regularizers() -> set[str]:
    return {
        field.name for part in registry.components(Regularizer).values() if is_dataclass(part) for field in fields(part)
    }


def _number(value: Any) -> Any:
    """A tensor as the number in it; waits for its device."""
    return value.item() if isinstance(value, torch.Tensor) else value


def _hyperparameter(key: str, value: Any) -> Any:
    value = _number(value)
    return registry.from_data(Averaging, value, key) if isinstance(value, Mapping) else value
