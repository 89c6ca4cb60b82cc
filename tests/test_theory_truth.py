"""Known solutions of the theory checks: planted by construction, or found by the deterministic method."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import approx_fprime

from optkit.core import Regularizer
from optkit.problems import LeastSquares, LogisticRegression
from optkit.regularizers import L1, MCP, GroupLasso, NuclearNorm, SparseGroupLasso
from optkit.theory_checks.cases import Case, chosen, given_case, network_case, structure_cases
from optkit.theory_checks.settings import Settings
from optkit.theory_checks.truth import exact, gradient, known, planted, solve, stationarity

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("margin", [0.1, 0.01, 0.0])
@pytest.mark.parametrize(
    "psi", [L1(0.2), GroupLasso(0.2, axes=1), NuclearNorm(0.2), MCP(0.2, gamma=3.0)], ids=lambda psi: type(psi).__name__
)
def test_a_planted_point_is_stationary_with_its_margin(psi: Regularizer, margin: float) -> None:
    w = np.outer([2.0, -1.5, 0, 0, 0, 0], [1.0, 1.5, -1.0])
    problem = planted(psi, w, margin, RNG.standard_normal(w.shape), condition=4.0, noise=1.0)
    truth = known(problem, psi, w)
    assert truth.residual < 1e-12
    assert truth.margin == pytest.approx(margin, abs=1e-12)
    curvatures = np.linalg.eigvalsh(problem.features.T @ problem.features / 200)
    np.testing.assert_allclose(curvatures[[0, -1]], [0.25, 1.0])
    assert np.std(problem.targets - problem.features @ w) > 0.5  # the noise that no w explains


def test_a_margin_of_zero_puts_zero_blocks_on_the_boundary() -> None:
    w = np.array([1.0, 0, 0, 0, 0])
    problem = planted(L1(0.2), w, 0.0, RNG.standard_normal(5))
    np.testing.assert_allclose(np.abs(gradient(problem, w)), 0.2)


FEATURES = RNG.standard_normal((60, 8))
MATRIX = RNG.standard_normal((60, 3))
LABELS = np.where(RNG.random(60) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize(
    "psi", [L1(0.1), GroupLasso(0.1, axes=1), SparseGroupLasso(0.1, axes=1), NuclearNorm(0.2)], ids=str
)
def test_solve_agrees_with_cvxpy_on_least_squares(psi: Regularizer) -> None:
    problem = LeastSquares(FEATURES, MATRIX, batch=4, ridge=0.1)
    truth = solve(problem, psi, problem.start)
    w = cp.Variable((8, 3))
    rows = cp.sum(cp.norm(w, 2, axis=1))
    penalty = {
        "L1": 0.1 * cp.sum(cp.abs(w)),
        "GroupLasso": 0.1 * np.sqrt(3) * rows,
        "SparseGroupLasso": 0.05 * cp.sum(cp.abs(w)) + 0.05 * np.sqrt(3) * rows,
        "NuclearNorm": 0.2 * cp.normNuc(w),
    }[type(psi).__name__]
    smooth = cp.sum_squares(FEATURES @ w - MATRIX) / 120 + 0.05 * cp.sum_squares(w)
    cp.Problem(cp.Minimize(smooth + penalty)).solve(solver=cp.CLARABEL)
    assert truth.residual <= 1e-13
    np.testing.assert_allclose(truth.point, np.asarray(w.value), atol=1e-4)


def test_solve_agrees_with_cvxpy_on_logistic_regression() -> None:
    problem, psi = LogisticRegression(FEATURES, LABELS, ridge=0.1), L1(0.05)
    truth = solve(problem, psi, problem.start)
    w = cp.Variable(8)
    losses = cp.sum(cp.logistic(cp.multiply(-LABELS, FEATURES @ w))) / 60
    cp.Problem(cp.Minimize(losses + 0.05 * cp.sum_squares(w) + 0.05 * cp.norm1(w))).solve(solver=cp.CLARABEL)
    assert truth.residual <= 1e-13 and 0 < np.count_nonzero(truth.point) < 8
    np.testing.assert_allclose(truth.point, np.asarray(w.value), atol=1e-4)


def test_solve_stays_near_its_start_under_a_nonconvex_psi() -> None:
    w = np.array([3.0, -2.0, 0, 0])
    problem, psi = planted(MCP(0.5, gamma=3.0), w, 0.1, RNG.standard_normal(4), condition=1.0), MCP(0.5, gamma=3.0)
    truth = solve(problem, psi, w + 0.05)
    assert truth.residual <= 1e-13
    np.testing.assert_allclose(truth.point, w, atol=1e-12)


def test_the_network_has_the_gradient_of_its_value_and_the_moments_of_its_batches() -> None:
    problem = network_case().problem
    w = problem.start
    expected = np.asarray(approx_fprime(w.ravel(), lambda flat: float(problem.value(flat.reshape(w.shape))), 1e-7))
    np.testing.assert_allclose(gradient(problem, w).ravel(), expected, atol=1e-6)
    drawn = [problem.gradient(w, RNG) for _ in range(20_000)]
    np.testing.assert_allclose(np.mean(np.square(drawn), axis=0), problem.second_moment(w), rtol=0.1)
    np.testing.assert_allclose(exact(problem).second_moment(w), gradient(problem, w) ** 2)


@pytest.mark.parametrize("case", structure_cases(), ids=lambda case: case.name.replace(" ", "-"))
def test_the_solution_of_each_case_is_stationary_and_nondegenerate(case: Case) -> None:
    truth = case.limit(case.problem.start)
    assert stationarity(case.problem, case.psi, truth.point) == truth.residual <= 1e-13
    assert truth.margin >= 0.04
    assert truth.manifold.dimension < truth.manifold.ambient


def test_a_given_regularizer_gets_a_problem_with_structure_or_none() -> None:
    case = given_case(GroupLasso(0.3, axes=1))
    assert case is not None and case.truth is not None and case.truth.residual < 1e-12 and case.truth.margin > 0.05
    assert "groups zero" in str(case.truth.manifold)
    assert chosen(Settings(regularizer=GroupLasso(0.3, axes=1)), structure_cases)[0].name == str(
        GroupLasso(0.3, axes=1)
    )
    with pytest.raises(ValueError, match="fits no array of shape"):
        given_case(GroupLasso(0.3))
