"""How the theory checks decide: intervals, exponents, T0, and solvers that use a tolerance to the full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from optkit import minimize
from optkit.algorithms import ConstantWeighting, PowerWeighting, SqrtWeighting, proxgen, rmda
from optkit.core import Regularizer, Subproblem
from optkit.minimize import Progress
from optkit.regularizers import L1, GroupLasso
from optkit.solvers import Automatic, SubgradientNorm
from optkit.theory_checks import Finding, Settings, identification, inexact_proxgen, run, stationarity
from optkit.theory_checks.cases import sparse_case
from optkit.theory_checks.decay import looks, vanishes
from optkit.theory_checks.findings import mean_interval, proportion, slope
from optkit.theory_checks.identification import watch
from optkit.theory_checks.inexact import ObjectiveGap, WorstSubgradient
from optkit.theory_checks.methods import CONTROLS, THEORY, controls, under_test
from optkit.theory_checks.truth import known

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


def test_nan_is_no_success_of_a_control() -> None:
    runs: Any = [np.full(len(looks(100)), np.nan)] * 3
    assert not vanishes("check", "statement", runs, 100, control=True).passed


def test_one_zero_does_not_make_a_decay() -> None:
    flat = np.ones(len(looks(1000)))
    flat[-1] = 0.0
    runs: Any = [flat] * 3
    assert not vanishes("check", "statement", runs, 1000).holds


def test_an_interval_of_one_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two independent runs, got 1"):
        mean_interval([0.3])


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


def test_the_worst_subgradient_pushes_the_block_nearest_to_leaving() -> None:
    """The largest entry is in the first group, the least margin in the second."""
    psi = GroupLasso(1.0, axes=1, scale_by_size=False)
    linear = np.array([[0.9, 0.0, 0.0, 0.0], [0.49, 0.49, 0.49, 0.49]])
    problem, rule = Subproblem(linear, np.zeros((2, 4)), 1.0, 1.0), SubgradientNorm(0.05)
    point = WorstSubgradient(exact=Automatic()).solve(problem, psi, np.full((2, 4), -0.5), rule).point
    assert np.all(point[0] == 0) and np.all(point[1] != 0)


def test_margins_and_tolerances_come_out_on_short_runs() -> None:
    settings = Settings(seeds=6, steps=1000, smoke=True)
    found = [*identification._margins(settings), *identification._tolerances(settings)]
    findings = [item for item in found if isinstance(item, Finding)]
    assert [finding.statement for finding in findings if not finding.passed] == []
    assert sum(finding.control for finding in findings) == 4


def test_a_wrong_truth_is_reported() -> None:
    case = sparse_case()
    assert case.truth is not None
    off = replace(case, truth=known(case.problem, case.psi, case.truth.point + 1e-3))
    runs = [watch(off, off.method("RAMDA", THEORY["RAMDA"]), 100, 0)]
    assert not identification._nondegenerate(off, runs).holds
    assert identification._nondegenerate(case, [watch(case, case.method("RMDA", THEORY["RMDA"]), 100, 0)]).holds


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_7_holds_for_exact_steps_also_after_weight_decay(decay: float) -> None:
    case = sparse_case()
    held: list[bool] = []
    method, previous = proxgen(case.psi, 0.05, weight_decay=decay), case.problem.start

    def record(progress: Progress) -> None:
        nonlocal previous
        held.append(stationarity.solved(case, progress, previous))
        previous = progress.w

    minimize(case.problem, method, steps=20, callback=record)
    assert all(held)


def test_theorem_4_comes_out_on_short_runs() -> None:
    found = [
        item for item in inexact_proxgen.check(Settings(seeds=3, steps=1000, smoke=True)) if isinstance(item, Finding)
    ]
    assert [finding.statement for finding in found if not finding.passed] == []
    assert len(found) == 5
    mine = Settings(seeds=2, steps=200, smoke=True, method=lambda psi: rmda(psi), method_name="rmda")
    assert list(inexact_proxgen.check(mine)) == []  # anchored at W_0


def test_one_name_is_no_list_of_checks() -> None:
    with pytest.raises(TypeError, match=r"got 'errata'; give \['errata'\]"):
        run("errata")


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
        ("data", "digits", TypeError),
        ("smoke", 1, TypeError),
        ("method", 3, TypeError),
        ("regularizer", 0.1, TypeError),
    ],
)
def test_settings_refuse_what_makes_no_sense(field: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=field):
        Settings(**{field: value})
