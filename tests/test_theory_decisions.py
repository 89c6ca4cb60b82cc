"""How the theory checks decide: intervals, exponents, T0, and solvers that use a tolerance to the full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from optkit import minimize
from optkit.algorithms import ConstantWeighting, PowerWeighting, SqrtWeighting
from optkit.core import Regularizer, Subproblem
from optkit.minimize import Progress
from optkit.regularizers import L1, GroupLasso
from optkit.solvers import Automatic, SubgradientNorm
from optkit.theory_checks import Finding, Settings
from optkit.theory_checks.cases import sparse_case
from optkit.theory_checks.decay import looks, vanishes
from optkit.theory_checks.findings import mean_interval, proportion, slope
from optkit.theory_checks.identification import watch
from optkit.theory_checks.inexact import ObjectiveGap, WorstSubgradient
from optkit.theory_checks.methods import CONTROLS, THEORY, controls, under_test

RNG = np.random.default_rng(0)


def test_claims_must_hold_and_controls_must_fail() -> None:
    verdicts = {
        (holds, control): Finding("c", "s", holds, "m", "r", control)
        for holds in (True, False)
        for control in (True, False)
    }
    assert {key: finding.passed for key, finding in verdicts.items()} == {
        (True, False): True,
        (False, False): False,
        (True, True): False,
        (False, True): True,
    }
    assert len({finding.verdict for finding in verdicts.values()}) == 4


def test_intervals_are_exact() -> None:
    low, high = proportion(20, 20)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    values = RNG.standard_normal(7)
    expected = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values.tolist()) == pytest.approx((values.mean(), *expected))


def test_the_slope_is_the_exponent_of_a_power_law() -> None:
    t = np.geomspace(1, 1e4, 50)
    assert slope(t, 3 * t**-0.7) == pytest.approx(-0.7)


@pytest.mark.parametrize(("exponent", "holds"), [(-0.5, True), (0.0, False), (0.3, False), (-0.04, False)])
def test_a_quantity_vanishes_when_its_exponent_does_not_by_chance(exponent: float, holds: bool) -> None:
    t = np.array(looks(2000))
    runs: Any = [t**exponent * np.exp(0.05 * RNG.standard_normal(t.size)) for _ in range(6)]
    assert vanishes("check", "statement", runs, 2000).holds is holds


def test_what_is_not_random_vanishes() -> None:
    assert vanishes("check", "statement", [[np.array(0.0)] * len(looks(100))] * 3, 100).holds


def test_t0_is_the_first_step_from_which_on_the_structure_is_the_limits() -> None:
    case = sparse_case()
    method, wrong = case.method("RAMDA", THEORY["RAMDA"]), []
    assert case.truth is not None
    limit = case.truth.manifold

    def record(progress: Progress) -> None:
        wrong.append(case.psi.manifold(progress.solution.point).distance(limit))

    minimize(case.problem, method, steps=400, seed=3, callback=record)
    run = watch(case, method, 400, 3)
    assert run.t0 is not None and run.t0 == max(t for t, count in enumerate(wrong, start=1) if count) + 1 <= 200
    assert run.mismatch == [wrong[t - 1] for t in run.looks] and run.wrong == 0
    short = watch(case, method, run.t0, 3)  # on the manifold at its last step alone
    assert short.t0 is None and short.wrong > 0


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.3, axes=1)], ids=str)
def test_the_worst_subgradient_is_as_long_as_allowed_and_changes_the_structure(psi: Regularizer) -> None:
    linear, anchor = 0.2 * RNG.standard_normal((6, 4)), np.zeros((6, 4))
    problem, start = Subproblem(linear, anchor, 1 + RNG.random((6, 4)), 1.0), np.ones((6, 4))
    best = Automatic().solve(problem, psi, start).point
    for epsilon in (1e-3, 1.0):
        rule = SubgradientNorm(epsilon)
        point = WorstSubgradient().solve(problem, psi, start, rule).point
        assert rule.begin(problem, psi, start)(point, start, 1)
        assert float(problem.residual(point, psi)) <= epsilon * (1 + 1e-9)
    assert psi.manifold(best) != psi.manifold(point)
    np.testing.assert_array_equal(WorstSubgradient().solve(problem, psi, start).point, best)  # no rule: exact


def test_an_objective_gap_is_kept_and_loses_the_structure() -> None:
    psi, problem = L1(0.3), Subproblem(0.2 * np.cos(np.arange(8.0)), np.zeros(8), 1.0, 1.0)
    start = np.ones(8)
    best = Automatic().solve(problem, psi, start).point
    least = float(problem.objective(best, psi))
    point = ObjectiveGap(1e-6).solve(problem, psi, start).point
    assert 0 < float(problem.objective(point, psi)) - least <= 1e-6
    assert np.all(point != 0) and np.count_nonzero(best) == 0
    np.testing.assert_array_equal(ObjectiveGap(0.0).solve(problem, psi, start).point, best)


def test_powers_hold_the_other_weightings() -> None:
    for t in (1, 2, 17):
        assert PowerWeighting(0.5).gain(0.3, t) == SqrtWeighting().gain(0.3, t)
        assert PowerWeighting(0.0).gain(0.3, t) == ConstantWeighting().gain(0.3, t)
    assert PowerWeighting(-2.0).gain(0.3, 4) == pytest.approx(0.3 / 16)


def test_a_method_under_test_takes_the_place_of_ours_and_of_the_control_of_its_name() -> None:
    settings = Settings(method=lambda psi: CONTROLS["ProxSGD"](psi), method_name="proxsgd")
    assert list(under_test(settings)) == ["proxsgd"] and list(controls(settings)) == ["ProxGen"]
    assert list(under_test(Settings())) == ["RAMDA", "RMDA"] and list(controls(Settings())) == ["ProxSGD", "ProxGen"]
    rule = SubgradientNorm(0.1)
    assert under_test(settings)["proxsgd"](L1(0.1), stopping=rule, scale=3.0).stopping == rule


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("seeds", 1, ValueError),
        ("steps", 99, ValueError),
        ("workers", 0, ValueError),
        ("data", ("cifar",), ValueError),
        ("smoke", 1, TypeError),
        ("method", 3, TypeError),
        ("regularizer", 0.1, TypeError),
    ],
)
def test_settings_refuse_what_makes_no_sense(field: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=field):
        Settings(**{field: value})
