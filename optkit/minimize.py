"""The driver for array problems: numpy, torch, cupy or any other array API library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from optkit import validate
from optkit.algorithms import MethodState, ProximalMethod, Stages, warn_uncertified
from optkit.core import Array, Solution


class Problem(Protocol):
    """What `minimize` asks of a problem: where to start, and stochastic gradients of its smooth part f."""

    @property
    def start(self) -> Array:
        """W_0, an array of floating-point numbers."""

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        """A (stochastic) gradient of f at w, drawn with rng; same shape, dtype and back end as w."""


class Progress(NamedTuple):
    """What a callback sees after a step: steps taken, W_t, the method in force, its state, the Solution (What_t)."""

    steps: int
    w: Array
    method: ProximalMethod
    state: MethodState
    solution: Solution


@dataclass(frozen=True)
class Result:
    """w: W_T;  structured: What_T, which has the structure;  steps: taken;  uncertified: how many subproblem solves
    stopped at their iteration limit;  method, state: to go on from here with `method.step(w, gradient, state)`."""

    w: Array
    structured: Array
    steps: int
    uncertified: int
    method: ProximalMethod
    state: MethodState


def minimize(
    problem: Problem,
    method: ProximalMethod,
    *,
    steps: int,
    seed: int = 0,
    stages: Stages | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
) -> Result:
    """Minimise F(w) = f(w) + psi(w) with `steps` steps of the method; psi is part of the method.

    problem: see Problem;  steps: >= 0;  seed: for the generator handed to the gradients;  stages: the schedule, in
    steps;  callback: called after every step, the run ends where it returns True.

    Raises ValueError or TypeError, before the first step, for a start that is no floating-point array, not finite, or
    that psi does not fit; ValueError naming the step for a gradient that is not finite or of another shape or dtype,
    and for an overflow. Warns (ConvergenceWarning) of the first subproblem solve that stops at its iteration limit.
    """
    validate.instance("method", method, ProximalMethod, "for example optkit.algorithms.ramda(L1(1e-3))")
    steps = validate.count("steps", steps, least=0)
    stages = stages or Stages()
    validate.instance("stages", stages, Stages, "for example Stages(milestones=(1000, 2000))")
    if not hasattr(problem, "start") or not hasattr(problem, "gradient"):
        raise TypeError(f"problem must have a start and a gradient(w, rng), got {type(problem).__name__}; see Problem")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, got {validate.given(callback)}")
    w, rng = _constant(problem.start), np.random.default_rng(validate.count("seed", seed, least=0))
    method.check("problem.start", w)
    _finite("problem.start", w)
    now, state, uncertified, taken = method, method.init(w), 0, 0
    while taken < steps:
        if stages.begins(taken):
            state = now.restart(w) if now.anchor == "initial" else state
        now = stages.method(method, taken)
        grad = _constant(problem.gradient(w, rng))
        _matches(f"the gradient of step {taken + 1}", grad, w)
        step = now.step(w, grad, state)
        if not bool(step.finite()):
            raise ValueError(f"step {taken + 1} overflows; lower lr ({now.lr}) or scale the problem")
        w, state, solution = step
        taken += 1
        if not bool(solution.converged):
            uncertified += 1
            if uncertified == 1:
                warn_uncertified(f"step {taken}", solution.iterations, solution.residual)
        if callback is not None and callback(Progress(taken, w, now, state, solution)):
            break
    return Result(w, now.structured(w, state), taken, uncertified, now, state)


def _constant(array: Array) -> Array:
    """The array, without a graph for automatic differentiation."""
    return array.detach() if is_torch_array(array) else array


def _finite(name: str, array: Array) -> None:
    xp = array_namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"{name} must be finite, but it holds NaN or infinity; lower lr or mend the problem's data")


def _matches(name: str, grad: Array, w: Array) -> None:
    validate.floating(name, grad)
    if grad.shape != w.shape or grad.dtype != w.dtype:
        raise ValueError(
            f"{name} must have the shape {tuple(w.shape)} and dtype {w.dtype} of the start, "
            f"got {tuple(grad.shape)} and {grad.dtype}"
        )
    _finite(name, grad)
