"""Condition (7): equal objective gaps, different structure.

Statement. (7) measures the inexactness of a subproblem's solution by the least subgradient of Q_t. Where it is
square-summable, Theorem 3 holds. No bound on the objective gap Q_t - min Q_t, however small, gives the structure.

Example 1 of Lee, "Accelerating inexact successive quadratic approximation for regularized optimization through manifold
identification" (2023): f(x) = (x1 - 2.5)^2 + (x2 - 0.3)^2, psi = ||x||_1, solution (2, 0), margin 0.4. The points
(2 + h, h) with h > 0 are never on the manifold x2 = 0, however fast h vanishes. Their gap is 0.4 h + 2 h^2, their least
subgradient (2 h, 0.4 + 2 h) is longer than 0.4. f is quadratic, so a `Subproblem` states it without approximation. With
h = 2^(-t^2), (7) with epsilon < 0.4 refuses all points, and a bound on the gap accepts all but finitely many.

Runs: one method on one problem with subproblems solved in two ways.

- As badly as (7) allows: half of epsilon_t is spent along the nonzero entries of the solution, which costs most in Q_t,
  half on the block that is nearest to leaving 0 (`WorstSubgradient`). epsilon_t = 0.3 t^(-0.6) is square-summable.
- As badly as a gap allows: between the solution and W_{t-1} (`ObjectiveGap`), with a gap of 1e-10.

Assumptions, and how the runs meet them:

- f has a Lipschitz gradient, gradients have fourth moments, and the planted point is the limit: least squares, strongly
  convex, on finite data.
- Nondegeneracy: the margin of the planted point is 0.15.
- (13), (14) and the divergence of sum c_t: by the schedules of the methods, as in `variance_reduction`. (8):
  by the power 0.6.

Measured: T0, the first step from which on What_t is on the manifold of the limit; a run identifies if T0 lies in its
first half. The gaps Q_t(What_t) - min Q_t at every 20th step, and F(What_T) - F at the limit.

Rule: with (7) every seed identifies; with 20 seeds the exact 95 % interval of the probability is [0.83, 1]. The median
gap of these runs must be no smaller than that of the others: it is not the objective that makes the difference. Example
1 is deterministic: inequalities, no statistics. Controls that must fail: identification under the objective gap, on
every seed; and the points of Example 1 reaching the manifold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from optkit.algorithms import ProximalMethod
from optkit.core import Subproblem
from optkit.regularizers import L1
from optkit.solvers import Automatic, SubgradientNorm

from . import drawing
from .cases import Case, chosen, group_case, sparse_case
from .findings import Finding, Outcome, Picture, proportion
from .inexact import ObjectiveGap, SpreadSubgradient
from .inexactness_measure_runs import Trial, trial
from .methods import under_test
from .settings import Settings

NAME = "inexactness_measure"
SUMMABLE = SubgradientNorm(0.3, power=0.6)
GAP = 1e-10
MARGIN = 0.15
STEPS = 500
"""No run on a planted problem is longer: T0 is well below half of it."""


def check(settings: Settings) -> Outcome:
    """Example 1, and runs."""
    yield from _example()
    yield from _runs(settings)


# --- Example 1 --------------------------------------------------------------------------------------------------------

PSI = L1(1.0)
EXAMPLE = Subproblem(np.zeros(2), np.array([2.5, 0.3]), 2.0, 1.0)
SOLUTION = np.array([2.0, 0.0])
OFFSETS = [2.0 ** -(t * t) for t in range(1, 13)]


def _example() -> Outcome:
    solved = Automatic().solve(EXAMPLE, PSI, np.ones(2)).point
    margin = float(PSI.margin(SOLUTION, EXAMPLE.gradient(SOLUTION)))
    yield Finding(
        NAME,
        "Example 1: the solution is (2, 0) with margin 0.4",
        bool(np.allclose(solved, SOLUTION, rtol=0, atol=1e-15)) and abs(margin - 0.4) <= 1e-15,
        f"solution {solved.tolist()}, residual {float(EXAMPLE.residual(SOLUTION, PSI)):.1e}, margin {margin:.16g}",
        "equal up to 1e-15",
        numbers={"solution": solved.tolist(), "margin": margin},
    )
    points = [SOLUTION + np.array([h, h]) for h in OFFSETS]
    residuals = [float(EXAMPLE.residual(p, PSI)) for p in points]
    gaps = [0.4 * h + 2 * h * h for h in OFFSETS]
    lowest = float(EXAMPLE.objective(SOLUTION, PSI))
    off = max(abs(float(EXAMPLE.objective(p, PSI)) - lowest - gap) for p, gap in zip(points, gaps, strict=True))
    numbers = {"h": OFFSETS, "gaps": gaps, "residuals": residuals, "error of the gaps": off}
    below = 0.4 * (1 - 1e-9)
    refused = sum(not SubgradientNorm(below).begin(EXAMPLE, PSI, points[0])(p, p, 1) for p in points)
    away = sum(PSI.manifold(p) != PSI.manifold(SOLUTION) for p in points)
    yield Finding(
        NAME,
        "Example 1: (7) with epsilon < 0.4 refuses every point (2 + h, h), while their gap vanishes",
        refused == len(points) and min(residuals) >= 0.4 * (1 - 1e-15) and off <= 1e-15,
        f"{refused} of {len(points)} points refused at epsilon = 0.4 (1 - 1e-9), least residual {min(residuals):.12f}, "
        f"h down to {OFFSETS[-1]:.1e}, gap down to {gaps[-1]:.1e}",
        "all refused, residuals >= 0.4, gaps as computed by hand, up to 1e-15",
        numbers=numbers,
    )
    yield Finding(
        NAME,
        "Example 1: points whose objective gap and distance vanish reach the manifold",
        away < len(points),
        f"{away} of {len(points)} points off the manifold, at distances down to {np.sqrt(2) * OFFSETS[-1]:.1e}",
        "one of the points is on the manifold of the solution",
        control=True,
        numbers={"off the manifold": away, "points": len(points)},
    )
    yield Picture(
        f"{NAME}-example",
        "Example 1: left, level lines of F, the solution, its manifold and the points (2 + h, h); right, along these "
        "points the gap vanishes as fast as one likes and the least subgradient stays above the margin 0.4.",
        _example_figure(gaps, residuals),
    )


def _example_figure(gaps: list[float], residuals: list[float]) -> Figure:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    plane, decay = figure.subplots(1, 2)
    x, y = np.linspace(1.2, 2.8, 81), np.linspace(-0.6, 0.8, 71)
    values = np.array([[float(EXAMPLE.objective(np.array([a, b]), PSI)) for a in x] for b in y])
    plane.contour(x, y, values - values.min(), levels=[0.02, 0.1, 0.3, 0.6, 1.0], colors="0.7", linewidths=0.8)
    plane.axhline(0.0, color=drawing.COLOURS[2], label="manifold x2 = 0")
    h = np.array(OFFSETS)
    plane.plot(2 + h, h, "o", color=drawing.COLOURS[4], label="points (2 + h, h)")
    plane.plot(*SOLUTION, "k*", ms=12, label="solution")
    plane.set(xlabel="x1", ylabel="x2", title="level lines of F")
    plane.legend(loc="lower left")
    t = np.arange(1, len(OFFSETS) + 1)
    decay.semilogy(t, gaps, "o-", color=drawing.COLOURS[4], label="objective gap")
    decay.semilogy(t, residuals, "s-", color=drawing.COLOURS[0], label="min ||s||, which (7) bounds")
    decay.axhline(0.4, color="k", linestyle="--", label="margin 0.4")
    decay.set(xlabel="t, with h = 2^(-t²)", title="along the points")
    decay.grid(alpha=0.3)
    decay.legend()
    return figure


# --- runs -------------------------------------------------------------------------------------------------------------


def _cases(settings: Settings) -> list[tuple[Case, int]]:
    """The problems with the steps of their runs; none for a psi without structure."""
    cases = chosen(
        settings, lambda: [sparse_case(MARGIN)] if settings.smoke else [group_case(MARGIN), sparse_case(MARGIN)]
    )
    steps = min(settings.steps, STEPS) if settings.regularizer is None else settings.steps
    return [(case, steps) for case in cases]


def _runs(settings: Settings) -> Outcome:
    for case, steps in _cases(settings):
        shown: dict[str, list[Any]] = {}
        for label, make in under_test(settings).items():
            method = case.method(label, make)
            exact = case.parts.get("solver", Automatic())
            certified = _trials(
                settings, steps, case, replace(method, solver=SpreadSubgradient(exact), stopping=SUMMABLE)
            )
            bounded = _trials(settings, steps, case, replace(method, solver=ObjectiveGap(GAP, exact), stopping=None))
            yield from _findings(case, label, certified, bounded)
            shown |= {f"{label}, (7)": [t.run for t in certified], f"{label}, gap": [t.run for t in bounded]}
        yield Picture(
            f"{NAME}-{case.name.replace(',', '').replace(' ', '-')}",
            f"{case.name}: entries of What_t off the limit's structure over steps, median and range of the seeds, for "
            "subproblems as inexact as (7) allows and for a smaller objective gap.",
            drawing.mismatch(case.name, shown),
        )


def _trials(settings: Settings, steps: int, case: Case, method: ProximalMethod) -> list[Trial]:
    seeds = range(min(settings.seeds, 3) if settings.smoke else settings.seeds)
    return settings.map(f"{NAME}: {case.name}", trial, [(case, method, steps, seed) for seed in seeds])


def _findings(case: Case, label: str, certified: list[Trial], bounded: list[Trial]) -> Outcome:
    share = _identified(certified) / len(certified) - _identified(bounded) / len(bounded)
    yield _finding(
        f"{label} with (7) and square-summable epsilon_t identifies: {case.name}",
        certified,
        f"; {100 * share:+.0f} % of the seeds against the objective gap",
    )
    yield _finding(
        f"{label} with an objective gap of {GAP:.0e} at most identifies: {case.name}", bounded, "", control=True
    )
    gaps = [float(np.median([value for trial in trials for value in trial.gaps])) for trials in (certified, bounded)]
    yield Finding(
        NAME,
        f"{label}: what (7) accepts is no better in the objective than what the gap accepts: {case.name}",
        gaps[0] >= gaps[1],
        f"median gap of the subproblems {gaps[0]:.1e} with (7), {gaps[1]:.1e} with the gap bounded",
        "the first median is no smaller than the second",
        numbers={"gaps with (7)": [t.gaps for t in certified], "gaps with the gap bounded": [t.gaps for t in bounded]},
    )


def _identified(trials: list[Trial]) -> int:
    return sum(trial.run.t0 is not None for trial in trials)


def _finding(statement: str, trials: list[Trial], further: str, control: bool = False) -> Finding:
    """Whether all runs identify; for a control, whether any does."""
    times = [trial.run.t0 for trial in trials if trial.run.t0 is not None]
    low, high = proportion(len(times), len(trials))
    wrong = float(np.mean([trial.run.wrong for trial in trials]))
    rise = float(np.median([trial.rise for trial in trials]))
    when = f", T0 median {np.median(times):.0f}, last {max(times)}" if times else ""
    numbers: dict[str, Any] = {"T0": [trial.run.t0 for trial in trials], "interval": [low, high]}
    numbers |= {"rise of F": [trial.rise for trial in trials], "margin": trials[0].run.margin}
    return Finding(
        NAME,
        statement,
        bool(times) if control else len(times) == len(trials),
        f"{len(times)} of {len(trials)} seeds{when}, off the manifold in {100 * wrong:.0f} % of the last half"
        f"{further}; F(What_T) - F at the limit {rise:.1e}, margin {trials[0].run.margin:.2g}",
        ("no seed may identify" if control else "every seed") + f"; 95 % interval [{low:.2f}, {high:.2f}]",
        control,
        numbers,
    )
