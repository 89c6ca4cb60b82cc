"""The one loop body: every method of the project is a choice of parts for it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from array_api_compat import array_namespace, is_array_api_obj

from optkit import validate
from optkit.core import (
    Array,
    Averaging,
    Clock,
    ConvergenceWarning,
    GradientEstimator,
    Preconditioner,
    Regularizer,
    Solution,
    StoppingRule,
    Subproblem,
    SubproblemSolver,
    Weighting,
)
from optkit.solvers import Automatic

from .averaging import ConstantAveraging


class MethodState(NamedTuple):
    """What a method remembers of one array.

    t: steps since the start or the last restart;  anchor: W_0 where the method is anchored there, else None;
    solution: What_t where it can not be computed again (previous anchor and averaging < 1), else None;
    estimator, preconditioner: the states of these parts.
    """

    t: int
    anchor: Array | None
    solution: Array | None
    estimator: Any
    preconditioner: Any


class Step(NamedTuple):
    """w: W_t;  state: the state after the step;  solution: the subproblem's Solution, whose point is What_t."""

    w: Array
    state: MethodState
    solution: Solution

    def finite(self) -> Array:
        """Whether W_t and all arrays of the state are finite, a 0-d array: an overflow in a sum would stay for ever."""
        xp = array_namespace(self.w)
        arrays = [a for a in (*self.state.estimator, *self.state.preconditioner) if is_array_api_obj(a)]
        return xp.all(xp.stack([xp.all(xp.isfinite(a)) for a in (self.w, *arrays)]))


def warn_uncertified(where: str, iterations: int, residual: Array | float) -> None:
    """Warn of a solve that stopped at its iteration limit. Front ends do it for the first one, and count them all."""
    warnings.warn(
        f"{where}: the subproblem's solver stopped at its limit of {iterations} iterations with residual "
        f"{float(residual):.2g}; raise max_iterations, loosen the stopping rule or choose an exact solver "
        "(further ones are only counted, as `uncertified`)",
        ConvergenceWarning,
        stacklevel=3,
    )


