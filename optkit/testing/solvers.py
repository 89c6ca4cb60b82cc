"""The laws of subproblem solvers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

import optkit.solvers
from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.solvers import FixedIterations, RelativeDecrease, SubgradientNorm

from .backends import Backend, host, kind, size
from .drawing import Shape, floats
from .running import Law, chosen, hold, law
from .trial import Make

T = TypeVar("T")


@dataclass(frozen=True)
class Pairing:
    """A subproblem that the solver may or may not support, and a point to start from: S."""

    solver: SubproblemSolver
    psi: Regularizer
    problem: Subproblem
    start: Array

    @property
    def supported(self) -> bool:
        return self.solver.supports(self.psi, self.problem) is None

    @property
    def modulus(self) -> float:
        """The smallest entry of the metric."""
        return float(np.min(host(self.problem.metric), initial=math.inf))

    def solve(self, rule: StoppingRule | None = None) -> Solution:
        return self.solver.solve(self.problem, self.psi, self.start, rule)

    def residual(self, w: Array) -> float:
        return float(self.problem.residual(w, self.psi))

    def terms(self, w: Array) -> float:
        """The size of the terms of a subgradient at w, which its rounding error is relative to."""
        p, apart = self.problem, np.abs(host(w)) + np.abs(host(self.problem.anchor))
        total = size(p.linear) + size(host(p.metric) * apart)
        if p.weight == 0:
            return total
        return total + p.weight * size(self.psi.project_subdifferential(w, -p.gradient(w) / p.weight))

    def objective(self, w: Array) -> tuple[float, float]:
        """Q(w), and the sum of its terms without their signs."""
        p, move = self.problem, np.abs(host(w) - host(self.problem.anchor))
        smooth = float(np.sum(move * (np.abs(host(p.linear)) + host(p.metric) * (move + np.abs(host(w))))))
        penalty = abs(p.weight * float(self.psi.value(w))) if p.weight else 0.0
        return float(p.objective(w, self.psi)), smooth + penalty


@dataclass(frozen=True)
class SolverTrial:
    """One example: the solver, the part it solves for, and the source of what is drawn.  rounding: see check_solver."""

    solver: SubproblemSolver
    make: Make
    shape: Shape
    backend: Backend
    data: st.DataObject
    rounding: float = 16.0

    @property
    def ulps(self) -> float:
        """The relative error that is allowed."""
        return self.rounding * self.backend.eps * math.sqrt(max(math.prod(self.shape), 1))

    def pick(self, *choices: T) -> T:
        """One of the choices."""
        return self.data.draw(st.sampled_from(choices))

    def pairing(self, weight: float | None = None) -> Pairing:
        """Metrics of one number, constant on blocks, or any of condition up to 1e4."""
        psi = self.make(self.pick(0.4, 0.1, 1.0))
        linear, anchor, power, start = (self.backend.array(self.data.draw(floats(self.shape))) for _ in range(4))
        metric: Any = 10.0 ** (power * self.pick(1 / 6, 2 / 3))
        constant = psi.block_max(metric) if math.prod(self.shape) else metric  # the largest of no entries is 0
        metric = self.pick(metric, constant, 2.0)
        weight = self.pick(0.7, 0.0, 3.0) if weight is None else weight
        problem = Subproblem(linear, anchor, metric, weight, self.pick(1.0, 1 / 64))
        return Pairing(self.solver, psi, problem, start)

    def rule(self) -> StoppingRule:
        """A stopping rule of each kind, with a limit that is soon reached."""
        limit = self.pick(20, 1, 3)
        return self.pick(SubgradientNorm(1e-3, limit), RelativeDecrease(1e-3, 1, limit), FixedIterations(limit))

    def slack(self, pairing: Pairing, w: Array) -> float:
        """The rounding error of a residual at w."""
        return self.ulps * pairing.terms(w)


def unsupported_is_refused(trial: SolverTrial) -> None:
    """Where supports gives a reason, solve raises ValueError with the same words."""
    pairing = trial.pairing()
    reason = trial.solver.supports(pairing.psi, pairing.problem)
    if reason is None:
        return
    try:
        pairing.solve()
    except ValueError as error:
        law(str(error) == reason, f"solve says {error}, supports {reason}")
    else:
        law(False, f"solve goes on although supports says: {reason}")


def arrays_keep_their_kind(trial: SolverTrial) -> None:
    """The point has the namespace, dtype, device and shape of the start; residual and converged are single values."""
    pairing = trial.pairing()
    if not pairing.supported:
        return
    solution = pairing.solve(trial.rule())
    law(kind(solution.point) == kind(pairing.start), f"{kind(solution.point)} for {kind(pairing.start)}")
    law(tuple(solution.point.shape) == trial.shape, f"the point has the shape {tuple(solution.point.shape)}")
    law(np.ndim(host(solution.residual)) == 0 and np.ndim(host(solution.converged)) == 0, "not one number")


def inputs_are_untouched(trial: SolverTrial) -> None:
    """solve changes no array it is given."""
    pairing = trial.pairing()
    if not pairing.supported:
        return
    p = pairing.problem
    given = (p.linear, p.anchor, p.metric, pairing.start)
    before = [host(a) for a in given]
    pairing.solve(trial.rule())
    for a, b in zip(given, before, strict=True):
        law(host(a) == b, f"{b} has become {host(a)}")


def iterations_are_within_the_rule(trial: SolverTrial) -> None:
    """0 <= iterations <= max_iterations of the rule."""
    pairing, rule = trial.pairing(), trial.rule()
    if not pairing.supported:
        return
    solution = pairing.solve(rule)
    law(0 <= solution.iterations <= rule.max_iterations, f"{solution.iterations} of {rule.max_iterations}")


def residual_is_honest(trial: SolverTrial) -> None:
    """Subproblem.residual at the point is at most the residual that is reported, up to rounding."""
    pairing = trial.pairing()
    if not pairing.supported:
        return
    for rule in (trial.rule(), FixedIterations(1)):
        solution = pairing.solve(rule)
        true, told = pairing.residual(solution.point), float(solution.residual)
        law(true <= told + trial.slack(pairing, solution.point), f"the residual is {true}, reported {told}, by {rule}")


def converged_means_stationary(trial: SolverTrial) -> None:
    """Without a rule, converged: the residual is at most 1e-5 of the terms of a subgradient."""
    pairing = trial.pairing()
    if not pairing.supported:
        return
    solution = pairing.solve()
    true, terms = pairing.residual(solution.point), pairing.terms(solution.point)
    good = true <= 1e-5 * terms + trial.slack(pairing, solution.point)
    law(good or not bool(solution.converged), f"converged, with residual {true} of {terms}")


def converged_means_condition_7(trial: SolverTrial) -> None:
    """converged under SubgradientNorm(epsilon): residual <= scale epsilon, and Q(point) <= Q(start)."""
    pairing, rule = trial.pairing(), SubgradientNorm(trial.pick(1e-3, 1e-9), trial.pick(20, 1, 3))
    if not pairing.supported:
        return
    solution = pairing.solve(rule)
    if not bool(solution.converged):
        law(solution.iterations == rule.max_iterations, f"gave up after {solution.iterations} iterations")
        return
    true, bound = pairing.residual(solution.point), pairing.problem.scale * rule.epsilon
    law(true <= bound + trial.slack(pairing, solution.point), f"converged, with residual {true} > {bound}")
    (now, terms), (first, others) = pairing.objective(solution.point), pairing.objective(pairing.start)
    law(now <= first + trial.ulps * (terms + others), f"Q rose from {first} to {now}")


def objective_does_not_rise(trial: SolverTrial) -> None:
    """Q(point) <= Q(start) + residual^2 / (2 m), m the modulus of strong convexity of Q.

    Where Q is not strongly convex: Q(point) <= Q(start) for a converged point.
    """
    pairing, rule = trial.pairing(), trial.rule()
    if not pairing.supported:
        return
    solution, weight = pairing.solve(rule), pairing.problem.weight
    modulus = pairing.modulus - (weight * pairing.psi.weak_convexity if weight else 0.0)
    if modulus <= 0 and (isinstance(rule, FixedIterations) or not bool(solution.converged)):
        return
    room = pairing.residual(solution.point) ** 2 / (2 * modulus) if modulus > 0 else 0.0
    (now, terms), (first, others) = pairing.objective(solution.point), pairing.objective(pairing.start)
    law(now <= first + room + trial.ulps * (terms + others), f"Q rose from {first} to {now}, with room {room}")


def without_weight_it_is_a_gradient_step(trial: SolverTrial) -> None:
    """weight 0: ||metric (point - (anchor - linear / metric))|| is at most the reported residual."""
    pairing = trial.pairing(weight=0.0)
    if not pairing.supported:
        return
    solution, p = pairing.solve(), pairing.problem
    error = host(p.metric) * (host(solution.point) - host(p.anchor)) + host(p.linear)
    law(
        size(error) <= float(solution.residual) + trial.slack(pairing, solution.point),
        f"the point {host(solution.point)} is off by {error}, metric {host(p.metric)}",
    )


def solvers_agree(trial: SolverTrial) -> None:
    """convex psi: points of residuals r and s are at most (r + s) / min metric apart, by any solvers."""
    pairing = trial.pairing()
    if not (pairing.supported and pairing.psi.convex):
        return
    rule, modulus = SubgradientNorm(1e-6, trial.pick(30, 200)), min(pairing.modulus, 1e300)
    points = [pairing.solve(rule).point]
    for other in _solvers():
        if other.supports(pairing.psi, pairing.problem) is None:
            points.append(replace(pairing, solver=other).solve(rule).point)
    errors: list[float] = [pairing.residual(w) + trial.slack(pairing, w) for w in points]
    for point, error in zip(points[1:], errors[1:], strict=True):
        gap = size(host(point) - host(points[0]))
        law(gap <= (error + errors[0]) / modulus, f"points {gap} apart, with residuals {error} and {errors[0]}")


def _solvers() -> list[SubproblemSolver]:
    parts = [getattr(optkit.solvers, name) for name in optkit.solvers.__all__]
    return [part() for part in parts if issubclass(part, SubproblemSolver) and not inspect.isabstract(part)]


_LAWS: tuple[Law[SolverTrial], ...] = (
    unsupported_is_refused,
    arrays_keep_their_kind,
    inputs_are_untouched,
    iterations_are_within_the_rule,
    residual_is_honest,
    converged_means_stationary,
    converged_means_condition_7,
    objective_does_not_rise,
    without_weight_it_is_a_gradient_step,
    solvers_agree,
)
SOLVER_LAWS: dict[str, Law[SolverTrial]] = {law.__name__: law for law in _LAWS}
"""The laws of solvers by name; the first line of a law's docstring is its formula."""


def check_solver(
    solver: SubproblemSolver,
    psi: Regularizer | Make,
    shape: tuple[int, ...],
    *,
    laws: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    examples: int = 5,
    rounding: float = 16.0,
) -> None:
    """Raise LawBroken where the solver breaks a law of solvers on subproblems with psi.

        def test_my_solver():
            check_solver(MySolver(), GroupLasso(0.3, axes=0), (3, 4))

    Problems that the solver does not support must be refused, and are no examples of the other laws.  Arguments as in
    `check_regularizer`; rounding counts units in the last place of the terms of a subgradient.
    """
    made: Any = psi
    make: Make = (lambda strength: made) if isinstance(psi, Regularizer) else psi

    make(1.0).check(shape)

    def trial(backend: Backend, data: st.DataObject) -> SolverTrial:
        return SolverTrial(solver, make, shape, backend, data, rounding)

    hold(f"{solver!r} for {make(1.0)!r} on {shape}", chosen(SOLVER_LAWS, laws), trial, (backends, examples))
