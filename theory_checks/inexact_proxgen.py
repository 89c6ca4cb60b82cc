"""Theorem 4: ProxGen with subproblems solved as far as (7) and (8) ask has the guarantee of exact ones.

Statement. For a step size below delta / (3 L), strictly (at equality a constant of the printed bound is infinite), the
mean of dist(0, dF(W_t))^2 over the first T steps is at most Q_1 / T + Q_2 sigma^2 / b + (Q_3 / T) sum epsilon_t^2 with
b the batch size: a transient like 1 / T, a floor like 1 / b, and inexactness that only enters by its sum of squares.
The framework is not said to converge, and does not: the floor stays.

Assumptions, and how the runs meet them:

- (C-1) f has an L-Lipschitz gradient and is bounded below: the logistic loss, L computed from the data.
- (C-2) unbiased gradients with variance sigma^2 / b: batches drawn with replacement.
- (C-3) bounded gradients and steps, momentum rho_0 mu^(t-1): features are bounded, and rho_0 = 0.
- (C-4), (C-5): Adam's metric with epsilon = delta = 1 is at least 1, and bounded as the gradients are; the step size is
  delta / (4 L).
- (7): a solver that uses the whole tolerance, in the direction that is worst for the structure. (8): 0.3 / t is
  square-summable.

Measured: dist(0, dF(W_t))^2 with the exact gradient at every fifth step. Floor: its mean over the last half of a run,
for five batch sizes; transient: its mean over the first T steps of a run with exact gradients, for T up to the length.

Rule: the exponent of the floor in b, fitted to each seed, has a 95 % interval below -0.9; the exponent of the transient
in T is at most -0.98 (one deterministic run). Square-summable tolerances give the same floor: the 95 % interval of the
mean log ratio to the exact floor, seed by seed, lies within +-0.05.

Control that must fail: the same floor with a constant tolerance. The transient has none: the squares of any method that
converges linearly without noise have a finite sum, and so a mean like 1 / T.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optkit import minimize
from optkit.algorithms import ProximalMethod, proxgen
from optkit.minimize import Progress
from optkit.solvers import SubgradientNorm

from . import drawing
from .cases import Case, chosen, logistic_case
from .findings import Finding, Outcome, Picture, mean_interval, slope
from .inexact import WorstSubgradient
from .settings import Settings
from .truth import exact, stationarity

NAME = "inexact_proxgen"
EVERY = 5


def squares(problem: Any, method: ProximalMethod, steps: int, seed: int) -> list[float]:
    """dist(0, dF(W_t))^2 at every fifth step of a run."""
    seen: list[float] = []

    def record(progress: Progress) -> None:
        if progress.steps % EVERY == 0:
            seen.append(stationarity(problem, method.psi, progress.w) ** 2)

    minimize(problem, method, steps=steps, seed=seed, callback=record)
    return seen


def check(settings: Settings) -> Outcome:
    """The floor in the batch size, the transient in T, and what inexactness does to the floor. Of a given method
    only the last is asked: its step sizes and metric need not meet (C-3) to (C-5)."""
    for case in chosen(settings, lambda: [logistic_case()]):
        yield from _check(settings, case)


def _check(settings: Settings, case: Case) -> Outcome:
    methods = _methods(settings, case)
    if methods["exact"].anchor == "initial":
        return  # the theorem is about methods anchored at W_{t-1}
    batches = [16, 64, 256] if settings.smoke else [16, 32, 64, 128, 256]
    seeds, steps = range(settings.seeds), settings.steps
    floors = np.empty((len(methods), len(batches), len(seeds)))
    for i, (label, method) in enumerate(methods.items()):
        tasks = [(replace(case.problem, batch=b), method, steps, seed) for b in batches for seed in seeds]
        runs = settings.map(f"{NAME}: {label}", squares, tasks)
        floors[i] = np.reshape([np.mean(run[len(run) // 2 :]) for run in runs], (len(batches), len(seeds)))
    if settings.method is None:
        yield from _floor(list(methods), batches, floors)
        yield from _transient(settings, case, methods["exact"])
    yield from _same(list(methods), batches, floors)


def _methods(settings: Settings, case: Case) -> dict[str, ProximalMethod]:
    """The method with exact subproblems, and with the worst that two tolerances allow."""
    base = proxgen(case.psi, 1 / (4 * case.problem.smoothness), (0.0, 0.999), epsilon=1.0)
    if settings.method is not None:
        base = settings.method(case.psi)
    worst = replace(base, solver=WorstSubgradient(base.solver))
    return {
        "exact": base,
        "square-summable": replace(worst, stopping=SubgradientNorm(0.3, power=1.0)),
        "constant": replace(worst, stopping=SubgradientNorm(0.2)),
    }


def _floor(labels: list[str], batches: list[int], floors: np.ndarray[Any, Any]) -> Outcome:
    for i, label in enumerate(labels[:2]):
        exponents = [slope(batches, floors[i, :, seed]) for seed in range(floors.shape[2])]
        mean, low, high = mean_interval(exponents)
        yield Finding(
            NAME,
            f"the floor falls like 1 / batch: {label}",
            high < -0.9,
            f"exponent {mean:.2f} [{low:.2f}, {high:.2f}]",
            "95 % interval below -0.9",
            numbers={"exponents": exponents, "batches": batches, "floors": floors[i].tolist()},
        )


def _same(labels: list[str], batches: list[int], floors: np.ndarray[Any, Any]) -> Outcome:
    for i, label in enumerate(labels[1:], start=1):
        ratios = np.log(floors[i] / floors[0]).mean(axis=0)
        mean, low, high = mean_interval(ratios.tolist())
        yield Finding(
            NAME,
            f"the floor is that of exact subproblems: {label} tolerance",
            -0.05 < low and high < 0.05,
            f"mean log ratio {mean:.3f} [{low:.3f}, {high:.3f}]",
            "95 % interval within +-0.05",
            control=label == "constant",
            numbers={"log ratios": ratios.tolist(), "floors": floors[i].tolist()},
        )
    caption = "Mean of dist(0, dF(W_t))^2 over the last half of each run against the batch size, all seeds."
    curves = {label: floors[i].T for i, label in enumerate(labels)}
    yield Picture(
        f"{NAME}-floor",
        caption,
        drawing.powers("floor", batches, curves, "batch size", "mean of dist(0, dF(W_t))^2, last half"),
    )


def _transient(settings: Settings, case: Case, method: ProximalMethod) -> Outcome:
    problem, steps = exact(case.problem), 10 * settings.steps
    run = np.array(squares(problem, method, steps, 0))
    lengths = np.unique(np.geomspace(len(run) // 10, len(run), 20).astype(int))
    means = np.cumsum(run)[lengths - 1] / lengths
    exponent = slope(EVERY * lengths, means)
    yield Finding(
        NAME,
        "the transient falls like 1 / T: exact gradients",
        exponent <= -0.98,
        f"exponent {exponent:.3f}",
        "at most -0.98 (one deterministic run)",
        numbers={"T": (EVERY * lengths).tolist(), "means": means.tolist()},
    )
    caption = "Mean of dist(0, dF(W_t))^2 over the first T steps with exact gradients."
    curves = {"exact gradients": means[None, :]}
    yield Picture(
        f"{NAME}-transient",
        caption,
        drawing.powers("transient", (EVERY * lengths).tolist(), curves, "T", "mean of dist(0, dF(W_t))^2"),
    )