@dataclass(frozen=True)
class ProximalMethod:
    """W_t = (1 - c_t) W_{t-1} + c_t What_t, where What_t solves the subproblem that the parts build.

    A method is a value: a schedule makes a new one with `replace`. All arrays passed to one call are regularized by
    the same psi, each on its own.

    psi, estimator, preconditioner, solver, weighting, averaging: the parts;  stopping: the rule handed to the solver,
    or None for the solver's own;  anchor: "initial" (dual averaging) or "previous";  lr: the learning rate, >= 0;
    weight_decay: >= 0, W_{t-1} is multiplied by 1 - lr * weight_decay before the step;  decay: "before", or
    "after" the move along the gradient, which then is multiplied too.

    Raises TypeError or ValueError naming the field for a part of the wrong kind or a number out of range.

    Reference: RAMDA paper (NeurIPS 2024), Algorithm 1 and equations (4) to (6).
    """

    psi: Regularizer
    estimator: GradientEstimator[Any]
    preconditioner: Preconditioner[Any]
    weighting: Weighting
    anchor: Literal["initial", "previous"]
    lr: float
    averaging: Averaging = field(default_factory=lambda: ConstantAveraging(1.0))
    weight_decay: float = 0.0
    decay: Literal["before", "after"] = "before"
    solver: SubproblemSolver = field(default_factory=Automatic)
    stopping: StoppingRule | None = None

    def __post_init__(self) -> None:
        validate.instance("psi", self.psi, Regularizer, "for example optkit.regularizers.GroupLasso(1e-4, axes=0)")
        validate.instance("estimator", self.estimator, GradientEstimator, "for example DualAveraging()")
        validate.instance("preconditioner", self.preconditioner, Preconditioner, "for example CubeRoot()")
        validate.instance("weighting", self.weighting, Weighting, "for example SqrtWeighting()")
        validate.instance("averaging", self.averaging, Averaging, "for example ConstantAveraging(0.01)")
        validate.instance("solver", self.solver, SubproblemSolver, "for example optkit.solvers.SecularNewton()")
        if self.stopping is not None:
            validate.instance("stopping", self.stopping, StoppingRule, "for example SubgradientNorm(1e-6), or None")
        validate.choice("anchor", self.anchor, ("initial", "previous"))
        validate.choice("decay", self.decay, ("before", "after"))
        validate.store(self, lr=validate.nonnegative("lr", self.lr))
        validate.store(self, weight_decay=validate.nonnegative("weight_decay", self.weight_decay))
        if self.weight_decay and self.anchor == "initial":
            raise ValueError(f"weight_decay must be 0 for a method anchored at W_0, got {self.weight_decay}; use psi")

    def clock(self, t: int) -> Clock:
        """The clock of step t >= 1."""
        return Clock(t, self.weighting.gain(self.lr, t))

    def init(self, w: Array) -> MethodState:
        """The state before the first step from w: S. Raises what `check` raises."""
        self.check("w", w)
        anchor = array_namespace(w).asarray(w, copy=True) if self.anchor == "initial" else None
        return MethodState(0, anchor, None, self.estimator.init(w), self.preconditioner.init(w))

    restart = init  # forget both accumulators and anchor at the present point

    def check(self, name: str, w: Array) -> None:
        """Raise TypeError or ValueError, naming the array, when the method can not work on arrays like w."""
        validate.floating(name, w)
        try:
            self.psi.check(tuple(w.shape))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def subproblem_scale(self, state: MethodState) -> float:
        """How many times the paper's Q_t the subproblem of step state.t is."""
        return self.clock(state.t).gain if state.anchor is None else 1.0

    def subproblem(self, w: Array, state: MethodState) -> Subproblem:
        """The subproblem of step state.t, whose gradient is in the state already.  w: the previous anchor."""
        clock = self.clock(state.t)
        linear, weight = self.estimator.linear(state.estimator, clock)
        if self.weight_decay and self.decay == "after":
            linear = (1 - self.lr * self.weight_decay) * linear
        metric = self.preconditioner.metric(state.preconditioner, clock)
        anchor = w if state.anchor is None else state.anchor
        return Subproblem(linear, anchor, metric, weight, self.subproblem_scale(state))

    def update(self, grad: Array, state: MethodState) -> MethodState:
        """The state after grad: S entered."""
        clock = self.clock(state.t + 1)
        estimator = self.estimator.update(grad, clock, state.estimator)
        preconditioner = self.preconditioner.update(grad, clock, state.preconditioner)
        return MethodState(clock.t, state.anchor, None, estimator, preconditioner)

    def solve_all(self, ws: Sequence[Array], states: Sequence[MethodState]) -> list[Solution]:
        """The solution of `subproblem` for each array, from w: S; those of the same step in one call of the solver."""
        found: dict[int, Solution] = {}
        for t in dict.fromkeys(state.t for state in states):
            places = [i for i, state in enumerate(states) if state.t == t]
            problems = (self.subproblem(ws[i], states[i]) for i in places)
            stopping = None if self.stopping is None else self.stopping.at(t)
            solutions = self.solver.solve_all(problems, self.psi, [ws[i] for i in places], stopping)
            found |= dict(zip(places, solutions, strict=True))
        return [found[i] for i in range(len(ws))]

    def step(self, w: Array, grad: Array, state: MethodState) -> Step:
        """One step from w: S with the gradient at w: S. Leaves its arguments as they are."""
        return self.step_all([w], [grad], [state])[0]

    def decayed(self, w: Array) -> Array:
        """W_{t-1} after weight decay, where the step begins.  w: S."""
        return (1 - self.lr * self.weight_decay) * w if self.weight_decay else w

    def step_all(self, ws: Sequence[Array], grads: Sequence[Array], states: Sequence[MethodState]) -> list[Step]:
        """One step for each array of a list: the reference for the fused kernels of optkit.kernels."""
        ws = [self.decayed(w) for w in ws]
        states = [self.update(grad, state) for grad, state in zip(grads, states, strict=True)]
        return list(map(self._average, ws, states, self.solve_all(ws, states)))

    def _average(self, w: Array, state: MethodState, solution: Solution) -> Step:
        c = self.averaging.weight(state.t)
        if c == 1.0:
            return Step(solution.point, state, solution)
        if self.anchor == "previous":
            state = state._replace(solution=solution.point)
        return Step((1.0 - c) * w + c * solution.point, state, solution)

    def structured(self, w: Array, state: MethodState) -> Array:
        """What_t, which has the structure, for the iterate w = W_t: solved again from the state where that is possible.

        Before the first step, and right after a restart, it is w. psi and lr are those of this method: hand in the one
        that took the step.
        """
        if state.t == 0:
            return w
        if self.anchor == "previous":
            return w if state.solution is None else state.solution
        return self.solve_all([w], [state])[0].point

    def scale(self, lr: float = 1.0, epsilon: float = 1.0) -> ProximalMethod:
        """The same method with its learning rate and the metric's epsilon multiplied by these factors."""
        return replace(self, lr=self.lr * lr, preconditioner=self.preconditioner.scale_epsilon(epsilon))
