"""Theorem 3: after finitely many steps the subproblem's solution What_t stays on the manifold of the limit.

Statement. If What_t converges to W, psi is partly smooth and prox-regular at W, and -grad f(W) lies in the relative
interior of the subdifferential of psi at W, then almost surely there is a T0 with What_t on the active manifold of W
for all t >= T0. The theorem is about What_t; W_t has the structure only where c_t = 1.

Assumptions, and how the runs meet them:

- f has a Lipschitz gradient: least squares and logistic losses over finite data, scaled to 1; a tanh network.
- The fourth moment of the stochastic gradients is bounded: finite data and bounded iterates.
- (13) and (14): by the step sizes of the methods, measured by `variance_reduction`. (8): exact subproblems, or
  square-summable tolerances.
- psi is partly smooth and prox-regular: all are convex or weakly convex but the sign penalty, which is convex near its
  levels.
- Nondegeneracy: the margin, the distance from -grad f(W) to the boundary of the subdifferential, is computed at each
  limit and reported. Where it is planted it is a parameter.
- What_t converges: the theorem is conditional on it. Planted and convex problems have one solution, known by
  construction or from a deterministic method to a residual of 1e-13; for the network the limit of each run is computed
  from its last iterate by that method, and the distance to it in the middle and at the end of each run is among the
  numbers. The planted signs are those towards which the loss alone pushes, see below.

- Learning rates are those with which the methods get to the limit within the run, chosen for each problem; methods that
  are given are run as they are.

Measured: the manifold of What_t at every step of every seed. A run identifies when its last half lies on the manifold
of the limit, T0 being the first step from which on it does.

Rule: RAMDA and RMDA identify on all seeds; with 20 seeds the exact 95 % interval of the probability is [0.83, 1]. The
effect size is the share of the last half that is off the manifold.

Controls that must fail, on every seed: ProxSGD and ProxGen with decreasing step sizes, whose iterates converge too but
whose gradient estimates keep their variance; RAMDA and RMDA on a problem with margin 0. Inexact subproblems: with
epsilon_t = t^(-0.6) / 2, which is square-summable, the median T0 is within the interquartile range of the exact runs;
with epsilon_t = 1/2, used to the full, identification is later (Wilcoxon's signed-rank test over the seeds, p <
0.05) or never. The size matters, too: 100 t^(-0.6) is square-summable and delays as well, as (8) promises no T0.

Nonconvex psi: the metric of dual averaging vanishes beside its weight, so the global minimiser of (4) runs away under a
bounded psi such as MCP, and lands on the wrong side under the sign penalty where the loss pulls a weight off its level
inwards: What_t does not converge and the theorem is silent. A stationary point near W_{t-1} with a lower value, all
that (7) asks for, serves MCP (`ProximalGradient(local=True)`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from optkit import minimize
from optkit.algorithms import ProximalMethod
from optkit.core import Array, ConvergenceWarning, Manifold
from optkit.minimize import Progress
from optkit.solvers import SubgradientNorm

from . import drawing
from .cases import Case, chosen, data_case, group_case, sign_case, sparse_case, structure_cases
from .findings import Finding, Outcome, Picture, proportion
from .inexact import WorstSubgradient
from .methods import controls, under_test
from .settings import Settings

NAME = "identification"
STATIONARY = 1e-12


@dataclass(frozen=True)
class Run:
    """What one run showed: T0, None if it did not identify; `looks` steps and how many entries were wrong there;
    wrong: the share of steps of the last half off the manifold;  residual, margin: at the limit;  far: the distance of
    What_t from the limit, in the middle and at the end;  uncertified: subproblems that did not meet (7)."""

    t0: int | None
    looks: list[int]
    mismatch: list[int]
    wrong: float
    residual: float
    margin: float
    far: tuple[float, float]
    uncertified: int


def watch(case: Case, method: ProximalMethod, steps: int, seed: int) -> Run:
    """Run the method and compare the manifold of What_t with that of the limit, at every step."""
    changes: list[tuple[int, Manifold]] = []
    points: list[Array] = []  # What_t in the middle and at the end

    def record(progress: Progress) -> None:
        manifold = case.psi.manifold(progress.solution.point)
        if not changes or manifold != changes[-1][1]:
            changes.append((progress.steps, manifold))
        if progress.steps in (steps // 2, steps):
            points.append(progress.solution.point)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # tolerances that are missed are part of what is tested
        result = minimize(case.problem, method, steps=steps, seed=seed, callback=record)
    truth = case.limit(points[-1])
    last, manifold = changes[-1]
    stays = manifold == truth.manifold and last <= steps // 2
    looks = sorted({int(t) for t in np.geomspace(1, steps, 60)})
    mismatch = [manifold.distance(truth.manifold) for manifold in _at(looks, changes)]
    second_half = range(steps // 2 + 1, steps + 1)
    wrong = np.mean([manifold != truth.manifold for manifold in _at(second_half, changes)])
    middle, end = (float(np.linalg.norm(point - truth.point)) for point in points)
    residual, margin = truth.residual, truth.margin
    t0 = last if stays else None
    return Run(t0, looks, mismatch, float(wrong), residual, margin, (middle, end), result.uncertified)


def _at(steps: Any, changes: list[tuple[int, Manifold]]) -> Iterator[Manifold]:
    """The manifolds at these increasing steps."""
    current = 0
    for step in steps:
        while current + 1 < len(changes) and changes[current + 1][0] <= step:
            current += 1
        yield changes[current][1]


def check(settings: Settings) -> Outcome:
    """Theorem 3 on every structure, its controls, the role of the margin and of inexact subproblems."""
    for case in _cases(settings):
        runs = _runs(settings, case, {**under_test(settings), **controls(settings)})
        yield _nondegenerate(case, [run for of_method in runs.values() for run in of_method])
        for label, of_method in runs.items():
            yield _identifies(case, label, of_method, control=label not in under_test(settings))
        yield Picture(
            f"{NAME}-{case.name.replace(',', '').replace(' ', '-')}",
            f"{case.name}: in how many entries the structure of What_t is not the limit's, over steps; median and "
            f"range of {settings.seeds} seeds, dotted lines at the median T0.",
            drawing.mismatch(case.name, runs),
        )
    yield from _margins(settings)
    yield from _tolerances(settings)


def _cases(settings: Settings) -> list[Case]:
    """All structures and the real data; a smoke test leaves out the slow ones."""

    def usual() -> list[Case]:
        made = [group_case(), sparse_case(), sign_case()] if settings.smoke else structure_cases()
        return [*made, *map(data_case, settings.data)]

    return chosen(settings, usual)


def _runs(settings: Settings, case: Case, methods: dict[str, Callable[..., ProximalMethod]]) -> dict[str, list[Run]]:
    """All seeds of each method on the case."""
    made = {label: case.method(label, make) for label, make in methods.items()}
    tasks = [(case, method, settings.steps, seed) for method in made.values() for seed in range(settings.seeds)]
    results = settings.map(f"{NAME}: {case.name}", watch, tasks)
    n = settings.seeds
    return {label: results[i * n : (i + 1) * n] for i, label in enumerate(made)}


def _nondegenerate(case: Case, runs: list[Run]) -> Finding:
    """The claim that the limits are stationary points with a positive margin."""
    residual, margin = max(run.residual for run in runs), min(run.margin for run in runs)
    return Finding(
        NAME,
        f"the limit is stationary and nondegenerate: {case.name}",
        residual <= STATIONARY and margin > 1e-6,
        f"dist(0, dF) at most {residual:.1e}, margin at least {margin:.2g}",
        f"at most {STATIONARY:g} and more than 1e-6, at the limits of all runs",
        numbers={"residual": residual, "margin": margin},
    )


def _identifies(case: Case, label: str, runs: list[Run], control: bool) -> Finding:
    """The claim that the method identifies: on all seeds. A control has to fail on all of them."""
    times = [run.t0 for run in runs if run.t0 is not None]
    low, high = proportion(len(times), len(runs))
    wrong = float(np.mean([run.wrong for run in runs]))
    when = f", T0 median {np.median(times):.0f}, last {max(times)}" if times else ""
    off = f", off the manifold in {100 * wrong:.0f} % of the last half" if wrong else ""
    missed = sum(run.uncertified for run in runs)
    off += f", {missed} subproblems without (7)" if missed else ""
    return Finding(
        NAME,
        f"{label} identifies: {case.name}",
        bool(times) if control else len(times) == len(runs),
        f"{len(times)} of {len(runs)} seeds{when}{off}; margin {min(run.margin for run in runs):.2g}",
        "no seed may identify" if control else f"every seed; 95 % interval [{low:.2f}, {high:.2f}]",
        control,
        {
            "T0": [run.t0 for run in runs],
            "interval": [low, high],
            "share of the last half off the manifold": [run.wrong for run in runs],
            "margin": [run.margin for run in runs],
            "residual at the limit": max(run.residual for run in runs),
            "distance to the limit at the middle and the end": [run.far for run in runs],
            "subproblems without (7)": missed,
            "steps": runs[0].looks,
            "mismatch": [run.mismatch for run in runs],
        },
    )


def _margins(settings: Settings) -> Outcome:
    """The margin driven to zero: T0 grows, and at 0 identification fails."""
    if settings.regularizer is not None:
        return
    margins = [0.2, 0.05, 0.0] if settings.smoke else [0.2, 0.1, 0.05, 0.02, 0.0]
    times: dict[str, list[list[int | None]]] = {label: [] for label in under_test(settings)}
    for margin in margins:
        case = replace(sparse_case(margin), name=f"sparsity, margin {margin:g}")
        for label, runs in _runs(settings, case, under_test(settings)).items():
            times[label].append([run.t0 for run in runs])
            if margin == 0:
                yield _identifies(case, label, runs, control=True)
    caption = "T0 of every seed against the nondegeneracy margin, sparsity; crosses did not identify."
    yield Picture(
        f"{NAME}-margin", caption, drawing.times("sparsity", times, [f"{margin:g}" for margin in margins], "margin")
    )


def _tolerances(settings: Settings) -> Outcome:
    """Subproblems as inexact as (7) allows: the tolerance, 1/2 at first, falls and is square-summable, or stays."""
    if settings.regularizer is not None:
        return
    case, solver = sparse_case(), WorstSubgradient()
    rules = {
        "exact": {},
        "t^(-0.6) / 2": {"solver": solver, "stopping": SubgradientNorm(0.5, power=0.6)},
        "1/2": {"solver": solver, "stopping": SubgradientNorm(0.5)},
    }
    methods = {
        f"{label}, {rule}": lambda psi, make=make, parts=parts, **_: make(psi, **parts)
        for label, make in under_test(settings).items()
        for rule, parts in rules.items()
    }
    runs = _runs(settings, replace(case, name="inexact subproblems"), methods)
    never = settings.steps
    t0 = {label: np.array([never if run.t0 is None else run.t0 for run in of]) for label, of in runs.items()}
    for label in under_test(settings):
        exact, summable, constant = (t0[f"{label}, {rule}"] for rule in rules)
        low, high = np.quantile(exact, [0.25, 0.75])
        yield Finding(
            NAME,
            f"{label} with square-summable tolerances identifies when exact solves do",
            bool(low <= np.median(summable) <= high),
            f"median T0 {np.median(summable):.0f}, exact {np.median(exact):.0f}",
            f"within the exact runs' interquartile range [{low:.0f}, {high:.0f}]",
            numbers={"exact": exact.tolist(), "square-summable": summable.tolist()},
        )
        delay = constant - exact
        test: Any = stats.wilcoxon(delay, alternative="greater") if np.any(delay) else None
        later = 1.0 if test is None else float(test.pvalue)
        yield Finding(
            NAME,
            f"{label} with a constant tolerance identifies when exact solves do",
            later >= 0.05,
            f"median T0 {np.median(constant):.0f}, exact {np.median(exact):.0f}, p = {later:.1e}",
            "later: Wilcoxon's signed-rank test, p < 0.05",
            control=True,
            numbers={"exact": exact.tolist(), "constant": constant.tolist(), "p": later},
        )
    shown = {label: [[run.t0 for run in runs[f"{label}, {rule}"]] for rule in rules] for label in under_test(settings)}
    caption = "T0 of every seed for exact and for inexact subproblems; crosses did not identify."
    yield Picture(
        f"{NAME}-tolerance", caption, drawing.times("sparsity", shown, list(rules), "tolerance of the subproblems")
    )
