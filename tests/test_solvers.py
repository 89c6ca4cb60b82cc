"""Solvers agree wherever they support a pairing, stop when their rule says so, and say honestly how far they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optkit.core import Array, Reached, Regularizer, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import L1, GroupLasso, Zero
from optkit.solvers import (
    AcceleratedProximalGradient,
    Automatic,
    ClosedForm,
    FixedIterations,
    NewtonRaphson,
    ProximalGradient,
    RelativeDecrease,
    SecularNewton,
    SubgradientNorm,
)
from optkit.testing import SOLVER_LAWS, check_solver

from .cases import BACKENDS, EACH_BACKEND, EACH_CASE, REGULARIZERS, Backend, Case, examples, floats, host

NUMPY = BACKENDS["numpy64"]
SOLVERS = (
    Automatic(),
    ClosedForm(),
    SecularNewton(),
    NewtonRaphson(),
    ProximalGradient(),
    ProximalGradient(backtracking=True),
    ProximalGradient(local=True),
    AcceleratedProximalGradient(),
)


# --- what is drawn ----------------------------------------------------------------------------------------------------


class Draw(NamedTuple):
    """A subproblem for psi and a point to start from."""

    problem: Subproblem
    psi: Regularizer
    start: Array

    @property
    def size(self) -> float:
        """The size of the terms of a subgradient near the solution, which its rounding error is relative to."""
        p = self.problem
        metric = np.broadcast_to(host(p.metric), p.anchor.shape)
        strengths = p.weight * host(self.psi.project_subdifferential(p.anchor, 1e3 + p.anchor))
        terms = (host(p.linear), metric * host(p.anchor), strengths, np.max(metric, initial=1.0))
        return float(sum(np.linalg.norm(term) for term in terms))

    def residual(self, w: Array) -> float:
        return float(self.problem.residual(w, self.psi))

    def objective(self, w: Array) -> float:
        return float(self.problem.objective(w, self.psi))


METRICS = {
    "one number": lambda psi, metric: 2.0,
    "constant on blocks": lambda psi, metric: psi.block_max(metric),
    "any": lambda psi, metric: metric,
}
EACH_METRIC = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@st.composite
def draws(draw: st.DrawFn, case: Case, backend: Backend, metric: Callable[[Regularizer, Array], Any]) -> Draw:
    """Metrics of condition up to 10; solutions with and without zeros."""
    psi = case.make(draw(st.sampled_from([0.1, 0.4, 1.0])))
    linear, anchor, logarithm, start = (backend.array(draw(floats(case.shape))) for _ in range(4))
    diagonal = metric(psi, 10 ** (logarithm / 6))
    return Draw(Subproblem(linear, anchor, diagonal, draw(st.sampled_from([0.0, 0.7, 3.0]))), psi, start)


def random_draw(psi: Regularizer, seed: int, condition: float = 10.0, backend: Backend = NUMPY) -> Draw:
    """A subproblem for 6 x 20 numbers that grow from row to row and column to column, with a general metric."""
    rng = np.random.default_rng(seed)
    size = np.outer(np.linspace(0.2, 2, 6), np.linspace(0.1, 2, 20))
    linear, anchor, start = (backend.array(size * a) for a in rng.standard_normal((3, 6, 20)))
    metric = backend.array(condition ** rng.uniform(-0.5, 0.5, (6, 20)))
    return Draw(Subproblem(linear, anchor, metric, 0.7), psi, start)


COLUMNS = GroupLasso(1.5, axes=0)
HARD = random_draw(COLUMNS, seed=0, condition=100.0)
"""20 groups of which some are zero in the solution; the proximal gradient method takes hundreds of iterations."""
EXACT = SecularNewton().solve(*HARD).point


# --- the solution -----------------------------------------------------------------------------------------------------


PAIRINGS = [
    *((solver, "GroupLasso, columns") for solver in SOLVERS),
    *((Automatic(), name) for name in REGULARIZERS),
    *((ProximalGradient(), name) for name in ("L1", "GroupLasso, input channels", "MCP, firm", "Levels")),
    (ClosedForm(), "Cardinality"),
    (NewtonRaphson(), "GroupMCP, firm"),
    (SecularNewton(), "SparseGroupLasso"),
    (AcceleratedProximalGradient(), "ElasticNet"),
]


@pytest.mark.parametrize("law", SOLVER_LAWS)
@pytest.mark.parametrize(("solver", "name"), PAIRINGS, ids=lambda value: str(value).partition("(")[0])
def test_the_laws_hold(solver: SubproblemSolver, name: str, law: str) -> None:
    case = REGULARIZERS[name]
    for backends, count in ((["numpy64"], 6), (["numpy32", "torch32", "strict64"], 2)):
        check_solver(solver, case.make, case.shape, laws=[law], backends=backends, examples=count)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("psi", [L1(0.9), COLUMNS], ids=["L1", "GroupLasso"])
@pytest.mark.parametrize("solver", [Automatic(), ProximalGradient()], ids=["Automatic", "ProximalGradient"])
def test_the_solution_is_that_of_cvxpy(solver: SubproblemSolver, psi: Regularizer, seed: int) -> None:
    cvxpy = pytest.importorskip("cvxpy", reason="compares with cvxpy, which is not installed")
    drawn = random_draw(psi, seed)
    problem, w = drawn.problem, cvxpy.Variable(drawn.start.shape)
    move = w - problem.anchor
    smooth = cvxpy.sum(cvxpy.multiply(problem.linear, move)) + cvxpy.sum(cvxpy.multiply(problem.metric / 2, move**2))
    norm = cvxpy.sum(cvxpy.abs(w)) if isinstance(psi, L1) else 6**0.5 * cvxpy.sum(cvxpy.norm(w, axis=0))
    penalty = problem.weight * psi.strength * norm  # type: ignore[attr-defined]
    least, point = (
        cvxpy.Problem(cvxpy.Minimize(smooth + penalty)).solve(solver=cvxpy.CLARABEL),
        solver.solve(*drawn).point,
    )
    assert drawn.objective(point) == pytest.approx(least, rel=0, abs=1e-6)
    np.testing.assert_allclose(
        point, w.value, rtol=0, atol=1e-3
    )  # Clarabel's points are as good as sqrt of its objective


# --- pairings that do not work ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solver", "psi", "words"),
    [
        (ClosedForm(), COLUMNS, "ClosedForm needs a metric constant on the blocks of GroupLasso; use SecularNewton"),
        (
            SecularNewton(),
            L1(0.1),
            "SecularNewton needs a function of the norms of groups, such as GroupLasso, got L1; use ClosedForm",
        ),
        (
            SecularNewton(),
            Zero(),
            "SecularNewton needs a function of the norms of groups, such as GroupLasso, got Zero; use ClosedForm",
        ),
    ],
    ids=repr,
)
def test_solve_refuses_in_the_words_of_supports(solver: SubproblemSolver, psi: Regularizer, words: str) -> None:
    reason = solver.supports(psi, HARD.problem)
    assert reason is not None
    with pytest.raises(ValueError, match=words) as error:
        solver.solve(HARD.problem, psi, HARD.start)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("psi", "metric", "chosen"),
    [
        (Zero(), np.ones((2, 2)), ClosedForm),
        (L1(1.0), np.ones((2, 2)), ClosedForm),
        (COLUMNS, 2.0, ClosedForm),
        (COLUMNS, np.ones((2, 2)), SecularNewton),
    ],
)
def test_automatic_chooses_an_exact_solver(psi: Regularizer, metric: Any, chosen: type) -> None:
    w = np.ones((2, 2))
    assert type(Automatic().choose(psi, Subproblem(w, w, metric, 1.0))) is chosen


def test_automatic_waits_for_no_value() -> None:
    """On a device without data every look at a value raises."""
    w = torch.ones((3, 4), device="meta")
    for psi, metric, rule in (
        (Zero(), w, None),
        (L1(1.0), w, None),
        (COLUMNS, 2.0, None),
        (COLUMNS, w, FixedIterations(3)),
    ):
        assert Automatic().solve(Subproblem(w, w, metric, 1.0), psi, w, rule).point.device == w.device


# --- the proximal gradient method -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched(StoppingRule):
    """Another rule, with the points it saw and what it said."""

    rule: StoppingRule
    points: list[Array] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)

    @property
    def max_iterations(self) -> int:
        return self.rule.max_iterations

    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        reached = self.rule.begin(problem, psi, start)

        def watched(point: Array, previous: Array, iteration: int) -> bool:
            self.points.append(point)
            self.answers.append(reached(point, previous, iteration))
            assert iteration == len(self.points)
            return self.answers[-1]

        return watched


@EACH_BACKEND
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("psi", [L1(0.7), COLUMNS, GroupLasso(0.9, axes=-1)], ids=repr)
def test_the_zero_blocks_are_found_at_once_and_exactly(backend: Backend, seed: int, psi: Regularizer) -> None:
    drawn = random_draw(psi, seed, backend=backend)
    exact = Automatic().solve(*drawn).point
    zero = host(exact) == 0
    assert np.any(zero) and not np.all(zero)
    once = ProximalGradient().solve(*drawn, FixedIterations(1)).point
    assert np.all(host(once)[zero] == 0), "a zero block that was not found"
    converged = ProximalGradient(SubgradientNorm(64 * backend.eps * drawn.size)).solve(*drawn).point
    assert psi.manifold(converged) == psi.manifold(exact), "a block that was taken for zero"


@pytest.mark.parametrize("psi", [COLUMNS, GroupLasso(0.3, axes=1), GroupLasso(1.0, axes=(0, 1))], ids=repr)
def test_the_objective_falls_in_every_iteration(psi: Regularizer) -> None:
    drawn, watched = HARD._replace(psi=psi), Watched(FixedIterations(200))
    ProximalGradient().solve(*drawn, watched)
    values = [drawn.objective(point) for point in watched.points]
    assert all(after <= before + 1e-13 * abs(before) for before, after in zip(values, values[1:], strict=False))
    assert values[0] > values[-1] + 1e-3


@pytest.mark.parametrize("psi", [Zero(), L1(0.7)], ids=repr)
def test_one_iteration_solves_what_is_separable(psi: Regularizer) -> None:
    solution = ProximalGradient(SubgradientNorm(1e-12)).solve(*HARD._replace(psi=psi))
    assert solution.converged and solution.iterations == 1


@EACH_CASE
@examples(10)
@given(data=st.data())
def test_a_solve_that_begins_at_the_solution_ends_there(case: Case, data: st.DataObject) -> None:
    drawn = data.draw(draws(case, NUMPY, METRICS["any"]))
    exact = Automatic().solve(*drawn).point
    again = ProximalGradient().solve(drawn.problem, drawn.psi, exact)
    assert again.converged and again.iterations == 1
    np.testing.assert_allclose(again.point, exact, rtol=0, atol=1e-12)


def test_a_solve_ends_at_once_at_the_solution_where_the_terms_of_q_cancel() -> None:
    """There the rounding error of Q is large against Q itself, which is no reason to go on."""
    for seed in range(20):
        linear, anchor, metric, weight = unpack(random_draw(COLUMNS, seed).problem)
        low, high = 0.0, 10.0
        for _ in range(50):  # Q at the solution falls through 0 as the linear term grows
            factor = (low + high) / 2
            problem = Subproblem(factor * linear, anchor, metric, weight / 10)
            exact = SecularNewton().solve(problem, COLUMNS, anchor).point
            low, high = (factor, high) if problem.objective(exact, COLUMNS) > 0 else (low, factor)
        assert abs(problem.objective(exact, COLUMNS)) < 1e-12
        again = ProximalGradient().solve(problem, COLUMNS, exact)
        assert again.converged and again.iterations == 1


def unpack(problem: Subproblem) -> tuple[Array, Array, Array, float]:
    return problem.linear, problem.anchor, problem.metric, problem.weight


# --- stopping rules ---------------------------------------------------------------------------------------------------


def test_not_converging_is_a_result_and_the_residual_is_honest() -> None:
    solution = ProximalGradient().solve(*HARD, SubgradientNorm(1e-8, max_iterations=1))
    assert (solution.converged, solution.iterations) == (False, 1)
    assert float(solution.residual) == HARD.residual(solution.point) > 1e-2


@pytest.mark.parametrize("epsilon", [1e-1, 1e-4, 1e-8])
@pytest.mark.parametrize("solver", [ProximalGradient(), SecularNewton()], ids=["ProximalGradient", "SecularNewton"])
def test_subgradient_norm_is_condition_7(solver: SubproblemSolver, epsilon: float) -> None:
    watched = Watched(SubgradientNorm(epsilon, max_iterations=3000))
    solution = solver.solve(*HARD, watched)
    assert solution.converged and HARD.residual(solution.point) <= epsilon
    assert HARD.objective(solution.point) <= HARD.objective(HARD.start)
    assert all(HARD.residual(point) > epsilon for point in watched.points[:-1]), "it could have stopped before"


def test_subgradient_norm_is_of_the_papers_q_and_not_of_a_multiple() -> None:
    """A power of 2 times Q, with that as its scale, is solved in the same iterations to the same point."""
    p, rule = HARD.problem, SubgradientNorm(1e-6, max_iterations=3000)
    scaled = Subproblem(p.linear / 64, p.anchor, p.metric / 64, p.weight / 64, scale=1 / 64)
    plain, other = (ProximalGradient().solve(problem, HARD.psi, HARD.start, rule) for problem in (p, scaled))
    assert plain.converged and other.converged and plain.iterations == other.iterations > 1
    assert np.array_equal(plain.point, other.point) and float(other.residual) == float(plain.residual) / 64


def test_subgradient_norm_refuses_a_point_that_is_worse_than_the_start() -> None:
    """Even where the residual is small enough: both halves of (7) are needed."""
    reached = SubgradientNorm(1e6).begin(HARD.problem, HARD.psi, EXACT)
    assert reached(EXACT, EXACT, 1)
    assert not reached(EXACT + 1e-4, EXACT, 1)
    assert not SubgradientNorm(1e-6).begin(HARD.problem, HARD.psi, HARD.start)(EXACT + 1e-4, EXACT, 1)


@pytest.mark.parametrize(("rtol", "least"), [(1e-1, 2), (1e-3, 2), (1e-8, 2), (1e6, 1), (1e6, 9)])
def test_relative_decrease_compares_two_iterates(rtol: float, least: int) -> None:
    """On the groups that are not zero in the solution."""
    watched = Watched(RelativeDecrease(rtol, min_iterations=least, max_iterations=1000))
    solution = ProximalGradient().solve(*HARD, watched)
    rest = np.any(EXACT != 0, axis=0)
    p = HARD.problem
    problem = Subproblem(p.linear[:, rest], p.anchor[:, rest], np.asarray(p.metric)[:, rest], p.weight)
    values = [float(problem.objective(point[:, rest], HARD.psi)) for point in watched.points]
    before = [float(problem.objective(HARD.start[:, rest], HARD.psi)), *values]
    small = [(a - b) / (abs(b) + 1) < rtol for a, b in zip(before, values, strict=False)]
    first = next(k for k, met in enumerate(small, start=1) if met and k >= least)
    assert solution.converged and solution.iterations == first


@pytest.mark.parametrize("iterations", [1, 2, 7])
@pytest.mark.parametrize("solver", [ProximalGradient(), SecularNewton()], ids=["ProximalGradient", "SecularNewton"])
@pytest.mark.parametrize("start", [HARD.start, EXACT], ids=["far", "at the solution"])
def test_fixed_iterations_is_exactly_so_many(solver: SubproblemSolver, iterations: int, start: Array) -> None:
    solution = solver.solve(HARD.problem, HARD.psi, start, FixedIterations(iterations))
    assert (solution.iterations, solution.converged) == (iterations, True)


@pytest.mark.parametrize(
    "rule",
    [SubgradientNorm(0.0, max_iterations=3), RelativeDecrease(0.0, max_iterations=3), FixedIterations(3)],
    ids=repr,
)
def test_no_rule_goes_beyond_its_limit(rule: StoppingRule) -> None:
    solution = ProximalGradient().solve(*HARD, rule)
    assert solution.iterations == 3 and solution.converged == isinstance(rule, FixedIterations)


def test_the_default_rule_is_used_where_none_is_given() -> None:
    assert ProximalGradient(FixedIterations(5)).solve(*HARD).iterations == 5
    assert ProximalGradient(FixedIterations(5)).solve(*HARD, FixedIterations(2)).iterations == 2


# --- the subproblem ---------------------------------------------------------------------------------------------------


def naive_objective(problem: Subproblem, w: np.ndarray, psi: Regularizer) -> float:
    """<linear, w> + 1/2 ||w - anchor||^2_metric + weight psi(w) - <linear, anchor>, entry by entry."""
    metric = np.broadcast_to(host(problem.metric), w.shape)
    linear, anchor, total = host(problem.linear), host(problem.anchor), problem.weight * float(psi.value(w))
    for i in np.ndindex(*w.shape):
        total += float(linear[i] * w[i] + metric[i] * (w[i] - anchor[i]) ** 2 / 2 - linear[i] * anchor[i])
    return total


@EACH_METRIC
@EACH_CASE
@EACH_BACKEND
@examples(3)
@given(data=st.data())
def test_the_objective_is_its_formula_and_the_gradient_its_slope(
    metric: Callable[[Regularizer, Array], Any], case: Case, backend: Backend, data: st.DataObject
) -> None:
    problem, psi, w = data.draw(draws(case, backend, metric))
    value = problem.objective(w, psi)
    assert tuple(value.shape) == () and value.dtype == w.dtype
    tolerance = 1e3 * backend.eps
    assert float(value) == pytest.approx(naive_objective(problem, host(w), psi), rel=tolerance, abs=tolerance)
    gradient, step = problem.gradient(w), 0.5
    assert (gradient.shape, gradient.dtype) == (w.shape, w.dtype)
    for i in np.ndindex(*case.shape):  # central differences of a quadratic are exact
        unit = np.zeros(case.shape)
        unit[i] = step
        ahead, behind = (naive_objective(problem, host(w) + sign * unit, Zero()) for sign in (1, -1))
        assert host(gradient)[i] == pytest.approx((ahead - behind) / (2 * step), rel=tolerance, abs=tolerance)


@EACH_CASE
@examples(15)
@given(data=st.data())
def test_the_subgradient_is_the_steepest_descent(case: Case, data: st.DataObject) -> None:
    """Of all subgradients of a convex function only the one of least norm s has the slope -||s||^2 along -s."""
    drawn = data.draw(draws(case, NUMPY, METRICS["any"]))
    w = drawn.start
    s = drawn.problem.subgradient(w, drawn.psi)
    norm = np.linalg.norm(s)
    assert drawn.residual(w) == pytest.approx(norm, rel=1e-14)
    step = 1e-7 / (1 + norm)
    slope = (drawn.objective(w - step * s) - drawn.objective(w)) / step
    assert slope == pytest.approx(-(norm**2), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("psi", [Zero(), L1(0.7), COLUMNS], ids=repr)
def test_the_residual_is_0_at_the_solution_and_nowhere_else(psi: Regularizer) -> None:
    drawn = HARD._replace(psi=psi)
    exact = Automatic().solve(*drawn).point
    assert drawn.residual(exact) < 1e-12
    for direction in np.random.default_rng(0).standard_normal((5, *exact.shape)):
        away = exact + 1e-3 * direction
        assert drawn.residual(away) >= float(np.min(drawn.problem.metric)) * np.linalg.norm(away - exact)


@pytest.mark.parametrize("psi", [L1(0.1), GroupLasso(0.1, axes=0)], ids=["l1", "group lasso"])
def test_nan_never_becomes_a_silent_zero(psi: Regularizer) -> None:
    bad = np.array([[np.nan, 1.0], [1.0, 1.0]])
    assert np.isnan(psi.prox(bad, 1.0)[0, 0])
    problem = Subproblem(bad, np.zeros((2, 2)), np.ones((2, 2)) * [[1.0], [2.0]], 1.0)
    solution = Automatic().solve(problem, psi, np.zeros((2, 2)))
    assert np.isnan(solution.point[0, 0]) and np.isfinite(solution.point[1, 1])
