"""The published Newton-Raphson solver of ProxSSI finds what SecularNewton finds, in more iterations."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.core import Regularizer, Subproblem
from optkit.regularizers import L1, GroupLasso, GroupMCP, SparseGroupLasso
from optkit.solvers import FixedIterations, NewtonRaphson, SecularNewton, SubgradientNorm

GROUPED = [GroupLasso(0.4, axes=0), SparseGroupLasso(0.4, axes=0), GroupMCP(0.4, axes=0, gamma=50.0)]


def problem(condition: float, seed: int = 0) -> tuple[Subproblem, np.ndarray]:
    rng = np.random.default_rng(seed)
    linear, anchor, start = rng.standard_normal((3, 20, 30))
    return Subproblem(linear, anchor, condition ** rng.uniform(-0.5, 0.5, (20, 30)), 0.7), start


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("psi", GROUPED, ids=lambda psi: type(psi).__name__)
def test_both_secular_solvers_find_the_same(psi: Regularizer, condition: float) -> None:
    if isinstance(psi, GroupMCP):
        condition = min(condition, 1e2)  # convex on each group up to there
    posed, start = problem(condition)
    published, ours = NewtonRaphson().solve(posed, psi, start), SecularNewton().solve(posed, psi, start)
    assert published.converged and published.iterations >= ours.iterations
    np.testing.assert_allclose(published.point, ours.point, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(published.point == 0, ours.point == 0)


def test_its_iterations_are_those_of_the_formula() -> None:
    """theta + (s - 1) / (2 sum b^2 d / (d theta + lam)^3) from (||b|| - lam) / max d, in plain numpy."""
    posed, start = problem(100.0)
    psi = GroupLasso(0.1, axes=0)
    b, lam = posed.metric * posed.anchor - posed.linear, posed.weight * psi.threshold(start.shape)
    d = np.asarray(posed.metric)
    norm = np.linalg.norm(b, axis=0)
    assert np.all(norm > lam)
    theta = (norm - lam) / d.max(axis=0)
    for n in (1, 2, 3):
        q = d * theta + lam
        theta = theta + (np.sum(b**2 / q**2, axis=0) - 1) / (2 * np.sum(b**2 * d / q**3, axis=0))
        found = NewtonRaphson().solve(posed, psi, start, FixedIterations(n))
        np.testing.assert_allclose(found.point, b * theta / (d * theta + lam), rtol=1e-13)
        assert found.iterations == n


def test_a_stall_is_not_taken_for_convergence() -> None:
    """The published rule also stops where s changes little; from far away, at condition 1e14, that is everywhere."""
    b, d = np.ones((2, 1)), np.array([[1e-14], [1.0]])
    posed = Subproblem(-b, 0 * b, d, 1.0)
    solution = NewtonRaphson(max_iterations=3).solve(posed, GroupLasso(0.5, axes=0), b)
    assert not solution.converged
    assert float(solution.residual) == pytest.approx(
        float(posed.residual(solution.point, GroupLasso(0.5, axes=0))), rel=1e-6
    )


def test_a_stopping_rule_takes_the_place_of_the_published_one() -> None:
    posed, start = problem(1e4)
    psi = GroupLasso(0.1, axes=0)
    loose, tight = (NewtonRaphson().solve(posed, psi, start, SubgradientNorm(eps)) for eps in (1e-1, 1e-9))
    assert loose.converged and tight.converged and loose.iterations < tight.iterations
    assert float(posed.residual(tight.point, psi)) <= 1e-9 < float(posed.residual(loose.point, psi)) <= 1e-1


def test_other_regularizers_are_refused_in_words() -> None:
    posed, start = problem(1.0)
    with pytest.raises(
        ValueError, match="NewtonRaphson needs a function of the norms of groups.* got L1; use ClosedForm"
    ):
        NewtonRaphson().solve(posed, L1(0.1), start)
    with pytest.raises(ValueError, match="metric > weight \\* 100 for this GroupMCP; make psi less concave"):
        NewtonRaphson().solve(posed, GroupMCP(0.1, axes=0, gamma=0.01), start)
