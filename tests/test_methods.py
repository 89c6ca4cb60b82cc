"""The methods do what their formulas say: dense twins, averaging, restarts, stages, and room for parts of one's own."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace

from optkit.algorithms import (
    AdamRoot,
    ConstantAveraging,
    ConstantWeighting,
    CubeRoot,
    DualAveraging,
    MethodState,
    MovingAverage,
    ProximalMethod,
    SqrtWeighting,
    SquareRootRamp,
    Stages,
    Step,
    adamw,
    madgrad,
    mda,
    msgd,
    proxgen,
    proxsgd,
    proxssi,
    ramda,
    rda,
    rmda,
)
from optkit.core import Array, Clock, Manifold, Preconditioner, Regularizer, Subproblem
from optkit.regularizers import L1, GroupLasso, Support
from optkit.solvers import Automatic, NewtonRaphson, ProximalGradient, SubgradientNorm

METHODS: dict[str, Callable[..., ProximalMethod]] = {
    "ramda": ramda,
    "rmda": rmda,
    "proxsgd": proxsgd,
    "proxgen": proxgen,
    "rda": rda,
    "proxgen with amsgrad": lambda psi, lr: proxgen(psi, lr, amsgrad=True),
    "proxssi as published": lambda psi, lr: proxssi(
        psi, lr, betas=(0.9, 0.9), weight_decay=0.1, published=True, solver=Automatic()
    ),
    "ramda, c = 1": lambda psi, lr: ramda(psi, lr, averaging=1.0),
    "proxgen with weight decay": lambda psi, lr: proxgen(psi, lr, weight_decay=0.1),
    "proxsgd, averaged": lambda psi, lr: replace(proxsgd(psi, lr), averaging=ConstantAveraging(0.3)),
}
ALL_METHODS = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
PSI = GroupLasso(0.2, axes=0)
SHAPE = (4, 6)
EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-10}
TWIN: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}


def start(seed: int = 0) -> Array:
    """Columns from large to small."""
    return np.random.default_rng(seed).standard_normal(SHAPE) * np.linspace(1.5, 0.1, SHAPE[1])


def gradients(steps: int, seed: int = 1) -> list[Array]:
    """Noisy gradients with a drift in the first columns: under PSI some groups become zero and others do not."""
    rng = np.random.default_rng(seed)
    drift = np.linspace(1.0, 0.0, SHAPE[1])
    return [drift + 0.2 * rng.standard_normal(SHAPE) for _ in range(steps)]


def walk(method: ProximalMethod, w: Array, grads: list[Array], state: MethodState | None = None) -> Iterator[Step]:
    """The steps of the method from w, or from (w, state)."""
    state = method.init(w) if state is None else state
    for grad in grads:
        step = method.step(w, grad, state)
        w, state = step.w, step.state
        yield step


def last(steps: Iterator[Step]) -> Step:
    *_, final = steps
    return final


def leaves(value: Any) -> list[Any]:
    """The numbers and arrays of a state, in order."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple) else [value]


def assert_same(a: Any, b: Any) -> None:
    """Two states, arrays or numbers are equal bit by bit."""
    assert len(leaves(a)) == len(leaves(b))
    for one, other in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


# --- dense twins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("lr", [1e-3, 0.3])
def test_ramda_without_psi_is_madgrad(lr: float, c: float) -> None:
    """Defazio and Jelassi, "Adaptivity without compromise", 2022, Algorithm 1."""
    epsilon, x0, grads = 1e-6, start(), gradients(200)
    s, v, x = np.zeros(SHAPE), np.zeros(SHAPE), x0
    for k, step in enumerate(walk(ramda(lr=lr, averaging=c, epsilon=epsilon), x0, grads)):
        weight = lr * math.sqrt(k + 1)
        s, v = s + weight * grads[k], v + weight * grads[k] ** 2
        z = x0 - s / (np.cbrt(v) + epsilon)
        x = (1 - c) * x + c * z
        np.testing.assert_allclose(step.w, x, **TWIN)


