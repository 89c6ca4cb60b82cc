"""Subproblems with convex regularizers have the solution that an independent conic solver finds."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from optkit.core import Regularizer, Subproblem, SubproblemSolver
from optkit.regularizers import L1, Box, ElasticNet, GroupLasso, NuclearNorm, SparseGroupLasso
from optkit.solvers import (
    AcceleratedProximalGradient,
    Automatic,
    ClosedForm,
    NewtonRaphson,
    ProximalGradient,
    SecularNewton,
    SubgradientNorm,
)

SHAPE = (6, 5)


class Twin(NamedTuple):
    """psi; the same in cvxpy, as the penalty and the constraints of a variable; how good the conic solver's points are:
    with cones that are not polyhedral they are as good as the square root of its objective."""

    psi: Regularizer
    penalty: Any
    constraints: Any = lambda cp, w: []
    points: float = 1e-7


def columns(cp: Any, w: Any) -> Any:
    return cp.sum(cp.norm(w, axis=0))


TWINS = {
    "L1": Twin(L1(0.7), lambda cp, w: 0.7 * cp.sum(cp.abs(w))),
    "ElasticNet": Twin(
        ElasticNet(0.9, l1_ratio=0.6), lambda cp, w: 0.54 * cp.sum(cp.abs(w)) + 0.18 * cp.sum_squares(w)
    ),
    "GroupLasso": Twin(GroupLasso(0.5, axes=0), lambda cp, w: 0.5 * math.sqrt(6) * columns(cp, w), points=1e-5),
    "SparseGroupLasso": Twin(
        SparseGroupLasso(0.8, axes=0, l1_ratio=0.4),
        lambda cp, w: 0.32 * cp.sum(cp.abs(w)) + 0.48 * math.sqrt(6) * columns(cp, w),
        points=1e-5,
    ),
    "NuclearNorm": Twin(NuclearNorm(1.1), lambda cp, w: 1.1 * cp.normNuc(w), points=1e-5),
    "Box": Twin(Box(-0.3, 0.5), lambda cp, w: 0, lambda cp, w: [w >= -0.3, w <= 0.5]),
}
TIGHT = SubgradientNorm(1e-11, max_iterations=20_000)
SOLVERS: list[SubproblemSolver] = [
    Automatic(),
    ClosedForm(),
    SecularNewton(),
    NewtonRaphson(),
    ProximalGradient(TIGHT),
    ProximalGradient(TIGHT, backtracking=True),
    AcceleratedProximalGradient(TIGHT),
]


def problem(seed: int) -> tuple[Subproblem, np.ndarray]:
    """A random subproblem with metrics of condition 100, and a start."""
    rng = np.random.default_rng(seed)
    linear, anchor, start = rng.standard_normal((3, *SHAPE))
    return Subproblem(linear, anchor, 10 ** rng.uniform(-1, 1, SHAPE), 0.8), start


# It is asked for the last digit, and says where it stops a few digits before: what it finds is compared below.
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate:UserWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
def test_the_solution_is_that_of_a_conic_solver(twin: Twin, seed: int) -> None:
    cp = pytest.importorskip("cvxpy", reason="compares with cvxpy, which is not installed: pip install cvxpy")
    sub, start = problem(seed)
    w = cp.Variable(SHAPE)
    move = w - sub.anchor
    # the square as a sum of squares, or the solver's own form of it costs digits
    smooth = cp.sum(cp.multiply(sub.linear, move)) + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(sub.metric), move))
    cost = smooth + sub.weight * twin.penalty(cp, w)
    exact = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12, "tol_ktratio": 1e-9}
    least = cp.Problem(cp.Minimize(cost), twin.constraints(cp, w)).solve(solver=cp.CLARABEL, **exact)
    tried = [solver for solver in SOLVERS if solver.supports(twin.psi, sub) is None]
    assert len(tried) >= 4
    for solver in tried:
        solution = solver.solve(sub, twin.psi, start)
        assert solution.converged, solver
        assert float(sub.objective(solution.point, twin.psi)) == pytest.approx(least, rel=0, abs=1e-7)
        np.testing.assert_allclose(solution.point, w.value, rtol=0, atol=twin.points, err_msg=repr(solver))
