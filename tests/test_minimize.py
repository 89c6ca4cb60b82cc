"""`minimize` finds the known minimisers of convex problems, with their zeros, and keeps its promises as a driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import cvxpy
import numpy as np
import pytest
import torch
from array_api_compat import array_namespace

from optkit import minimize, problems
from optkit.algorithms import ProximalMethod, Stages, proxgen, proxsgd, ramda, rmda
from optkit.core import Array, ConvergenceWarning, Regularizer
from optkit.minimize import Progress
from optkit.regularizers import L1, GroupLasso
from optkit.solvers import ProximalGradient, SubgradientNorm

SAMPLES, SHAPE = 60, (4, 6)
GROUPS, ENTRIES = GroupLasso(0.05, axes=0), L1(0.05)


@cache
def data() -> tuple[Array, Array, Array]:
    """Features, responses and labels (-1 or 1) of a linear model with two columns out of six."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((SAMPLES, math.prod(SHAPE)))
    weights = np.zeros(SHAPE)
    weights[:, :2] = 2 * rng.standard_normal((SHAPE[0], 2))
    scores = features @ weights.reshape(-1)
    noise = rng.standard_normal(SAMPLES)
    return features, scores + 0.1 * noise, np.where(scores + noise > 0, 1.0, -1.0)


@dataclass
class LeastSquares:
    """||A w - b||^2 / 2n; with batch > 0 the gradient is that of a random batch."""

    start: Array
    batch: int = 0

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        features, responses, _ = data()
        rows = rng.integers(SAMPLES, size=self.batch) if self.batch else np.arange(SAMPLES)
        a, b = self._like(features[rows]), self._like(responses[rows])
        xp = array_namespace(w)
        return xp.reshape(a.T @ (a @ xp.reshape(w, (-1,)) - b), w.shape) / len(rows)

    def _like(self, array: Array) -> Array:
        xp = array_namespace(self.start)
        return xp.asarray(array, dtype=self.start.dtype)

    @staticmethod
    def loss(scores: Any) -> Any:
        return cvxpy.sum_squares(scores - data()[1]) / (2 * SAMPLES)


@dataclass
class Logistic:
    """mean log(1 + exp(-y <a, w>))."""

    start: Array

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        features, _, labels = data()
        slopes = -labels / (1 + np.exp(labels * (features @ w.reshape(-1))))
        return (features.T @ slopes).reshape(w.shape) / SAMPLES

    @staticmethod
    def loss(scores: Any) -> Any:
        return cvxpy.sum(cvxpy.logistic(-cvxpy.multiply(data()[2], scores))) / SAMPLES


PROBLEMS: dict[str, Any] = {"least squares": LeastSquares, "logistic regression": Logistic}
PENALTIES: dict[str, tuple[Regularizer, Callable[[Any], Any]]] = {
    "l1": (ENTRIES, lambda w: 0.05 * cvxpy.sum(cvxpy.abs(w))),
    "group lasso": (GROUPS, lambda w: 0.05 * math.sqrt(SHAPE[0]) * cvxpy.sum(cvxpy.norm(w, 2, axis=0))),
}


@cache
def objective(problem: str, penalty: str) -> tuple[Any, Any]:
    """The variable and F in the words of cvxpy, which shares no line with optkit."""
    w = cvxpy.Variable(SHAPE)
    scores = data()[0] @ cvxpy.reshape(w, (w.size,), order="C")
    return w, cvxpy.Problem(cvxpy.Minimize(PROBLEMS[problem].loss(scores) + PENALTIES[penalty][1](w)))


@cache
def minimiser(problem: str, penalty: str) -> tuple[Array, float]:
    """The minimiser, good to about 1e-5 with zeros not exact, and the minimum."""
    w, program = objective(problem, penalty)
    program.solve(solver=cvxpy.CLARABEL)
    assert program.status == cvxpy.OPTIMAL and w.value is not None
    return np.array(w.value), float(program.value)


def value(problem: str, penalty: str, point: Array) -> float:
    """F at a point, evaluated by cvxpy."""
    w, program = objective(problem, penalty)
    w.value = point
    return float(program.objective.value)


# (method, steps, how far from the minimum, how far from the minimiser): dual averaging converges sublinearly
METHODS: dict[str, tuple[Callable[[Regularizer], ProximalMethod], int, float, float]] = {
    "proximal gradient": (lambda psi: proxsgd(psi, lr=0.3, momentum=1.0), 1000, 1e-8, 5e-5),
    "proxsgd": (lambda psi: proxsgd(psi, lr=0.3), 1000, 1e-8, 5e-5),
    "proxgen": (lambda psi: proxgen(psi, lr=0.01), 1500, 1e-8, 5e-5),
    "ramda": (lambda psi: ramda(psi, lr=0.1, averaging=0.1), 1500, 1e-5, 1e-2),
    "rmda": (lambda psi: rmda(psi, lr=0.5, averaging=0.1), 3000, 1e-5, 1e-2),
}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", METHODS)
def test_the_minimiser_is_found_with_its_zeros(method: str, problem: str, penalty: str) -> None:
    make, steps, gap, distance = METHODS[method]
    result = minimize(PROBLEMS[problem](np.zeros(SHAPE)), make(PENALTIES[penalty][0]), steps=steps)
    expected, minimum = minimiser(problem, penalty)
    assert value(problem, penalty, result.structured) <= minimum + gap
    np.testing.assert_allclose(result.structured, expected, rtol=0, atol=distance)
    np.testing.assert_array_equal(result.structured != 0, np.abs(expected) > 1e-4)
    np.testing.assert_allclose(result.w, result.structured, rtol=0, atol=distance)
    assert 0 < np.count_nonzero(result.structured == 0) < result.structured.size
    assert (result.steps, result.uncertified) == (steps, 0)


