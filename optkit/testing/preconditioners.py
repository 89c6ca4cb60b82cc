"""The laws of preconditioners."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from optkit.core import Array, Clock, Preconditioner

from .array_laws import numpys
from .backends import Backend, Host, host, kind
from .drawing import Shape, wide_floats
from .running import Law, chosen, hold, law

T = TypeVar("T")
UNITS = (1.0, 1e-8, 1e6)
"""Orders of magnitude of gradients; their squares are numbers of every dtype."""


@dataclass(frozen=True)
class PreconditionerTrial:
    """One example: the preconditioner, and the source of the gradients that are drawn.  rounding: as elsewhere."""

    part: Preconditioner[Any]
    shape: Shape
    backend: Backend
    data: st.DataObject
    rounding: float = 16.0

    def pick(self, *choices: T) -> T:
        """One of the choices."""
        return self.data.draw(st.sampled_from(choices))

    def gradients(self) -> list[Host]:
        """One to three gradients, on the host: S."""
        return [self.data.draw(wide_floats(self.shape, UNITS)) for _ in range(self.pick(2, 1, 3))]

    def run(self, gradients: list[Host], backend: Backend | None = None) -> tuple[Any, Clock]:
        """The state after the gradients, and the clock of the last step."""
        new, clock = (backend or self.backend).array, Clock(0, 1.0)
        state = self.part.init(new(np.zeros(self.shape)))
        for step, gradient in enumerate(gradients, start=1):
            clock = Clock(step, 0.5 * step**0.5)
            state = self.part.update(new(gradient), clock, state)
        return state, clock


def arrays_of(state: Any) -> list[Array]:
    """The fields of a state that are arrays."""
    return [field for field in state if hasattr(field, "dtype")]


def same(a: Any, b: Any) -> bool:
    """Whether two states, or metrics, hold the same numbers."""
    if isinstance(a, tuple):
        return type(a) is type(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(host(a), host(b)))


def copied(state: Any) -> list[Host]:
    """The numbers of a state; a field that is not in use is None."""
    return [host(field) for field in state if field is not None]


def metric_is_positive(trial: PreconditionerTrial) -> None:
    """metric is finite and > 0, of the shape of the gradients or one float."""
    state, clock = trial.run(trial.gradients())
    metric = trial.part.metric(state, clock)
    shape = tuple(getattr(metric, "shape", ()))
    law(isinstance(metric, float) or shape == trial.shape, f"the metric has the shape {shape}")
    law(np.isfinite(host(metric)) & (host(metric) > 0), f"the metric is {host(metric)}")


def state_is_of_its_type(trial: PreconditionerTrial) -> None:
    """init and update return a state_type, which is a NamedTuple."""
    state_type: Any = trial.part.state_type
    law(issubclass(state_type, tuple) and hasattr(state_type, "_fields"), f"{state_type} is no NamedTuple")
    for state in (trial.part.init(trial.backend.array(np.zeros(trial.shape))), trial.run(trial.gradients())[0]):
        law(isinstance(state, state_type), f"the state is a {type(state)}")


def inputs_are_untouched(trial: PreconditionerTrial) -> None:
    """update and metric change neither the gradient nor the state."""
    gradients = trial.gradients()
    state, clock = trial.run(gradients)
    gradient, before = trial.backend.array(gradients[-1]), copied(state)
    known = host(gradient)
    trial.part.update(gradient, clock, state)
    trial.part.metric(state, clock)
    law(host(gradient) == known, f"the gradient {known} has become {host(gradient)}")
    for a, b in zip(copied(state), before, strict=True):
        law(a == b, f"the state {b} has become {a}")


def same_in_same_out(trial: PreconditionerTrial) -> None:
    """The same gradients give the same state and the same metric, every bit."""
    gradients = trial.gradients()
    (one, clock), (two, _) = trial.run(gradients), trial.run(gradients)
    law(same(one, two), f"the states are {copied(one)} and {copied(two)}")
    metrics = [trial.part.metric(state, clock) for state in (one, one, two)]
    law(same(metrics[0], metrics[1]) and same(metrics[0], metrics[2]), f"the metrics are {metrics}")


def arrays_keep_their_kind(trial: PreconditionerTrial) -> None:
    """The state's arrays and the metric have the namespace, dtype and device of the gradients."""
    state, clock = trial.run(trial.gradients())
    known, metric = kind(trial.backend.array(np.zeros(trial.shape))), trial.part.metric(state, clock)
    for array in (*arrays_of(state), *([] if isinstance(metric, float) else [metric])):
        law(kind(array) == known, f"{kind(array)} for {known}")


def scaling_epsilon_keeps_the_type(trial: PreconditionerTrial) -> None:
    """scale_epsilon(c) is of the same type, with the same metric for c = 1, and a metric no larger for c < 1."""
    state, clock = trial.run(trial.gradients())
    metric = host(trial.part.metric(state, clock))
    for factor in (1.0, 0.1):
        scaled = trial.part.scale_epsilon(factor)
        law(type(scaled) is type(trial.part), f"scale_epsilon returns a {type(scaled).__name__}")
        other = host(scaled.metric(state, clock))
        law((other == metric) if factor == 1 else (other <= metric), f"the metric is {other} after {metric}")


def back_ends_agree(trial: PreconditionerTrial) -> None:
    """The metric is that of numpy, up to rounding."""
    gradients = trial.gradients()
    here, there = (
        host(trial.part.metric(*trial.run(gradients, backend))) for backend in (trial.backend, numpys(trial.backend))
    )
    error = np.abs(here - there)
    law(error <= trial.rounding * trial.backend.eps * np.abs(there), f"the metric is {here}, in numpy {there}")


_LAWS: tuple[Law[PreconditionerTrial], ...] = (
    state_is_of_its_type,
    metric_is_positive,
    inputs_are_untouched,
    same_in_same_out,
    arrays_keep_their_kind,
    scaling_epsilon_keeps_the_type,
    back_ends_agree,
)
PRECONDITIONER_LAWS: dict[str, Law[PreconditionerTrial]] = {law.__name__: law for law in _LAWS}
"""The laws of preconditioners by name; the first line of a law's docstring is its formula."""


def check_preconditioner(
    preconditioner: Preconditioner[Any],
    shape: tuple[int, ...] = (2, 3),
    *,
    laws: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    examples: int = 10,
    rounding: float = 16.0,
) -> None:
    """Raise LawBroken where the preconditioner breaks a law of preconditioners.

        def test_my_metric():
            check_preconditioner(MyMetric(epsilon=1e-8), (3, 4))

    shape: of the gradients;  the other arguments as in `check_regularizer`; rounding counts units in the last place of
    the metric.
    """

    def trial(backend: Backend, data: st.DataObject) -> PreconditionerTrial:
        return PreconditionerTrial(preconditioner, shape, backend, data, rounding)

    hold(f"{preconditioner!r} on {shape}", chosen(PRECONDITIONER_LAWS, laws), trial, (backends, examples))
