"""The accelerated and the backtracking proximal gradient methods, and schedules of tolerances."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from optkit.algorithms import ProximalMethod, proxgen, ramda
from optkit.core import Reached, Regularizer, StoppingRule, Subproblem
from optkit.regularizers import L1, MCP, GroupLasso, GroupMCP, NuclearNorm, RankConstraint
from optkit.solvers import (
    AcceleratedProximalGradient,
    FixedIterations,
    ProximalGradient,
    SecularNewton,
    SubgradientNorm,
    accelerated,
)

SHAPE = (12, 10)
TIGHT = SubgradientNorm(1e-9, max_iterations=100_000)


def problem(condition: float, seed: int = 0) -> tuple[Subproblem, np.ndarray]:
    rng = np.random.default_rng(seed)
    linear, anchor, start = rng.standard_normal((3, *SHAPE))
    return Subproblem(linear, anchor, condition ** rng.uniform(-0.5, 0.5, SHAPE), 0.7), start


# --- acceleration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [1e1, 1e2, 1e3])
@pytest.mark.parametrize("psi", [GroupLasso(0.5, axes=0), NuclearNorm(1.0)], ids=repr)
def test_acceleration_takes_the_root_of_the_iterations(psi: Regularizer, condition: float) -> None:
    posed, start = problem(condition)
    rule = SubgradientNorm(1e-6, max_iterations=20_000)
    slow, fast = (solver().solve(posed, psi, start, rule) for solver in (ProximalGradient, AcceleratedProximalGradient))
    assert slow.converged and fast.converged
    assert fast.iterations <= 20 * math.sqrt(condition) and fast.iterations < slow.iterations / 2
    apart = 2e-6 * math.sqrt(condition)  # Q is strongly convex with modulus 1 / sqrt(condition)
    np.testing.assert_allclose(fast.point, slow.point, rtol=0, atol=apart)
    assert psi.manifold(fast.point) == psi.manifold(slow.point)


@pytest.mark.parametrize("condition", [1e1, 1e2, 3e2, 1e3])
def test_at_no_condition_would_momentum_alone_take_fewer_iterations(
    condition: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over some problems, for rounding alone changes the iterations of spectral steps by a sixth."""
    rule, posed = SubgradientNorm(1e-6, max_iterations=20_000), [problem(condition, seed) for seed in range(8)]

    def iterations() -> int:
        solves = [AcceleratedProximalGradient().solve(one, NuclearNorm(1.0), start, rule) for one, start in posed]
        assert all(solve.converged for solve in solves)
        return sum(solve.iterations for solve in solves)

    chosen = iterations()
    monkeypatch.setattr(accelerated, "SPREAD", 0.0)
    assert chosen <= 1.1 * iterations()


def test_the_restart_keeps_it_linear_where_fista_alone_ripples() -> None:
    posed, start = problem(1e4)
    psi = GroupLasso(0.01, axes=0)
    exact = SecularNewton().solve(posed, psi, start).point
    step = 1 / psi.block_max(posed.metric)
    point, ahead, t = start, start, 1.0
    for _ in range(1600):  # without a restart
        previous, point = point, psi.prox(ahead - step * posed.gradient(ahead), step * posed.weight)
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        ahead, t = point + (t - 1) / following * (point - previous), following
    restarted = AcceleratedProximalGradient().solve(posed, psi, start, FixedIterations(1600)).point
    assert np.linalg.norm(restarted - exact) < 1e-3 * np.linalg.norm(point - exact)


@pytest.mark.parametrize("psi", [GroupLasso(0.5, axes=0), NuclearNorm(1.0)], ids=repr)
def test_steps_are_longer_where_a_few_entries_of_the_metric_are_large(psi: Regularizer) -> None:
    posed, start = problem(1.0)
    metric = np.where(np.random.default_rng(1).random(SHAPE) < 0.03, 100.0, 1.0)
    posed, rule = replace(posed, metric=metric), SubgradientNorm(1e-8, max_iterations=10_000)
    found = AcceleratedProximalGradient().solve(posed, psi, start, rule)
    slow = ProximalGradient().solve(posed, psi, start, rule)
    assert found.converged and float(posed.residual(found.point, psi)) <= 1e-8 * (1 + 1e-6)
    np.testing.assert_allclose(found.point, slow.point, rtol=0, atol=1e-7)
    assert found.iterations < slow.iterations / 2