def stochastic(start: Array | None = None) -> LeastSquares:
    return LeastSquares(np.zeros(SHAPE) if start is None else start, batch=8)


# --- the driver -------------------------------------------------------------------------------------------------------


def test_the_structure_is_in_structured_not_in_w() -> None:
    start = np.random.default_rng(3).standard_normal(SHAPE)
    result = minimize(stochastic(start), ramda(GroupLasso(0.2, axes=0), lr=0.1, averaging=0.1), steps=60)
    assert np.all(result.w != 0) and np.any(result.structured == 0)


def test_with_a_final_ramp_w_reaches_structured() -> None:
    method, stages = ramda(GroupLasso(0.2, axes=0), lr=0.1, averaging=0.1), Stages((100, 200))
    result = minimize(stochastic(), method, steps=320, stages=stages)
    np.testing.assert_array_equal(result.w, result.structured)
    assert np.any(result.w == 0)


@pytest.mark.parametrize("make", [ramda, rmda, proxgen, proxsgd])
def test_equal_seeds_give_equal_runs(make: Callable[..., ProximalMethod]) -> None:
    method = make(GROUPS, lr=0.05)
    first, again, other = (minimize(stochastic(), method, steps=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.w, again.w)
    assert np.any(first.w != other.w)


@pytest.mark.parametrize("make", [ramda, rmda, proxgen, proxsgd])
def test_numpy_and_torch_agree(make: Callable[..., ProximalMethod]) -> None:
    run = dict[str, Any](steps=30, seed=4, stages=Stages((10, 20)))
    ours = minimize(stochastic(), make(GROUPS, lr=0.05), **run)
    theirs = minimize(stochastic(torch.zeros(SHAPE, dtype=torch.float64)), make(GROUPS, lr=0.05), **run)
    assert isinstance(theirs.w, torch.Tensor) and isinstance(theirs.structured, torch.Tensor)
    np.testing.assert_allclose(theirs.w.numpy(), ours.w, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(theirs.structured.numpy() == 0, ours.structured == 0)


def test_the_callback_sees_every_step_and_what_the_result_says() -> None:
    seen: list[Progress] = []
    stages = Stages((5, 10))
    result = minimize(stochastic(), ramda(GROUPS, lr=0.1), steps=12, stages=stages, callback=seen.append)
    assert [progress.steps for progress in seen] == list(range(1, 13))
    assert [progress.state.t for progress in seen] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert [progress.method for progress in seen] == [stages.method(ramda(GROUPS, lr=0.1), k) for k in range(12)]
    final = seen[-1]
    assert (final.method, final.state) == (result.method, result.state)
    np.testing.assert_array_equal(final.w, result.w)
    np.testing.assert_array_equal(final.solution.point, result.structured)


@pytest.mark.parametrize(("answer", "steps"), [(True, 3), (False, 10), (None, 10)])
def test_the_run_ends_where_the_callback_returns_true(answer: bool | None, steps: int) -> None:
    result = minimize(stochastic(), ramda(GROUPS), steps=10, callback=lambda p: answer if p.steps == 3 else None)
    assert result.steps == steps
    np.testing.assert_array_equal(result.w, minimize(stochastic(), ramda(GROUPS), steps=steps).w)


def test_no_steps_give_back_the_start() -> None:
    start = np.ones(SHAPE)
    result = minimize(stochastic(start), ramda(GROUPS), steps=0)
    np.testing.assert_array_equal(result.w, start)
    np.testing.assert_array_equal(result.structured, start)
    assert (result.steps, result.uncertified, result.state.t) == (0, 0, 0)


@pytest.mark.parametrize("make", [ramda, proxgen])
def test_a_run_can_go_on_by_hand(make: Callable[..., ProximalMethod]) -> None:
    problem, method, rng = LeastSquares(np.ones(SHAPE)), make(GROUPS, lr=0.05), np.random.default_rng()
    half = minimize(problem, method, steps=10)
    w, state = half.w, half.state
    for _ in range(5):
        w, state, _ = half.method.step(w, problem.gradient(w, rng), state)
    np.testing.assert_array_equal(w, minimize(problem, method, steps=15).w)


def test_the_start_is_left_as_it_is() -> None:
    start = np.ones(SHAPE)
    minimize(LeastSquares(start), ramda(GROUPS), steps=3)
    np.testing.assert_array_equal(start, np.ones(SHAPE))


def test_solves_that_do_not_converge_are_counted_and_the_first_one_is_told() -> None:
    hopeless = SubgradientNorm(0.0, max_iterations=1)
    method = ramda(GROUPS, solver=ProximalGradient(), stopping=hopeless)
    with pytest.warns(ConvergenceWarning, match=r"^step 1: .* limit of 1 iterations with residual [\d.e-]+; ") as told:
        assert minimize(LeastSquares(np.ones(SHAPE)), method, steps=7).uncertified == 7
    assert len(told) == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


@dataclass
class Fixed:
    """A problem whose third gradient is given."""

    third: Array
    start: Any = None
    calls: int = 0

    def __post_init__(self) -> None:
        self.start = np.ones(2) if self.start is None else self.start

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        self.calls += 1
        return self.third if self.calls == 3 else np.zeros_like(w)


@pytest.mark.parametrize(
    ("third", "error", "words"),
    [
        (np.array([1.0, np.nan]), ValueError, "holds NaN or infinity"),
        (np.array([np.inf, 1.0]), ValueError, "holds NaN or infinity"),
        (np.ones(3), ValueError, r"must have the shape \(2,\)"),
        (np.ones((2, 1)), ValueError, r"must have the shape \(2,\)"),
        (np.ones(2, dtype=np.float32), ValueError, "dtype float64"),
        (np.ones(2, dtype=int), TypeError, "floating-point"),
        ([1.0, 2.0], TypeError, "must be an array"),
    ],
    ids=str,
)
def test_a_bad_gradient_is_refused_at_its_step(third: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"the gradient of step 3 .*{words}"):
        minimize(Fixed(third), ramda(), steps=5)


@pytest.mark.parametrize(
    ("start", "psi", "error", "words"),
    [
        (np.array([1.0, np.nan]), ENTRIES, ValueError, "problem.start must be finite"),
        (
            np.arange(2),
            ENTRIES,
            TypeError,
            "problem.start must be an array of real floating-point numbers, got dtype int",
        ),
        ([1.0, 2.0], ENTRIES, TypeError, "problem.start must be an array"),
        (np.ones(2), GroupLasso(0.1, axes=1), ValueError, r"problem.start: GroupLasso: axes \(1,\) do not exist"),
    ],
    ids=str,
)
def test_a_bad_start_is_refused_before_the_first_step(start: Any, psi: Any, error: Any, words: str) -> None:
    problem = Fixed(np.ones(2), start)
    with pytest.raises(error, match=words):
        minimize(problem, ramda(psi), steps=5)
    assert problem.calls == 0


@pytest.mark.parametrize(
    ("method", "steps", "error", "words"),
    [
        ("ramda", 5, TypeError, "method must be a ProximalMethod"),
        (ramda, 5, TypeError, "method must be a ProximalMethod"),
        (ramda(), -1, ValueError, "steps must be an integer >= 0, got -1"),
        (ramda(), 1.5, TypeError, "steps must be an integer >= 0, got 1.5"),
    ],
)
def test_bad_arguments_are_refused(method: Any, steps: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        minimize(stochastic(), method, steps=steps)


@pytest.mark.parametrize("number", [np.float64, np.float32, float], ids=["float64", "float32", "float"])
@pytest.mark.parametrize("kind", [ramda, rmda, proxsgd, proxgen])
def test_the_dtype_stays_whatever_the_numbers_are(kind: Any, number: Any) -> None:
    features = np.eye(4, dtype=np.float32)
    problem = problems.LeastSquares(features, np.ones(4, dtype=np.float32))
    method = kind(GroupLasso(number(0.1), axes=0), lr=number(0.1))
    steps: Any = np.int64(3)
    result = minimize(problem, method, steps=steps, seed=0)
    assert result.w.dtype == result.structured.dtype == np.float32
    assert all(type(value) is float for value in (method.lr, vars(method.psi)["strength"]))


def test_an_overflow_is_an_error_that_names_the_step() -> None:
    """The gradient is finite, its square is not in float32."""
    problem = problems.LeastSquares(np.eye(2, dtype=np.float32), np.full(2, 1e22, dtype=np.float32))
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"step 1 overflows; lower lr \(0\.01\)"):
        minimize(problem, ramda(), steps=10)


def test_no_graph_grows_for_automatic_differentiation() -> None:
    class Problem:
        start = torch.ones(3, dtype=torch.float64, requires_grad=True)

        def gradient(self, w: Any, rng: Any) -> Any:
            w = w.detach().requires_grad_()
            return torch.autograd.grad((w**2).sum(), w, create_graph=True)[0]

    assert not minimize(Problem(), ramda(), steps=2).w.requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": (2, 3)}, r"stages must be a Stages, got \(2, 3\)"),
        ({"callback": 3}, "callback must be a function of a Progress, got 3"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"problem": np.sum}, "problem must have a start and a gradient"),
    ],
)
def test_what_minimize_refuses(arguments: dict[str, Any], message: str) -> None:
    problem = arguments.pop("problem", problems.LeastSquares(np.eye(2), np.ones(2)))
    with pytest.raises((TypeError, ValueError), match=message):
        minimize(problem, ramda(), steps=1, **arguments)
