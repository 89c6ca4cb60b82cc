"""Methods that are wrong in one place: which check notices, and that the right method passes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from optkit.algorithms import CubeRoot, PowerWeighting, ProximalMethod
from optkit.algorithms.preconditioners import SquareSum
from optkit.core import Array, Clock, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import L1, GroupLasso
from optkit.solvers import Automatic
from optkit.theory_checks import Settings, run
from optkit.theory_checks.inexact import ObjectiveGap
from optkit.theory_checks.methods import THEORY

SPARSE, GROUPS = L1(0.2), GroupLasso(0.1, axes=1)
Change = Callable[[ProximalMethod], ProximalMethod]


@dataclass(frozen=True)
class Forgetting(CubeRoot):
    """The cubic root of t times an exponential moving average of the squares."""

    def update(self, grad: Array, clock: Clock, state: SquareSum) -> SquareSum:
        return SquareSum(0.9 * state.sum + 0.1 * (grad * grad))

    def metric(self, state: SquareSum, clock: Clock) -> Array:
        return (state.sum * clock.t**0.45) ** (1 / 3) + self.epsilon


@dataclass(frozen=True)
class ForgetsTheSize(SubproblemSolver):
    """Solves without the factor sqrt(group size)."""

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return None

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        assert isinstance(psi, GroupLasso)
        return Automatic().solve(problem, replace(psi, scale_by_size=False), start, stopping)


def reported(check: str, psi: Regularizer, change: Change, seeds: int = 6, steps: int = 300) -> set[str]:
    """What the check reports of the changed RAMDA, without the name of the problem."""
    settings = Settings(
        seeds=seeds, steps=steps, method=lambda psi: change(THEORY["RAMDA"](psi)), method_name="mutant", regularizer=psi
    )
    failed = {finding.statement for finding in run([check], settings).findings if not finding.passed}
    return {statement.rpartition(": ")[0] for statement in failed}


MUTATIONS: dict[str, tuple[str, Regularizer, Change, set[str]]] = {
    "metric from a moving average": (
        "variance_reduction",
        SPARSE,
        lambda method: replace(method, preconditioner=Forgetting()),
        {"mutant: U_t / alpha_t - E[g g] -> 0", "mutant: the metric's randomness averages out"},
    ),
    "weights 1 / t^2": (
        "variance_reduction",
        SPARSE,
        lambda method: replace(method, weighting=PowerWeighting(-2.0)),
        {"mutant", "mutant: V_t / alpha_t - grad f(W_t) -> 0"},  # the first is (13)
    ),
    "stops at an objective gap": (
        "identification",
        SPARSE,
        lambda method: replace(method, solver=ObjectiveGap(1e-8)),
        {"mutant identifies"},
    ),
    "the solver forgets sqrt(group size)": (
        "stationarity",
        GROUPS,
        lambda method: replace(method, solver=ForgetsTheSize()),
        {"mutant: (7) holds"},
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_reported(name: str) -> None:
    check, psi, change, statements = MUTATIONS[name]
    assert statements <= reported(check, psi, change)


@pytest.mark.parametrize(
    ("check", "psi"),
    [("variance_reduction", SPARSE), ("identification", SPARSE), ("stationarity", GROUPS)],
    ids=["variance_reduction", "identification", "stationarity"],
)
def test_the_unchanged_method_passes(check: str, psi: Regularizer) -> None:
    assert reported(check, psi, lambda method: method, steps=1000) == set()