@pytest.mark.parametrize("c", [0.01, 1.0])
@pytest.mark.parametrize("lr", [1e-3, 0.3])
def test_rmda_without_psi_is_mda(lr: float, c: float) -> None:
    """Jelassi and Defazio, "Dual averaging is surprisingly effective for deep learning optimization", 2020."""
    x0, grads = start(), gradients(200)
    s, x = np.zeros(SHAPE), x0
    for k, step in enumerate(walk(rmda(lr=lr, averaging=c), x0, grads)):
        s = s + lr * math.sqrt(k + 1) * grads[k]
        x = (1 - c) * x + c * (x0 - s / math.sqrt(k + 1))
        np.testing.assert_allclose(step.w, x, **TWIN)


def assert_walks_as_torch(method: ProximalMethod, optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    parameter = torch.nn.Parameter(torch.tensor(start()))
    twin, grads = optimizer([parameter]), gradients(200)
    for grad, step in zip(grads, walk(method, start(), grads), strict=True):
        parameter.grad = torch.tensor(grad)
        twin.step()
        np.testing.assert_allclose(step.w, parameter.detach().numpy(), **TWIN)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize(
    ("lr", "betas"), [(1e-3, (0.9, 0.999)), (0.1, (0.9, 0.99)), (0.01, (0.0, 0.5)), (0.0, (0.9, 0.9))]
)
def test_adamw_is_adamw(lr: float, betas: tuple[float, float], weight_decay: float, amsgrad: bool) -> None:
    given: dict[str, Any] = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "amsgrad": amsgrad}
    assert_walks_as_torch(adamw(**given), lambda params: torch.optim.AdamW(params, **given))


@pytest.mark.parametrize("c", [0.1, 0.9, 1.0])
def test_proxsgd_without_psi_is_sgd_with_momentum_1_minus_c_and_lr_times_c(c: float) -> None:
    lr = 0.2
    twin = lambda params: torch.optim.SGD(params, lr=c * lr, momentum=1 - c)  # noqa: E731
    assert_walks_as_torch(proxsgd(lr=lr, momentum=c), twin)
    assert msgd(lr, c) == proxsgd(lr=lr, momentum=c)


def test_the_dense_twins_are_the_methods_without_psi() -> None:
    assert madgrad(0.1, 0.2, 1e-5) == ramda(lr=0.1, averaging=0.2, epsilon=1e-5)
    assert mda(0.1, 0.2) == rmda(lr=0.1, averaging=0.2)
    assert adamw(0.1, weight_decay=0.2) == proxgen(lr=0.1, weight_decay=0.2)


def test_textbook_proxssi_is_proxgen_with_another_solver() -> None:
    one, other = proxssi(PSI, 0.1, weight_decay=0.2), proxgen(PSI, 0.1, weight_decay=0.2)
    differing = [field.name for field in fields(one) if getattr(one, field.name) != getattr(other, field.name)]
    assert differing == ["solver"] and one.solver == NewtonRaphson()
    for a, b in zip(walk(one, start(), gradients(20)), walk(other, start(), gradients(20)), strict=True):
        np.testing.assert_allclose(a.w, b.w, rtol=0, atol=1e-9)


def test_proxssi_as_published_decays_after_the_step_and_corrects_no_bias_in_the_metric() -> None:
    """With the l1 norm, whose weighted prox is soft thresholding."""
    lr, decay, strength, (b1, b2), epsilon = 0.05, 0.1, 0.02, (0.9, 0.99), 1e-6
    w, m, v, grads = start(), np.zeros(SHAPE), np.zeros(SHAPE), gradients(50)
    method = proxssi(L1(strength), lr, (b1, b2), epsilon, decay, published=True, solver=Automatic())
    for t, step in enumerate(walk(method, w, grads), start=1):
        m, v = b1 * m + (1 - b1) * grads[t - 1], b2 * v + (1 - b2) * grads[t - 1] ** 2
        metric = np.sqrt(v) + epsilon
        moved = (w - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / metric) * (1 - lr * decay)
        w = np.sign(moved) * np.maximum(np.abs(moved) - lr * strength / metric, 0)
        np.testing.assert_allclose(step.w, w, **EXACT)