@pytest.mark.parametrize("psi", [GroupLasso(0.5, axes=0), NuclearNorm(1.0)], ids=repr)
@pytest.mark.parametrize("condition", [1e1, 1e2, 9e2])
def test_steps_that_are_too_long_are_repeated(
    psi: Regularizer, condition: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q may rise from one step to the next, but never above that of the start."""
    monkeypatch.setattr(accelerated, "SPREAD", math.inf)
    posed, start = problem(condition)
    points = [start]

    class Record(SubgradientNorm):
        def begin(self, problem: Subproblem, psi: Regularizer, start: np.ndarray) -> Reached:
            return lambda point, previous, iteration: points.append(point) or iteration >= 300

    found = AcceleratedProximalGradient().solve(posed, psi, start, Record(0.0, max_iterations=300))
    values = [float(posed.objective(point, psi)) for point in points]
    assert max(values) <= values[0] + 1e-9 * abs(values[0])
    assert found.iterations == 300 and (len(points) <= 300) == (condition > 1e2), "steps were repeated"
    if condition > 1e1:
        assert any(after > before for before, after in zip(values, values[1:], strict=False)), "steps that do not fall"


def test_a_rule_that_certifies_nothing_gets_steps_that_are_always_short_enough() -> None:
    """Each falls, and none is repeated."""
    posed, start = problem(1e3)
    psi = GroupLasso(0.5, axes=0)
    point = AcceleratedProximalGradient().solve(posed, psi, start, FixedIterations(1)).point
    step = 1 / psi.block_max(posed.metric)
    np.testing.assert_allclose(point, psi.prox(start - step * posed.gradient(start), step * posed.weight), rtol=1e-12)


def test_a_warm_start_saves_iterations() -> None:
    posed, start = problem(100.0)
    psi, solver = NuclearNorm(1.0), AcceleratedProximalGradient(SubgradientNorm(1e-6, max_iterations=1000))
    cold = solver.solve(posed, psi, start)
    warm = solver.solve(replace(posed, linear=posed.linear + 1e-6 * start), psi, cold.point)
    assert warm.converged and warm.iterations < cold.iterations / 4


def test_acceleration_is_refused_without_convexity() -> None:
    posed, start = problem(10.0)
    for psi in (MCP(0.1), RankConstraint(2), GroupMCP(0.1, axes=0)):
        with pytest.raises(ValueError, match=f"needs a convex psi, got {type(psi).__name__}; use ProximalGradient"):
            AcceleratedProximalGradient().solve(posed, psi, start)


# --- backtracking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.5, axes=0), NuclearNorm(1.0)], ids=repr)
def test_backtracking_finds_the_same_without_the_largest_entry(psi: Regularizer) -> None:
    posed, start = problem(100.0)
    plain = ProximalGradient(TIGHT).solve(posed, psi, start)
    tried = ProximalGradient(TIGHT, backtracking=True).solve(posed, psi, start)
    assert tried.converged
    np.testing.assert_allclose(tried.point, plain.point, rtol=0, atol=1e-8)


@pytest.mark.parametrize("psi", [GroupLasso(0.5, axes=0), GroupMCP(0.5, axes=0), RankConstraint(3)], ids=repr)
def test_backtracking_falls_in_every_iteration(psi: Regularizer) -> None:
    posed, start = problem(1e4)
    values = [
        float(posed.objective(point, psi)) for point in iterates(ProximalGradient(backtracking=True), posed, psi, start)
    ]
    assert all(after <= before + 1e-12 * abs(before) for before, after in zip(values, values[1:], strict=False))


@pytest.mark.parametrize("psi", [GroupMCP(0.5, axes=0), RankConstraint(3)], ids=repr)
def test_half_a_step_falls_without_convexity(psi: Regularizer) -> None:
    posed, start = problem(1e4)
    values = [float(posed.objective(point, psi)) for point in iterates(ProximalGradient(), posed, psi, start)]
    assert all(after <= before + 1e-12 * abs(before) for before, after in zip(values, values[1:], strict=False))


# --- near the start ---------------------------------------------------------------------------------------------------


def test_local_steps_stay_where_global_ones_run_away() -> None:
    """MCP is bounded: with a small metric the linear term wins far from 0, and 0 is a stationary point all the same."""
    psi, posed = MCP(1.0, gamma=2.0), Subproblem(np.array([0.5]), np.zeros(1), 1e-2, 1.0)
    near = ProximalGradient(TIGHT, local=True).solve(posed, psi, np.array([0.1]))
    far = ProximalGradient(TIGHT).solve(posed, psi, np.array([0.1]))
    assert near.converged and near.point == 0 and float(posed.residual(near.point, psi)) == 0
    assert far.converged and far.point == pytest.approx(-50.0)
    assert float(posed.objective(far.point, psi)) < float(posed.objective(near.point, psi))


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.5, axes=0), RankConstraint(3)], ids=repr)
def test_local_changes_nothing_where_psi_is_convex_or_not_weakly_convex(psi: Regularizer) -> None:
    posed, start = problem(100.0)
    plain, local = (ProximalGradient(TIGHT, local=local).solve(posed, psi, start) for local in (False, True))
    np.testing.assert_array_equal(local.point, plain.point)
    assert local.iterations == plain.iterations


def iterates(solver: ProximalGradient, posed: Subproblem, psi: Regularizer, start: np.ndarray) -> list[np.ndarray]:
    points: list[np.ndarray] = []

    class Record(StoppingRule):
        @property
        def max_iterations(self) -> int:
            return 60

        def begin(self, problem: Subproblem, psi: Regularizer, start: np.ndarray) -> Reached:
            return lambda point, previous, iteration: points.append(point) or False

    solver.solve(posed, psi, start, Record())
    return points


# --- the group MCP ----------------------------------------------------------------------------------------------------


def test_where_the_group_mcp_is_convex_in_the_metric_the_secular_equation_solves_it() -> None:
    """With zero groups, groups on the concave part and groups beyond it, against the proximal gradient method."""
    psi = GroupMCP(0.25, axes=0, gamma=8.0)
    for seed in range(5):
        posed, start = problem(10.0, seed)
        exact = SecularNewton().solve(posed, psi, start)
        norms, bend = np.linalg.norm(exact.point, axis=0), 8.0 * psi.threshold(SHAPE)
        near = ProximalGradient(TIGHT).solve(posed, psi, exact.point + 0.01 * start)
        np.testing.assert_allclose(near.point, exact.point, rtol=0, atol=1e-8)
        assert float(posed.residual(exact.point, psi)) < 1e-12 and np.any(norms < bend)
    strong, weak = (GroupMCP(strength, axes=0, gamma=8.0) for strength in (3.0, 0.02))
    assert 0 < np.mean(SecularNewton().solve(posed, strong, start).point == 0) < 1
    flat = SecularNewton().solve(posed, weak, start).point
    np.testing.assert_allclose(flat, posed.anchor - posed.linear / posed.metric, rtol=1e-12)


# --- schedules of tolerances ------------------------------------------------------------------------------------------


def test_a_schedule_of_tolerances_and_the_sum_of_its_squares() -> None:
    rule = SubgradientNorm(0.5, power=1.0)
    assert [rule.at(t).epsilon for t in (1, 2, 10)] == [0.5, 0.25, 0.05]
    assert rule.at(7).power == 0 and rule.at(7).max_iterations == rule.max_iterations
    assert rule.sum_of_squares(0) == 0
    assert rule.sum_of_squares(10_000) == pytest.approx(0.25 * math.pi**2 / 6, rel=1e-4), "0.25 zeta(2)"
    constant = SubgradientNorm(0.1)
    assert constant.at(1000) is constant and constant.sum_of_squares(100) == pytest.approx(1.0)


@pytest.mark.parametrize("make", [ramda, proxgen])
def test_the_tolerance_follows_the_steps_of_a_method(make: Callable[..., ProximalMethod]) -> None:
    psi = GroupLasso(0.05, axes=0)
    rule = SubgradientNorm(1.0, max_iterations=10_000, power=1.5)
    method = make(psi, lr=0.1, solver=ProximalGradient(), stopping=rule)
    rng = np.random.default_rng(0)
    w = rng.standard_normal(SHAPE)
    state, far = method.init(w), 0
    for t in range(1, 30):
        before, grad = w, rng.standard_normal(SHAPE)
        w, state, solution = method.step(w, grad, state)
        bound = method.subproblem(before, state).scale * rule.at(t).epsilon
        assert solution.converged and float(solution.residual) <= bound * (1 + 1e-9)
        far += float(solution.residual) > 1e-3 * bound
    assert far > 10, "it does not go far beyond the tolerance of the step"
