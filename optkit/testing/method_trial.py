"""What a law of methods is tried on: a method made from a strength and lr, and a start and gradients that are drawn."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from optkit.algorithms import ProximalMethod, Step
from optkit.core import Array, Regularizer
from optkit.regularizers import GroupLasso

from .array_laws import numpys
from .backends import Backend, Host
from .drawing import Shape

T = TypeVar("T")
MethodFactory = Callable[..., ProximalMethod]
Penalty = Callable[[float], Regularizer]


def columns(strength: float) -> Regularizer:
    """The group lasso on the columns of a matrix: the regularizer that laws are tried with unless another is given."""
    return GroupLasso(strength, axes=0)


@dataclass(frozen=True)
class MethodTrial:
    """One example.  factory: (psi, lr) -> ProximalMethod, or without psi;  penalty: of a strength;  rounding: errors of
    so many units in the last place of the largest number are allowed."""

    factory: MethodFactory
    penalty: Penalty
    shape: Shape
    backend: Backend
    data: st.DataObject
    rounding: float = 64.0

    @property
    def ulps(self) -> float:
        """The relative error that is allowed."""
        return self.rounding * self.backend.eps

    @property
    def regularized(self) -> bool:
        """Whether the factory takes a regularizer."""
        return "psi" in inspect.signature(self.factory).parameters

    def method(self, strength: float = 0.2, lr: float = 0.1) -> ProximalMethod:
        """A new method of this strength and lr."""
        if not self.regularized:
            return self.factory(lr=lr)
        return self.factory(psi=self.penalty(strength), lr=lr)

    def pick(self, *choices: T) -> T:
        """One of the choices."""
        return self.data.draw(st.sampled_from(choices))

    def host(self, shape: Shape | None = None) -> Host:
        """Numbers of the order of 1, some of them 0."""
        rng = np.random.default_rng(self.data.draw(st.integers(0, 2**32 - 1)))
        numbers = rng.standard_normal(self.shape if shape is None else shape)
        return np.where(rng.random(numbers.shape) < 0.15, 0.0, np.round(numbers, 3))

    def arrays(self, count: int) -> list[Host]:
        """A start, and gradients: count in all."""
        return [self.host() for _ in range(count)]

    def walk(self, method: ProximalMethod, values: Sequence[Host], backend: Backend | None = None) -> list[Step]:
        """The steps from values[0] with the gradients values[1:]."""
        new = (backend or self.backend).array
        return walk(method, new(values[0]), [new(value) for value in values[1:]])

    @property
    def numpys(self) -> Backend:
        """numpy, with the dtype of the back end."""
        return numpys(self.backend)


def walk(method: ProximalMethod, w: Array, grads: Sequence[Array], state: Any = None) -> list[Step]:
    """The steps of the method from w, or from (w, state)."""
    steps, state = list[Step](), method.init(w) if state is None else state
    for grad in grads:
        steps.append(method.step(w, grad, state))
        w, state = steps[-1].w, steps[-1].state
    return steps


def leaves(value: Any) -> list[Any]:
    """The numbers and arrays of a state, in order."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [value]


def called(make: Any) -> str:
    """The name of a class or function, with the arguments that are bound to it."""
    if isinstance(make, functools.partial):
        bound = [*map(called, make.args), *(f"{key}={called(value)}" for key, value in make.keywords.items())]
        return f"{called(make.func)}({', '.join(bound)})"
    return getattr(make, "__name__", None) or repr(make)