def test_rda_is_the_argmin_of_the_mean_gradient() -> None:
    """Xiao 2010, (8): <gbar, w> + psi(w) + gamma / (2 sqrt(t)) ||w - w0||^2, for the l1 norm."""
    lr, strength, x0, grads = 0.3, 0.4, start(), gradients(50)
    for t, step in enumerate(walk(rda(L1(strength), lr), x0, grads), start=1):
        reach = lr * math.sqrt(t)  # 1 / (gamma / sqrt(t))
        moved = x0 - reach * np.mean(grads[:t], axis=0)
        np.testing.assert_allclose(step.w, np.sign(moved) * np.maximum(np.abs(moved) - reach * strength, 0), **EXACT)


def test_proxsgd_as_published() -> None:
    """Yang et al. 2020, Algorithm 1, with the l1 norm."""
    lr, rho, strength, b2, epsilon = 0.5, 0.9, 0.3, 0.999, 1e-8
    w, m, v, grads = start(), np.zeros(SHAPE), np.zeros(SHAPE), gradients(50)
    for t, step in enumerate(walk(proxsgd(L1(strength), lr, rho, published=True), w, grads), start=1):
        weight, move = (min(x / math.sqrt(t + 4), 1.0) for x in (rho, lr))
        m, v = (1 - weight) * m + weight * grads[t - 1], b2 * v + (1 - b2) * grads[t - 1] ** 2
        metric = np.sqrt(v / (1 - b2**t)) + epsilon
        moved = w - m / metric
        hat = np.sign(moved) * np.maximum(np.abs(moved) - strength / metric, 0)
        w = w + move * (hat - w)
        np.testing.assert_allclose(step.w, w, **EXACT)
        np.testing.assert_allclose(step.solution.point, hat, **EXACT)


def test_proxgen_with_the_l1_norm_soft_thresholds_an_adamw_step() -> None:
    lr, decay, strength, (b1, b2), epsilon = 0.05, 0.1, 0.3, (0.9, 0.99), 1e-8
    w, m, v, grads = start(), np.zeros(SHAPE), np.zeros(SHAPE), gradients(50)
    method = proxgen(L1(strength), lr, (b1, b2), epsilon, decay)
    for t, step in enumerate(walk(method, w, grads), start=1):
        m, v = b1 * m + (1 - b1) * grads[t - 1], b2 * v + (1 - b2) * grads[t - 1] ** 2
        metric = np.sqrt(v / (1 - b2**t)) + epsilon
        moved = (1 - lr * decay) * w - lr * m / (1 - b1**t) / metric
        w = np.sign(moved) * np.maximum(np.abs(moved) - lr * strength / metric, 0)
        np.testing.assert_allclose(step.w, w, **EXACT)
    assert 0 < np.count_nonzero(w) < w.size


# --- the state --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ramda", "rmda", "proxsgd", "proxgen", "ramda, c = 1"])
def test_the_last_solution_is_no_further_copy_in_the_state(name: str) -> None:
    assert last(walk(METHODS[name](PSI, 0.1), start(), gradients(3))).state.solution is None


# --- averaging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("c", "full"), [(1.0, 1), (0.5, 4), (0.3, 12), (0.1, 100), (0.01, 10_000)])
def test_the_ramp_is_c_sqrt_t_until_it_is_exactly_1(c: float, full: int) -> None:
    weights = [SquareRootRamp(c).weight(t) for t in range(1, full + 3)]
    np.testing.assert_allclose(weights[: full - 1], c * np.sqrt(np.arange(1, full)), rtol=1e-15)
    assert all(weight < 1 for weight in weights[: full - 1])
    assert weights[full - 1 :] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("make", [ramda, rmda])
def test_after_the_ramp_the_iterate_is_the_solution_with_its_zeros(make: Callable[..., ProximalMethod]) -> None:
    steps = list(walk(make(PSI, 0.1, SquareRootRamp(0.3)), start(), gradients(15)))
    assert not np.any(steps[10].w == 0) and np.any(steps[10].solution.point == 0)
    for step in steps[11:]:
        np.testing.assert_array_equal(step.w, step.solution.point)
    assert np.any(steps[11].w == 0)


