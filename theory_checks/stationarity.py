"""Theorem 2, the conclusion: dist(0, dF(What_t)) -> 0, and W_t converges to the same stationary point.

Statement. Where What_t converges to W, W is stationary for F = f + psi almost surely, and W_t converges to W. (The last
display of the printed proof means the subdifferential of psi where it says psi.)

Assumptions: those of `variance_reduction`, which measures (13), (14) and the estimates; exact subproblems, so that (7)
holds with epsilon_t = 0; the subdifferential of a convex psi is outer semicontinuous everywhere.

Measured, at 100 steps of each run: both inequalities of (7), from psi and not as the solver reports them, epsilon_t
being 1e-8 ||V_t|| where subproblems are solved exactly; dist(0, dF(What_t)) with the exact gradient; and ||W_t - W|| to
the solution, which is planted or found by a deterministic method to a residual of 1e-13.

Rule: as in `variance_reduction`: Student's 95 % interval of the fitted exponent over the seeds lies below -0.05.

Control that must fail: ProxSGD with decreasing step sizes. Its iterates converge, its distance to stationarity does not
vanish: entries come back from zero with every gradient that is large enough by chance.
"""

from __future__ import annotations

import numpy as np

from optkit.core import Array
from optkit.minimize import Progress
from optkit.solvers import SubgradientNorm

from . import drawing
from .cases import Case, chosen, group_case, logistic_case
from .decay import Measure, follow, length, looks, vanishes
from .findings import Finding, Outcome, Picture
from .methods import controls, under_test
from .settings import Settings
from .truth import stationarity

NAME = "stationarity"
EXACT = 1e-8
"""Times ||V_t||: the tolerance for subproblems that are solved exactly."""


def residual(case: Case, progress: Progress, previous: Array) -> float:
    """dist(0, dF(What_t))."""
    return stationarity(case.problem, case.psi, progress.solution.point)


def distance(case: Case, progress: Progress, previous: Array) -> float:
    """||W_t - W||; infinite where the solution is not known."""
    return float(np.linalg.norm(progress.w - case.truth.point)) if case.truth else np.inf


def solved(case: Case, progress: Progress, previous: Array) -> bool:
    """Whether (7) holds: min ||s|| <= epsilon_t over the subdifferential of Q_t at What_t, and Q_t(What_t) is at most
    Q_t(W_{t-1}), both up to rounding."""
    method, start = progress.method, progress.method.decayed(previous)
    problem, rule = method.subproblem(start, progress.state), method.stopping
    if isinstance(rule, SubgradientNorm):
        rule = rule.at(progress.state.t)
    else:
        rule = SubgradientNorm(EXACT * float(np.linalg.norm(problem.linear)) / (problem.scale or 1.0))
    return rule.begin(problem, case.psi, start)(progress.solution.point, start, 1)


def check(settings: Settings) -> Outcome:
    """Stationarity for the methods under test and the control."""
    measures: dict[str, Measure] = {"residual": residual, "distance": distance, "solved": solved}
    for case in _cases(settings):
        tested, curves = under_test(settings), {}
        others = {label: make for label, make in controls(settings).items() if label == "ProxSGD"}
        for label, make in {**tested, **others}.items():
            method = case.method(label, make)
            tasks = [(case, method, length(settings), seed, measures) for seed in range(settings.seeds)]
            results = settings.map(f"{NAME}: {label}", follow, tasks)
            curves[label] = [result["residual"] for result in results]
            statement = f"{label}: dist(0, dF(What_t)) -> 0: {case.name}"
            yield vanishes(NAME, statement, curves[label], length(settings), control=label not in tested)
            if label in tested:
                yield _solved(label, case, [result["solved"] for result in results])
            if label in tested and case.truth:
                far = [result["distance"] for result in results]
                yield vanishes(NAME, f"{label}: W_t converges to the solution: {case.name}", far, length(settings))
        caption = f"{case.name}: distance of What_t from stationarity over steps, all seeds, with the fits."
        name = f"{NAME}-{case.name.replace(',', '').replace(' ', '-')}"
        yield Picture(
            name, caption, drawing.powers(case.name, looks(length(settings)), curves, "step", "dist(0, dF(What_t))")
        )


def _solved(label: str, case: Case, runs: list[list[Array]]) -> Finding:
    """The claim that (7) holds."""
    held = np.array(runs, dtype=bool)
    statement, measured = f"{label}: (7) holds: {case.name}", f"at {held.sum()} of {held.size} steps looked at"
    return Finding(NAME, statement, bool(held.all()), measured, "at all", numbers={"holds": held.tolist()})


def _cases(settings: Settings) -> list[Case]:
    return chosen(settings, lambda: [group_case()] if settings.smoke else [group_case(), logistic_case()])
