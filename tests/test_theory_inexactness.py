"""The check of (7) against objective gaps: it passes, measures what it says, and notices faults."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from optkit.core import Subproblem
from optkit.regularizers import L1, GroupLasso, SquaredL2
from optkit.solvers import Automatic, SubgradientNorm
from optkit.theory_checks import inexactness_measure as module
from optkit.theory_checks.cases import sparse_case
from optkit.theory_checks.findings import Finding, Picture
from optkit.theory_checks.inexact import ObjectiveGap, SpreadSubgradient
from optkit.theory_checks.inexactness_measure_runs import EVERY, Measured, trial
from optkit.theory_checks.methods import THEORY
from optkit.theory_checks.settings import Settings

TINY = Settings(seeds=2, steps=400, smoke=True)


@cache
def outcome() -> list[Finding | Picture]:
    return list(module.check(TINY))


def test_every_claim_holds_and_every_control_fails():
    results = [item for item in outcome() if isinstance(item, Finding)]
    assert [f.statement for f in results if not f.passed] == []
    assert sum(f.control for f in results) == 3
    assert len(outcome()) == len(results) + 2


def test_an_objective_gap_that_is_no_gap_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Exact solutions in the place of the control identify, which it must not."""
    monkeypatch.setattr(module, "ObjectiveGap", lambda gap, exact: exact)
    controls = [f for f in module.check(TINY) if isinstance(f, Finding) and f.control and "identifies" in f.statement]
    assert controls
    assert not any(f.passed for f in controls)


def test_tolerances_that_do_not_fall_are_noticed(monkeypatch: pytest.MonkeyPatch):
    """(8) is violated: epsilon_t = 100 at every step."""
    monkeypatch.setattr(module, "SUMMABLE", SubgradientNorm(100.0))
    claims = [f for f in module.check(TINY) if isinstance(f, Finding) and "(7) and square" in f.statement]
    assert claims
    assert not all(f.passed for f in claims)


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.3, axes=1)], ids=str)
def test_spread_subgradients_meet_7_and_are_no_solutions(psi):
    rng = np.random.default_rng(0)
    problem = Subproblem(rng.standard_normal((6, 3)), rng.standard_normal((6, 3)), 1 + rng.random((6, 3)), 1.0)
    start, rule = problem.anchor, SubgradientNorm(1e-2)
    best = Automatic().solve(problem, psi, start).point
    found = SpreadSubgradient().solve(problem, psi, start, rule)
    assert rule.begin(problem, psi, start)(found.point, start, 1)
    assert float(found.residual) > 1e-3
    assert float(problem.objective(found.point, psi)) > float(problem.objective(best, psi))
    exact = SpreadSubgradient().solve(problem, psi, start)
    assert np.array_equal(exact.point, best)


def test_the_measured_gap_is_the_gap_asked_for():
    rng = np.random.default_rng(0)
    problem = Subproblem(rng.standard_normal(8), rng.standard_normal(8), 1 + rng.random(8), 1.0)
    measured = Measured(ObjectiveGap(1e-4), Automatic())
    for _ in range(2 * EVERY):
        measured.solve(problem, L1(0.2), problem.anchor)
    assert len(measured.gaps) == 2
    assert all(0 < gap <= 1e-4 * (1 + 1e-6) for gap in measured.gaps)


def test_a_trial_of_exact_solves_has_no_gaps():
    case = sparse_case()
    found = trial(case, THEORY["RMDA"](case.psi), 100, 0)
    assert found.gaps == [0.0] * (100 // EVERY)
    assert found.rise > 0


def test_the_margin_is_the_one_said():
    [(case, steps)] = module._cases(TINY)
    assert case.truth is not None
    assert case.truth.margin == pytest.approx(module.MARGIN)
    assert case.truth.residual <= 1e-12
    assert steps == 400


@pytest.mark.parametrize("psi", [L1(0.3), SquaredL2(0.1)], ids=str)
def test_a_given_regularizer_is_used_where_it_gives_structure(psi):
    settings = replace(TINY, regularizer=psi, steps=600)
    results = [item for item in module.check(settings) if isinstance(item, Finding)]
    assert all(f.passed for f in results)
    assert any(str(psi) in f.statement for f in results) is (psi != SquaredL2(0.1))