# --- stages -----------------------------------------------------------------------------------------------------------

STAGES = Stages(milestones=(4, 9), lr_factor=0.5, epsilon_factor=0.25)


def staged(base: Callable[[], ProximalMethod], grads: list[Array], w: Array, state: Any = None, taken: int = 0) -> Step:
    """Steps taken + 1 to len(grads) of a run with STAGES; nothing is remembered but what is passed in."""
    state = base().init(w) if state is None else state
    step = Step(w, state, None)  # type: ignore[arg-type]
    for k in range(taken, len(grads)):
        method = STAGES.method(base(), k)
        state = method.restart(step.w) if STAGES.begins(k) and method.anchor == "initial" else step.state
        step = method.step(step.w, grads[k], state)
    return step


@ALL_METHODS
@pytest.mark.parametrize("stop", [1, 4, 6, 9, 11])
def test_a_staged_run_resumes_anywhere(make: Callable[..., ProximalMethod], stop: int) -> None:
    grads = gradients(14)
    half = staged(lambda: make(PSI, 0.1), grads[:stop], start())
    resumed = staged(lambda: make(PSI, 0.1), grads, half.w, copy.deepcopy(half.state), taken=stop)
    assert_same(resumed[:2], staged(lambda: make(PSI, 0.1), grads, start())[:2])


@pytest.mark.parametrize(
    ("steps", "lr", "epsilon", "averaging"),
    [
        (0, 0.1, 1e-2, ConstantAveraging(0.2)),
        (3, 0.1, 1e-2, ConstantAveraging(0.2)),
        (4, 0.05, 2.5e-3, ConstantAveraging(0.2)),
        (8, 0.05, 2.5e-3, ConstantAveraging(0.2)),
        (9, 0.025, 6.25e-4, SquareRootRamp(0.2)),
        (99, 0.025, 6.25e-4, SquareRootRamp(0.2)),
    ],
)
def test_what_the_stages_change(steps: int, lr: float, epsilon: float, averaging: Any) -> None:
    base = ramda(PSI, 0.1, 0.2, 1e-2)
    method = STAGES.method(base, steps)
    assert isinstance(method.preconditioner, CubeRoot)
    assert method.lr == pytest.approx(lr, rel=1e-15) and method.preconditioner.epsilon == pytest.approx(epsilon)
    assert method.averaging == averaging
    assert replace(method, lr=base.lr, preconditioner=base.preconditioner, averaging=base.averaging) == base


def test_what_the_stages_leave() -> None:
    assert Stages().method(ramda(), 10**6) == ramda()
    assert replace(STAGES, ramp=None).method(ramda(averaging=0.2), 99).averaging == ConstantAveraging(0.2)
    own = SquareRootRamp(0.7)
    assert STAGES.method(ramda(averaging=own), 99).averaging == own
    assert STAGES.method(proxgen(PSI, 0.1), 99) == proxgen(PSI, 0.025)
    assert [k for k in range(12) if STAGES.begins(k)] == [4, 9]


# --- parts of one's own -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole(Regularizer):
    """strength * ||w||, one block: what a user writes by the interface alone."""

    strength: float
    convex = True

    def block_values(self, w: Array) -> Array:
        return self.strength * array_namespace(w).sum(w * w, keepdims=True) ** 0.5

    def prox(self, v: Array, scale: Any) -> Array:
        xp = array_namespace(v)
        norm, threshold = xp.sum(v * v) ** 0.5, scale * self.strength
        return xp.where(norm > threshold, v * (1 - threshold / xp.maximum(norm, threshold)), xp.zeros_like(v))

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        norm, length = float((w * w).sum()) ** 0.5, float((u * u).sum()) ** 0.5
        if norm > 0:
            return w * (self.strength / norm)
        return u * min(1.0, self.strength / length) if length > 0 else u

    def manifold(self, w: Array) -> Manifold:
        return Support.of(self.block_max(abs(w)) != 0, w.shape, "arrays")

    def block_max(self, a: Array) -> Array:
        return array_namespace(a).max(a, keepdims=True)


