"""The laws of optkit.testing catch planted faults, each by the law that it breaks, and let whole parts pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace

from optkit.algorithms import AdamRoot, Constant, CubeRoot
from optkit.core import Array, Regularizer, Solution, Subproblem
from optkit.regularizers import L1, MCP, GroupLasso, Zero
from optkit.solvers import Automatic, ProximalGradient
from optkit.testing import (
    LawBroken,
    check_preconditioner,
    check_regularizer,
    check_solver,
)

# --- broken regularizers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NaNAtZero(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return super().prox(v, scale) * (v / v)


@dataclass(frozen=True)
class ForgottenSize(GroupLasso):
    def prox(self, v: Array, scale: Any) -> Array:
        return GroupLasso(self.strength, self.axes, scale_by_size=False).prox(v, scale)


@dataclass(frozen=True)
class WrongScale(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        return super().prox(v, scale * scale)


@dataclass(frozen=True)
class NotNearest(L1):
    """Every subgradient at 0 is 0: one of them, but not the nearest."""

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        xp = array_namespace(w)
        return xp.where(w == 0, xp.zeros_like(w), super().project_subdifferential(w, u))


@dataclass(frozen=True)
class InPlace(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        p = super().prox(v, scale)
        v[...] = p
        return p


@dataclass(frozen=True)
class DoublePrecision(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        xp = array_namespace(v)
        return xp.astype(super().prox(v, scale), xp.float64)


@dataclass(frozen=True)
class SmallLambdaMax(GroupLasso):
    def block_lambda_max(self, gradient: Array) -> Array:
        return 0.9 * super().block_lambda_max(gradient)


@dataclass(frozen=True)
class MeanOfBlock(GroupLasso):
    def block_max(self, a: Array) -> Array:
        return self.group_sum(a) / self.group_size(a.shape)


@dataclass(frozen=True)
class NotConvex(MCP):
    convex = True
    weak_convexity = 0.0  # type: ignore[assignment]


@dataclass(frozen=True)
class NotSeparable(GroupLasso):
    separable = True


@dataclass(frozen=True)
class NotHomogeneous(MCP):
    homogeneous = True


@dataclass(frozen=True)
class NotAnyMetric(GroupLasso):
    any_metric = True  # type: ignore[assignment]


@dataclass(frozen=True)
class NotTheSum(L1):
    def value(self, w: Array) -> Array:
        return 2 * super().value(w)


@dataclass(frozen=True)
class AlmostZero(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        p = super().prox(v, scale)
        return array_namespace(v).where(p == 0, 1e-20 * v, p)


@dataclass(frozen=True)
class HiddenNaN(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        xp = array_namespace(v)
        return super().prox(xp.where(xp.isnan(v), xp.zeros_like(v), v), scale)


@dataclass(frozen=True)
class WideMargin(L1):
    def block_margins(self, w: Array, gradient: Array) -> Array:
        return 2 * super().block_margins(w, gradient)


@dataclass(frozen=True)
class NarrowMargin(L1):
    def block_margins(self, w: Array, gradient: Array) -> Array:
        return 0.5 * super().block_margins(w, gradient)


@dataclass(frozen=True)
class Refuses(L1):
    def check(self, shape: tuple[int, ...]) -> None:
        raise ValueError("no")


COLUMNS: dict[str, Any] = {"axes": 0}
BROKEN: list[tuple[Callable[..., Regularizer], dict[str, Any], str]] = [
    (NaNAtZero, {}, "prox_of_0_is_finite"),
    (ForgottenSize, COLUMNS, "prox_is_stationary"),
    (ForgottenSize, COLUMNS, "prox_minimises"),
    (ForgottenSize, COLUMNS, "prox_is_moreaus"),
    (WrongScale, {}, "prox_is_stationary"),
    (NotNearest, {}, "the_projection_is_the_nearest_subgradient"),
    (InPlace, {}, "inputs_are_untouched"),
    (DoublePrecision, {}, "arrays_keep_their_kind"),
    (SmallLambdaMax, COLUMNS, "lambda_max_is_the_least_strength"),
    (MeanOfBlock, COLUMNS, "block_max_is_the_least_majorant"),
    (MeanOfBlock, COLUMNS, "blocks_are_a_partition"),
    (NotConvex, {}, "convex_up_to_weak_convexity"),
    (NotSeparable, COLUMNS, "separable_means_by_entry"),
    (NotHomogeneous, {}, "homogeneous_means_homogeneous"),
    (NotAnyMetric, COLUMNS, "any_metric_means_any_metric"),
    (NotTheSum, {}, "value_is_the_sum"),
    (AlmostZero, {}, "zeros_are_exact"),
    (HiddenNaN, {}, "nan_stays_nan"),
    (WideMargin, {}, "margin_is_the_distance_to_a_change"),
    (NarrowMargin, {}, "margin_is_the_distance_to_a_change"),
    (Refuses, {}, "the_shape_is_accepted"),
]


@pytest.mark.parametrize(("part", "fields", "law"), BROKEN, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_broken_regularizer_is_caught_by_its_law(part: Any, fields: dict[str, Any], law: str) -> None:
    def make(strength: float) -> Regularizer:
        return part(strength, **fields)

    backends = ["numpy64", "numpy32"]
    with pytest.raises(LawBroken, match=rf"{part.__name__}.* breaks {law} on numpy(64|32): ") as caught:
        check_regularizer(make, (3, 2), laws=[law], backends=backends, examples=30)
    assert caught.value.__cause__ is not None
    whole = part.__mro__[1]
    check_regularizer(lambda strength: whole(strength, **fields), (3, 2), laws=[law], backends=backends, examples=30)


def test_a_naive_twin_that_differs_is_caught() -> None:
    with pytest.raises(LawBroken, match="breaks prox_agrees_with_the_naive_one on numpy64"):
        check_regularizer(L1, (3,), laws=["prox_agrees_with_the_naive_one"], naive_prox=lambda psi, block, scale: block)


# --- broken solvers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlwaysConverged(ProximalGradient):
    def solve(self, problem: Subproblem, psi: Regularizer, start: Array, stopping: Any = None) -> Solution:
        return replace(super().solve(problem, psi, start, stopping), converged=True)


@dataclass(frozen=True)
class NoResidual(ProximalGradient):
    def solve(self, problem: Subproblem, psi: Regularizer, start: Array, stopping: Any = None) -> Solution:
        return replace(super().solve(problem, psi, start, stopping), residual=0.0)


@dataclass(frozen=True)
class ChangesStart(ProximalGradient):
    def solve(self, problem: Subproblem, psi: Regularizer, start: Array, stopping: Any = None) -> Solution:
        solution = super().solve(problem, psi, start, stopping)
        start[...] = solution.point
        return solution


@dataclass(frozen=True)
class StaysAtStart(Automatic):
    def solve(self, problem: Subproblem, psi: Regularizer, start: Array, stopping: Any = None) -> Solution:
        return replace(super().solve(problem, psi, start, stopping), point=start)


@dataclass(frozen=True)
class RefusesOtherwise(Automatic):
    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return "not today"


@dataclass(frozen=True)
class GoesOn(ProximalGradient):
    def solve(self, problem: Subproblem, psi: Regularizer, start: Array, stopping: Any = None) -> Solution:
        return replace(super().solve(problem, psi, start, stopping), iterations=1000)


@pytest.mark.parametrize(
    ("solver", "law"),
    [
        (AlwaysConverged(), "converged_means_condition_7"),
        (NoResidual(), "residual_is_honest"),
        (ChangesStart(), "inputs_are_untouched"),
        (StaysAtStart(), "residual_is_honest"),
        (StaysAtStart(), "converged_means_stationary"),
        (StaysAtStart(), "without_weight_it_is_a_gradient_step"),
        (RefusesOtherwise(), "unsupported_is_refused"),
        (GoesOn(), "iterations_are_within_the_rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_solver_is_caught_by_its_law(solver: Any, law: str) -> None:
    psi = GroupLasso(0.5, axes=0)
    with pytest.raises(LawBroken, match=f"{type(solver).__name__}.* breaks {law} on numpy64: "):
        check_solver(solver, psi, (3, 2), laws=[law], backends=["numpy64"], examples=30)
    check_solver(type(solver).__mro__[1](), psi, (3, 2), laws=[law], backends=["numpy64"], examples=10)


# --- broken preconditioners -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ZeroMetric(CubeRoot):
    def metric(self, state: Any, clock: Any) -> Array:
        return state.sum ** (1 / 3)


@dataclass(frozen=True)
class ChangesState(CubeRoot):
    def update(self, grad: Array, clock: Any, state: Any) -> Any:
        state.sum[...] += clock.gain * grad * grad
        return state


@dataclass(frozen=True)
class ForgetsItsType(AdamRoot):
    def scale_epsilon(self, factor: float) -> Any:
        return AdamRoot(self.beta, self.epsilon * factor)


@dataclass(frozen=True)
class PlainState(Constant):
    def init(self, w: Array) -> Any:
        return {}


@dataclass(frozen=True)
class DoubleMetric(AdamRoot):
    def metric(self, state: Any, clock: Any) -> Array:
        metric = super().metric(state, clock)
        xp = array_namespace(metric)
        return xp.astype(metric, xp.float64)


@pytest.mark.parametrize(
    ("part", "law"),
    [
        (ZeroMetric(), "metric_is_positive"),
        (ChangesState(), "inputs_are_untouched"),
        (ForgetsItsType(), "scaling_epsilon_keeps_the_type"),
        (PlainState(), "state_is_of_its_type"),
        (DoubleMetric(), "arrays_keep_their_kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_preconditioner_is_caught_by_its_law(part: Any, law: str) -> None:
    with pytest.raises(LawBroken, match=rf"{type(part).__name__}.* breaks {law} on numpy(64|32): "):
        check_preconditioner(part, laws=[law], backends=["numpy64", "numpy32"])
    check_preconditioner(type(part).__mro__[1](), laws=[law], backends=["numpy64", "numpy32"])


# --- the kit itself ---------------------------------------------------------------------------------------------------


def test_a_law_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no law 'prox'; choose from the_shape_is_accepted, "):
        check_regularizer(Zero(), (2,), laws=["prox"])


def test_numbers_of_every_size_are_told_apart_by_block() -> None:
    """A fault in a small block is seen beside a huge one."""

    @dataclass(frozen=True)
    class FaultyWhenSmall(L1):
        def prox(self, v: Array, scale: Any) -> Array:
            p = super().prox(v, scale)
            return array_namespace(v).where(abs(v) < 1e-20, 0.5 * p, p)

    with pytest.raises(LawBroken, match="FaultyWhenSmall.* breaks prox_is_stationary"):
        check_regularizer(FaultyWhenSmall, (4,), laws=["prox_is_stationary"], backends=["numpy64"], examples=50)


def test_the_message_tells_the_formula() -> None:
    with pytest.raises(LawBroken, match="prox\\(v, 0\\) = v, every bit"):
        check_regularizer(Moves, (2,), laws=["scale_0_is_the_identity"])


@dataclass(frozen=True)
class Moves(L1):
    def prox(self, v: Array, scale: Any) -> Array:
        return super().prox(v, scale + 0.1)
