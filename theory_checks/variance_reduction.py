"""Theorem 2, the estimates: V_t / alpha_t - grad f(W_t) -> 0 and U_t / alpha_t - E[g * g](W_t) -> 0.

Statement, (17) and (18), read as differences that tend to zero: as printed, with a limit that moves, they say nothing.
In the recursion (16) of U_t the last term is g * g.

Assumptions, and how the runs meet them:

- Each f_xi has a Lipschitz gradient, and the fourth moment of its gradient is bounded: least squares or logistic losses
  over finite data, W_t bounded along the runs.
- (13): sum s_t / alpha_t = infinity, sum (s_t / alpha_t)^2 < infinity. Checked: the exponent of s_t / alpha_t over 10^3
  to 10^5 steps, without any run; the first sum diverges for exponents >= -1, the second converges for those < -1/2.
- sum c_t = infinity: the exponent of c_t, likewise, is >= -1.
- (14): ||W_{t+1} - W_t|| alpha_t / s_t -> 0. Measured along the runs.
- Stationary points exist: the losses are strongly convex.

Measured, at 100 steps of each run: ||V_t / alpha_t - grad f(W_t)|| with the exact gradient; for the cubic-root metric
||U_t / alpha_t - E[g * g]|| / ||E[g * g]|| with the exact second moment; for every metric the relative difference of
two seeds, which tends to zero when the randomness averages out (it is 0 for metrics without data).

Rule: a power of t is fitted to each run from steps / 20 on; Student's 95 % interval of the mean exponent over the seeds
lies below -0.05. The exponent is the effect size. What is decided is a decay: no finite run shows a limit, and
one that is not zero, but small beside the last value (which is reported), would not be seen. Exponents of (13) and of
c_t are fitted to 0.02.

Controls that must fail: the plain stochastic gradient (ProxSGD with momentum 1), whose variance does not decay; Adam's
moving average of squares (decay 0.9) as a metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from optkit.algorithms import CubeRoot, PowerWeighting, ProximalMethod, proxgen, proxsgd
from optkit.core import Array
from optkit.minimize import Progress

from . import drawing
from .cases import Case, chosen, logistic_case, sparse_case
from .decay import Measure, follow, length, looks, vanishes
from .findings import Finding, Outcome, Picture, slope
from .methods import under_test
from .settings import Settings
from .truth import gradient

NAME = "variance_reduction"


def estimate_error(case: Case, progress: Progress, previous: Array) -> float:
    """||V_t / alpha_t - grad f(W_t)||, for any method: its linear term divided by the weight of psi."""
    clock = progress.method.clock(progress.state.t)
    linear, weight = progress.method.estimator.linear(progress.state.estimator, clock)
    return float(np.linalg.norm(linear / weight - gradient(case.problem, progress.w)))


def metric(case: Case, progress: Progress, previous: Array) -> Array:
    """P_t."""
    clock = progress.method.clock(progress.state.t)
    return np.broadcast_to(
        progress.method.preconditioner.metric(progress.state.preconditioner, clock), progress.w.shape
    )


def second_moment_error(case: Case, progress: Progress, previous: Array) -> float:
    """||U_t / alpha_t - E[g * g]|| / ||E[g * g]||, with U_t read off the metric U_t^(1/3) + epsilon."""
    root = progress.method.preconditioner
    assert isinstance(root, CubeRoot)
    clock = progress.method.clock(progress.state.t)
    _, weight = progress.method.estimator.linear(progress.state.estimator, clock)
    expected = case.problem.second_moment(progress.w)
    found = (metric(case, progress, previous) - root.epsilon) ** 3 / weight
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def relative_move(case: Case, progress: Progress, previous: Array) -> float:
    """||W_t - W_{t-1}|| alpha_t / s_t, with alpha_t the sum of the gains so far."""
    gains = [progress.method.clock(t).gain for t in range(1, progress.state.t + 1)]
    return float(np.linalg.norm(progress.w - previous) * sum(gains) / gains[-1])


def check(settings: Settings) -> Outcome:
    """(13), (14), (17) and (18) for the methods under test, and the controls."""
    cases = _cases(settings)
    for label, make in under_test(settings).items():
        yield from _weights(label, make((cases or [sparse_case()])[0].psi))
    for case in cases:
        curves = {}
        for label, make in under_test(settings).items():
            method = case.method(label, make)
            runs = _runs(settings, case, label, method)
            curves[label] = runs["V"]
            yield vanishes(NAME, f"{label}: V_t / alpha_t - grad f(W_t) -> 0: {case.name}", runs["V"], length(settings))
            if "U" in runs:
                yield vanishes(NAME, f"{label}: U_t / alpha_t - E[g g] -> 0: {case.name}", runs["U"], length(settings))
            statement = f"{label}: the metric's randomness averages out: {case.name}"
            yield vanishes(NAME, statement, _spread(runs["P"]), length(settings))
            yield vanishes(NAME, f"{label}: (14): {case.name}", runs["move"], length(settings))
        for label, make in _controls().items():
            runs = _runs(settings, case, label, make(case))
            if label == "stochastic gradient":
                curves[label] = runs["V"]
                statement = f"{label}: g_t - grad f(W_t) -> 0: {case.name}"
                yield vanishes(NAME, statement, runs["V"], length(settings), control=True)
            else:
                statement = f"{label}: the metric's randomness averages out: {case.name}"
                yield vanishes(NAME, statement, _spread(runs["P"]), length(settings), control=True)
        caption = f"{case.name}: distance of the estimate from the exact gradient over steps, all seeds, with the fits."
        name = f"{NAME}-{case.name.replace(',', '').replace(' ', '-')}"
        yield Picture(
            name,
            caption,
            drawing.powers(case.name, looks(length(settings)), curves, "step", "distance from grad f(W_t)"),
        )


def _cases(settings: Settings) -> list[Case]:
    return chosen(settings, lambda: [sparse_case()] if settings.smoke else [sparse_case(), logistic_case()])


def _controls() -> dict[str, Callable[[Case], ProximalMethod]]:
    return {
        "stochastic gradient": lambda case: _slowed(proxsgd(case.psi, 0.3, momentum=1.0, **case.parts)),
        "Adam's metric": lambda case: _slowed(proxgen(case.psi, 0.05, (0.9, 0.9), 1e-3, **case.parts)),
    }


def _slowed(method: ProximalMethod) -> ProximalMethod:
    """The method with step size lr t^(-1/2): its iterates converge."""
    return replace(method, weighting=PowerWeighting(-0.5))


def _runs(settings: Settings, case: Case, label: str, method: ProximalMethod) -> dict[str, list[list[Array]]]:
    measures: dict[str, Measure] = {"V": estimate_error, "P": metric, "move": relative_move}
    if isinstance(method.preconditioner, CubeRoot):
        measures["U"] = second_moment_error
    tasks = [(case, method, length(settings), seed, measures) for seed in range(settings.seeds)]
    results = settings.map(f"{NAME}: {label}", follow, tasks)
    return {name: [result[name] for result in results] for name in measures}


def _spread(runs: list[list[Array]]) -> list[list[float]]:
    """The relative deviation of each two seeds' metrics from their mean, root mean square over the entries: independent
    for different pairs."""
    metrics: np.ndarray[Any, Any] = np.array(runs[: len(runs) // 2 * 2])  # seeds, looks, entries ...
    first, second = metrics[::2], metrics[1::2]
    deviation = (first - second) / (first + second)
    return np.sqrt((deviation**2).mean(axis=tuple(range(2, metrics.ndim)))).tolist()


def _weights(label: str, method: ProximalMethod) -> Outcome:
    """(13) and sum c_t = infinity, from the weights alone."""
    t = np.arange(1, 100_001)
    gains = np.array([method.clock(int(k)).gain for k in t])
    late = slice(999, None, 100)
    ratio = slope(t[late], (gains / np.cumsum(gains))[late])
    averaging = slope(t[late], [method.averaging.weight(int(k)) for k in t[late]])
    for statement, exponent, holds, rule in (
        ("sum s_t / alpha_t = infinity, sum of squares finite (13)", ratio, -1.02 <= ratio < -0.5, "in [-1, -1/2)"),
        ("sum c_t = infinity", averaging, averaging >= -1.02, ">= -1"),
    ):
        measured = f"exponent {exponent:.3f}"
        yield Finding(
            NAME, f"{label}: {statement}", holds, measured, f"exponent {rule}", numbers={"exponent": exponent}
        )