@ALL_METHODS
@pytest.mark.parametrize("strength", [0.3, 30.0])
def test_an_own_regularizer(make: Callable[..., ProximalMethod], strength: float) -> None:
    """Written anew it walks as the group lasso with one group, though that has another solver."""
    tight = SubgradientNorm(1e-11, max_iterations=20_000)
    own = replace(make(Whole(strength), 0.1), stopping=tight)
    known = make(GroupLasso(strength, axes=(0, 1), scale_by_size=False), 0.1)
    grads = gradients(10)
    for a, b in zip(walk(own, start(), grads), walk(known, start(), grads), strict=True):
        assert bool(a.solution.converged)
        np.testing.assert_allclose(a.w, b.w, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(a.solution.point == 0, b.solution.point == 0)


class Largest(NamedTuple):
    """largest: the entrywise largest |g| so far."""

    largest: Array


@dataclass(frozen=True)
class Infinity(Preconditioner[Largest]):
    """metric = floor + max over k of |g_k|."""

    floor: float = 0.5
    state_type = Largest

    def init(self, w: Array) -> Largest:
        return Largest(array_namespace(w).zeros_like(w))

    def update(self, grad: Array, clock: Clock, state: Largest) -> Largest:
        xp = array_namespace(grad)
        return Largest(xp.maximum(state.largest, xp.abs(grad)))

    def metric(self, state: Largest, clock: Clock) -> Array:
        return state.largest + self.floor


def test_an_own_preconditioner() -> None:
    w0, grads = start(), gradients(10)
    method = ProximalMethod(L1(0.1), DualAveraging(), Infinity(), SqrtWeighting(), "initial", lr=0.1)
    total, weight, largest = np.zeros(SHAPE), 0.0, np.zeros(SHAPE)
    for k, step in enumerate(walk(method, w0, grads)):
        gain = 0.1 * math.sqrt(k + 1)
        total, weight, largest = total + gain * grads[k], weight + gain, np.maximum(largest, np.abs(grads[k]))
        moved = w0 - total / (0.5 + largest)
        expected = np.sign(moved) * np.maximum(np.abs(moved) - 0.1 * weight / (0.5 + largest), 0)
        np.testing.assert_allclose(step.w, expected, **EXACT)
    assert np.any(step.w == 0) and np.any(step.w != 0)
    assert STAGES.method(method, 99).preconditioner == Infinity(), "a metric without an epsilon stays as it is"


def test_the_named_methods_are_choices_of_parts() -> None:
    assembled = ProximalMethod(PSI, MovingAverage(0.1), AdamRoot(0.99), ConstantWeighting(), "previous", lr=1e-3)
    estimator = MovingAverage(1 - 0.9, bias_correction=True)
    assert proxgen(PSI, betas=(0.9, 0.99)) == replace(assembled, estimator=estimator)
    assert adamw(weight_decay=0.0) == proxgen(weight_decay=0.0)


# --- refusals ---------------------------------------------------------------------------------------------------------

NUMBERS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    *(
        ("lr", make, {"lr": lr})
        for make in (ramda, rmda, proxsgd, proxgen, adamw)
        for lr in (-1e-9, math.nan, math.inf)
    ),
    *(("averaging", make, {"averaging": c}) for make in (ramda, rmda) for c in (0, -0.1, 1.1, math.nan)),
    *(
        ("epsilon", make, {"epsilon": epsilon})
        for make in (ramda, proxgen, adamw)
        for epsilon in (0.0, -1e-8, math.nan)
    ),
    *(("momentum", proxsgd, {"momentum": c}) for c in (0.0, 1.1, math.nan)),
    *(("weight_decay", make, {"weight_decay": -0.1}) for make in (proxgen, adamw)),
    ("betas[0]", proxgen, {"betas": (1.0, 0.9)}),
    ("betas[1]", adamw, {"betas": (0.9, 1.0)}),
    ("betas[1]", proxgen, {"betas": (0.9, -0.1)}),
    ("milestones", Stages, {"milestones": (0, 3)}),
    ("milestones", Stages, {"milestones": (3, 3)}),
    ("milestones", Stages, {"milestones": (5, 3)}),
    ("lr_factor", Stages, {"lr_factor": 0.0}),
    ("epsilon_factor", Stages, {"epsilon_factor": math.inf}),
]


