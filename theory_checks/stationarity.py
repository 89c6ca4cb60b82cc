"""Theorem 2, the conclusion: dist(0, dF(What_t)) -> 0, and W_t converges to the same stationary point.

Statement. Where What_t converges to W, W is stationary for F = f + psi almost surely, and W_t converges to W. (The last
display of the printed proof means the subdifferential of psi where it says psi.)

Assumptions: those of `variance_reduction`, which measures (13), (14) and the estimates; exact subproblems, so that (7)
holds with epsilon_t = 0; the subdifferential of a convex psi is outer semicontinuous everywhere.

Measured, at 100 steps of each run: the left side of (7), from psi and not as the solver reports it, beside epsilon_t
(or 1e-8 ||V_t|| where subproblems are solved exactly); dist(0, dF(What_t)) with the exact gradient; and ||W_t - W|| to
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
from .methods import CONTROLS, under_test
from .settings import Settings
from .truth import stationarity

NAME = "stationarity"


def residual(case: Case, progress: Progress, previous: Array) -> float:
    """dist(0, dF(What_t))."""
    return stationarity(case.problem, case.psi, progress.solution.point)


def distance(case: Case, progress: Progress, previous: Array) -> float:
    """||W_t - W||; infinite where the solution is not known."""
    return float(np.linalg.norm(progress.w - case.truth.point)) if case.truth else np.inf


def inexactness(case: Case, progress: Progress, previous: Array) -> float:
    """min ||s|| over the subdifferential of Q_t at What_t, divided by what is allowed: (7) holds up to 1."""
    problem = progress.method.subproblem(previous, progress.state)
    rule, allowed = progress.method.stopping, 1e-8 * float(np.linalg.norm(problem.linear))
    if isinstance(rule, SubgradientNorm):
        allowed += problem.scale * rule.at(progress.state.t).epsilon
    return float(problem.residual(progress.solution.point, case.psi)) / allowed


def check(settings: Settings) -> Outcome:
    """Stationarity for the methods under test and the control."""
    measures: dict[str, Measure] = {"residual": residual, "distance": distance, "inexactness": inexactness}
    for case in _cases(settings):
        tested = under_test(settings)
        curves = {}
        for label, make in {**tested, "ProxSGD": CONTROLS["ProxSGD"]}.items():
            method = case.method(label, make)
            tasks = [(case, method, length(settings), seed, measures) for seed in range(settings.seeds)]
            results = settings.map(f"{NAME}: {label}", follow, tasks)
            curves[label] = [result["residual"] for result in results]
            statement = f"{label}: dist(0, dF(What_t)) -> 0: {case.name}"
            yield vanishes(NAME, statement, curves[label], length(settings), control=label not in tested)
            if label in tested:
                yield _solved(label, case, [result["inexactness"] for result in results])
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
    worst = float(np.max(runs))
    statement, measured = f"{label}: (7) holds: {case.name}", f"at most {worst:.2g} of what is allowed"
    return Finding(NAME, statement, worst <= 1, measured, "at every step looked at", numbers={"worst": worst})


def _cases(settings: Settings) -> list[Case]:
    return chosen(settings, lambda: [group_case()] if settings.smoke else [group_case(), logistic_case()])
