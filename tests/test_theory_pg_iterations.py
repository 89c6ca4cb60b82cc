"""The check of Theorem 1: it passes, its bounds are right where they can be computed by hand, and it notices faults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from optkit.core import Array, Subproblem
from optkit.regularizers import L1, MCP, SCAD, Cardinality, GroupLasso, NonNegative
from optkit.solvers import ProximalGradient, SubgradientNorm
from optkit.theory_checks.findings import Finding, Picture
from optkit.theory_checks.pg_iterations import check
from optkit.theory_checks.pg_iterations_runs import (
    Instance,
    Watched,
    convex_bounds,
    drawn,
    flat,
    linear_bound,
    nonconvex_bounds,
    watch,
)
from optkit.theory_checks.settings import Settings


def findings(**settings: Any) -> list[Finding]:
    tiny = Settings(seeds=2, steps=100, smoke=True, **settings)
    return [found for found in check(tiny) if isinstance(found, Finding)]


def test_every_claim_holds_and_every_control_fails():
    found = list(check(Settings(seeds=2, steps=100, smoke=True)))
    results = [item for item in found if isinstance(item, Finding)]
    assert [f.statement for f in results if not f.passed] == []
    assert sum(f.control for f in results) == 2
    assert len([item for item in found if isinstance(item, Picture)]) == 3


@pytest.mark.parametrize("psi", [L1(0.1), NonNegative(), SCAD(0.3), Cardinality(4)], ids=str)
def test_a_given_regularizer_takes_the_place_of_its_kind(psi):
    results = findings(regularizer=psi)
    assert all(f.passed for f in results)
    assert any(type(psi).__name__ in f"{f.statement} {f.measured}" for f in results)


def test_a_regularizer_that_fits_no_shape_is_refused():
    with pytest.raises(ValueError, match="needs a regularizer that fits"):
        findings(regularizer=GroupLasso(0.1, axes=(0, 1, 2)))


@dataclass(frozen=True)
class WrongProx(GroupLasso):
    def prox(self, v: Array, scale: Array | float) -> Array:
        return super().prox(v, 0.5 * scale)


@dataclass(frozen=True)
class ShortStep(GroupLasso):
    """Converges, but more slowly than the step size promises."""

    def block_max(self, a: Array) -> Array:
        return 4 * super().block_max(a) if np.min(a) > 0 and np.max(a) > 1 else super().block_max(a)


def test_a_wrong_prox_is_noticed():
    claims = [f for f in findings(regularizer=WrongProx(0.05, (0, 1), False)) if not f.control]
    assert not claims[0].passed
    assert not claims[2].passed


def test_a_step_that_is_too_short_breaks_the_certificate():
    psi, slow = GroupLasso(0.05, (0, 1), False), ShortStep(0.05, (0, 1), False)
    instance = drawn(psi, (12, 4), 10.0, 0)
    moves = []
    for each in (psi, slow):
        ratios: list[float] = []

        def seen(point, previous, iteration, ratios=ratios, each=each):
            bound = 2 * np.linalg.norm(instance.curvature * (point - previous))
            ratios.append(float(instance.problem.residual(point, each) / bound))

        ProximalGradient().solve(instance.problem, each, instance.start, Watched([SubgradientNorm(1e-3)], 50, seen))
        moves.append(max(ratios))
    assert moves[0] <= 1 < moves[1]


def test_the_convex_bound_by_hand():
    assert linear_bound(8.0, 1.0, 1e-9) == 2  # one step is enough
    assert linear_bound(0.5, 100.0, 1.0) == 2  # there already
    assert linear_bound(8.0, 4 / 3, 1.0) == 1 + 3  # (1/4)^(j/2) = 2^-j
    assert linear_bound(8.1, 4 / 3, 1.0) == 1 + 4


def test_the_size_in_the_convex_bound_by_hand():
    """psi = 0: Z* = anchor - linear / metric = (1, 1), L = 4, so the size is 2 * 4 ||(3, 4)|| = 40."""
    problem = Subproblem(np.array([0.0, 3.0]), np.array([1.0, 4.0]), np.array([4.0, 1.0]), 1.0)
    instance = Instance(problem, GroupLasso(0.0, 0), np.array([4.0, 5.0]))
    assert instance.condition == 4
    assert convex_bounds(instance, [1.0]) == [linear_bound(40.0, 4.0, 1.0)]


def test_the_nonconvex_bound_by_hand():
    """One entry: smooth part 2 (w - 1) + 2 (w - 1)^2 with minimum -1/2; at w = 2 it is 4, psi = 3 * 2 - 4 / 6."""
    problem = Subproblem(np.array([2.0]), np.array([1.0]), np.array([4.0]), 1.0)
    instance = Instance(problem, MCP(3.0, gamma=3.0), np.array([2.0]))
    drop = 4 + 6 - 4 / 6 + 0.5
    assert instance.drop == pytest.approx(drop)
    assert nonconvex_bounds(instance, [0.1]) == [math.ceil(18 * 4 * drop / 0.01)]


def test_each_rule_is_met_where_it_alone_would_stop():
    instance = drawn(GroupLasso(0.05, (0, 1), False), (12, 4), 10.0, 3)
    epsilons = (1e-1, 1e-3, 1e-5)
    run = watch(instance, epsilons)
    alone = [
        ProximalGradient().solve(instance.problem, instance.psi, instance.start, SubgradientNorm(e, 10**4)).iterations
        for e in epsilons
    ]
    assert list(run.iterations) == alone


def test_the_flat_subproblem_has_a_stationary_point_without_curvature():
    from optkit.regularizers import LogSum

    psi = LogSum(0.015, 0.1)
    instance = flat(psi)
    w = math.sqrt(psi.strength) - psi.epsilon
    assert float(instance.problem.residual(np.array([w]), psi)) <= 1e-15
    assert 1 - psi.strength / (psi.epsilon + w) ** 2 == pytest.approx(0, abs=1e-12)