def label(value: Any) -> str:
    """The same in every process, which str of a function is not."""
    return getattr(value, "__name__", str(value))


TYPES: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("lr", ramda, {"lr": "0.1"}),
    ("lr", proxgen, {"lr": True}),
    ("psi", ramda, {"psi": 0.1}),
    ("psi", rmda, {"psi": L1}),
    ("solver", proxgen, {"solver": "newton"}),
    ("stopping", proxsgd, {"stopping": 1e-8}),
    ("averaging", ramda, {"averaging": "ramp"}),
    ("betas", proxgen, {"betas": 0.9}),
    ("betas", adamw, {"betas": (0.9, 0.99, 0.999)}),
    ("milestones", Stages, {"milestones": 3}),
    ("milestones", Stages, {"milestones": (1.5,)}),
]


@pytest.mark.parametrize(("name", "make", "given"), NUMBERS, ids=label)
def test_a_number_out_of_range_is_refused_by_name(name: str, make: Callable[..., Any], given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)} must .*, got ") as raised:
        make(**given)
    assert str(raised.value).rpartition(", got ")[2] in repr(given)


@pytest.mark.parametrize(("name", "make", "given"), TYPES, ids=label)
def test_a_value_of_another_kind_is_refused_by_name(name: str, make: Callable[..., Any], given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=name):
        make(**given)


@pytest.mark.parametrize(
    ("field", "value"),
    [("psi", None), ("estimator", CubeRoot()), ("preconditioner", L1(1)), ("weighting", 1.0), ("averaging", 0.1)],
)
def test_a_part_in_the_wrong_place_is_refused(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{field} must be a "):
        replace(ramda(), **{field: value})


def test_an_unknown_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="anchor must be one of 'initial', 'previous', got 'first'"):
        replace(ramda(), anchor="first")  # type: ignore[arg-type]


@pytest.mark.parametrize("w", [np.arange(6).reshape(2, 3), np.ones((2, 3), dtype=complex), [[1.0]], 1.0], ids=repr)
def test_a_start_that_is_no_floating_array_is_refused(w: Any) -> None:
    with pytest.raises(TypeError, match="w must be an array"):
        ramda().init(w)


def test_a_start_that_psi_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"w: GroupLasso: axes \(0, 2, 3\) do not exist in an array of shape \(4, 6\)"):
        ramda(GroupLasso(0.1, axes=(0, 2, 3))).init(start())
    with pytest.raises(ValueError, match="w: GroupLasso has axes=None"):
        ramda(GroupLasso(0.1)).init(start())


@pytest.mark.parametrize("lr", [1e-1, 1e-3, 1e-5])
def test_condition_7_is_that_of_the_papers_subproblem(lr: float) -> None:
    """(6) has 1 / lr in its metric: the bound holds for it, whatever the step size."""
    rng = np.random.default_rng(0)
    w, grad = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    method = proxgen(GroupLasso(0.02, axes=1), lr, solver=ProximalGradient(), stopping=SubgradientNorm(1e-4))
    _, state, solution = method.step(w, grad, method.init(w))
    assert solution.converged
    given = method.subproblem(w, state)
    paper = Subproblem(given.linear / lr, w, given.metric / lr, 1.0)
    assert paper.residual(solution.point, method.psi) <= 1e-4 * (1 + 1e-6)


def test_weight_decay_needs_the_previous_anchor() -> None:
    with pytest.raises(ValueError, match="weight_decay must be 0 for a method anchored at W_0, got 0.1"):
        replace(ramda(), weight_decay=0.1)
