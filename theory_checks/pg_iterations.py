"""Theorem 1, corrected: proximal gradient meets (7) in O(log 1/epsilon) iterations, for nonconvex psi O(epsilon^-2).

Statement. Let L = max d and mu = min d of the metric d on a block (a group, a matrix), kappa = L / mu.

- Convex psi, theta = 1 / L: at most 1 + 2 log(2 L ||Z_0 - Z*|| / epsilon) / -log(1 - 1 / kappa) iterations, rounded up,
  and at least 2. From (9), ||s|| <= (L + 1 / theta) ||Z_(j+1) - Z_j|| = 2 L ||Z_(j+1) - Z_j||; from (10) with its
  square, L / 2 ||Z_(j+1) - Z_j||^2 <= Q_j - Q*; from (11) with mu, Q_j - Q* <= L / 2 (1 - mu / L)^j ||Z_0 - Z*||^2.
- Nonconvex psi, theta = 1 / (2 L): at most 18 L (Q_0 - inf Q) / epsilon^2 iterations, rounded up. Each lowers Q by
  L / 2 ||Z_(j+1) - Z_j||^2 or more, and ||s|| <= 3 L ||Z_(j+1) - Z_j||: while (7) fails, all moves are longer than
  epsilon / (3 L).
- With several blocks L is each block's own constant where it stands with a Z, and else the largest.

Assumptions, and how the experiments meet them:

- A minimiser with a finite value exists: metrics are positive, psi >= 0 is lower semicontinuous.
- Step sizes: those of `ProximalGradient`, 1 / `block_max(metric)`, halved for nonconvex psi.
- Z_0 lies in the domain of psi: it is a proximal point.
- Z* comes from another solver, `SecularNewton`, `ClosedForm` or, for the nuclear norm, `AcceleratedProximalGradient`;
  its error, at most its residual / mu, is added to the distance. inf Q is at least the minimum of the smooth part.

Measured: at which iteration `SubgradientNorm(epsilon)` says that (7) holds, for a falling sequence of epsilon, seen
from the stopping rule; (9) and (10) at every iteration. Metrics are spread geometrically over [3 / kappa, 3]; the
solution is large where the metric is smallest, along which psi adds no curvature, so that kappa governs the rate.

Rule: inequalities without statistics. Every count is within its bound, the slope of counts over log(1 / epsilon) within
that of the bound, and (9), (10) hold at every iteration up to 100 units in the last place of a subgradient's terms.

Controls that must fail: theta = 2.1 / L, from a regularizer that understates the majorant, meets (7); and the count of
the convex case for a nonconvex psi whose subproblem has a stationary point without curvature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from optkit.core import Array, Regularizer
from optkit.regularizers import L0, MCP, Binary, GroupLasso, GroupMCP, LogSum, NuclearNorm
from optkit.solvers import ProximalGradient, SubgradientNorm

from .findings import Finding, Outcome, Picture, slope
from .pg_iterations_runs import Run, drawn, flat, watch
from .settings import Settings

NAME = "pg_iterations"
SHAPES = ((12,), (12, 4))
EPSILONS = tuple(10.0**-k for k in range(1, 10))
WHOLE_GROUP = GroupLasso(0.05, axes=(0, 1), scale_by_size=False)
FLAT = "LogSum, flat"


def check(settings: Settings) -> Outcome:
    """Convex psi, nonconvex psi, and a step that is too long."""
    yield from _convex(settings)
    yield from _nonconvex(settings)
    yield _too_long_a_step()


def _fitting(psi: Regularizer, shapes: Sequence[tuple[int, ...]] = SHAPES) -> tuple[int, ...]:
    """The first of the shapes that psi accepts."""
    reasons = []
    for shape in shapes:
        try:
            psi.check(shape)
            return shape
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(f"{NAME} needs a regularizer that fits an array of one of the shapes {shapes}: {reasons[-1]}")


# --- convex psi -------------------------------------------------------------------------------------------------------


def _convex(settings: Settings) -> Outcome:
    given, conditions, draws = settings.regularizer, [1.0, 10.0, 100.0], min(settings.seeds, 5)
    kinds: list[tuple[Regularizer, tuple[int, ...], list[float]]]
    if given is not None and given.convex:
        kinds = [(given, _fitting(given), conditions)]
    else:
        more = conditions if settings.smoke else [*conditions, 1e3, 1e4]
        kinds = [(WHOLE_GROUP, (12, 4), more), (NuclearNorm(0.05), (6, 4), conditions)]
    for psi, shape, conditions in kinds:
        cases = [(k, drawn(psi, shape, k, seed)) for k in conditions for seed in range(draws if k <= 100 else 1)]
        runs = settings.map(f"{NAME} {type(psi).__name__}", watch, [(instance, EPSILONS) for _, instance in cases])
        labelled = [(condition, run) for (condition, _), run in zip(cases, runs, strict=True)]
        yield from _convex_findings(psi, shape, labelled)
        yield Picture(f"{NAME}-{type(psi).__name__}", _caption(psi, shape), _convex_figure(psi, labelled))


def _convex_findings(psi: Regularizer, shape: tuple[int, ...], runs: list[tuple[float, Run]]) -> Outcome:
    where = f"{type(psi).__name__}, {shape} array"
    numbers = {"psi": str(psi), "runs": [_plain(run, condition=condition) for condition, run in runs]}
    share = max(n / bound for _, run in runs for n, bound in zip(run.iterations, run.bounds, strict=True))
    yield Finding(
        NAME,
        f"{where}: (7) is met within 1 + 2 log(2 L ||Z_0 - Z*|| / epsilon) / -log(1 - 1 / kappa) iterations",
        all(run.within for _, run in runs),
        f"{len(runs)} runs, kappa {runs[0][0]:g} to {runs[-1][0]:g}, epsilon down to {runs[0][1].epsilons[-1]:g}: "
        f"counts up to {max(run.iterations[-1] for _, run in runs):,.0f}, at most {share:.2f} of the bound",
        "every count <= its bound",
        numbers=numbers,
    )
    slopes = [(condition, run.rate, _steepest(condition)) for condition, run in runs]
    yield Finding(
        NAME,
        f"{where}: the count grows with log(1 / epsilon) at most as fast as the bound, by 2 / -log(1 - 1 / kappa)",
        all(rate <= bound + 1e-9 for _, rate, bound in slopes),
        "slopes " + ", ".join(f"{max(rate, 0):.3g} <= {bound:.3g}" for _, rate, bound in _steepest_of_each(slopes)),
        "least-squares slope of counts over log(1 / epsilon) <= that of the bound, for each run",
        numbers={"slopes": slopes},
    )
    yield _steps(where, [run for _, run in runs], "2 L")


def _steepest(condition: float) -> float:
    """How much the bound grows with log(1 / epsilon)."""
    return 2 / -math.log1p(-1 / condition) if condition > 1 else 0.0


def _steepest_of_each(slopes: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """For each condition the steepest run."""
    return [max(s for s in slopes if s[0] == condition) for condition in dict.fromkeys(s[0] for s in slopes)]


def _steps(where: str, runs: list[Run], factor: str) -> Finding:
    """(9) and (10) at every iteration."""
    ratio, decrease = max(run.certificate for run in runs), min(run.decrease for run in runs)
    return Finding(
        NAME,
        f"{where}: at every iteration ||s|| <= {factor} ||Z_(j+1) - Z_j|| and "
        "L / 2 ||Z_(j+1) - Z_j||^2 <= Q_j - Q_(j+1)",
        ratio <= 1 and decrease >= 1 - 1e-9,
        f"{sum(run.total for run in runs):,} iterations: largest ratio of the first {ratio:.3f}, "
        f"least ratio of the second {decrease:.3f}",
        "first ratio <= 1, second >= 1, up to rounding",
        numbers={"certificate": ratio, "decrease": decrease if math.isfinite(decrease) else None},
    )


def _caption(psi: Regularizer, shape: tuple[int, ...]) -> str:
    return (
        f"Theorem 1 for convex psi: iterations of proximal gradient until (7) holds, divided by the condition "
        f"number of the metric, for {psi} on a {shape} array, all draws. Dashed: the bound, the largest of the draws."
    )


def _convex_figure(psi: Regularizer, runs: list[tuple[float, Run]]) -> Figure:
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for i, condition in enumerate(dict.fromkeys(condition for condition, _ in runs)):
        mine = [run for k, run in runs if k == condition]
        for j, run in enumerate(mine):
            axes.plot(
                _decades(run),
                np.array(run.iterations) / condition,
                f"C{i}o-",
                ms=4,
                label="" if j else f"κ = {condition:g}",
            )
        axes.plot(_decades(mine[0]), np.max([run.bounds for run in mine], axis=0) / condition, f"C{i}--")
    axes.plot([], [], "k--", label="bound")
    axes.set(xlabel="log10(1 / ε)", ylabel="iterations until (7) holds, divided by κ", title=type(psi).__name__)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _decades(run: Run) -> Array:
    return -np.log10(run.epsilons)


# --- nonconvex psi ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    label: str
    runs: list[Run]

    @property
    def exponent(self) -> float:
        """The largest fitted power of 1 / epsilon."""
        return max(
            slope([1 / e for e in run.epsilons], run.iterations) if run.finished else math.inf for run in self.runs
        )


def _nonconvex(settings: Settings) -> Outcome:
    given = settings.regularizer
    if given is not None and not given.convex:
        kinds: dict[str, tuple[Regularizer, tuple[int, ...]]] = {type(given).__name__: (given, _fitting(given))}
    else:
        group = GroupMCP(0.3, axes=(0, 1), scale_by_size=False)
        kinds = {"MCP": (MCP(0.3), (12,)), "GroupMCP": (group, (12, 4)), "Binary": (Binary(0.3), (12,))}
        if not settings.smoke:
            kinds |= {"LogSum": (LogSum(0.3), (12,)), "L0": (L0(0.3), (12,))}
    seeds = range(min(settings.seeds, 5))
    instances = [drawn(psi, shape, 100.0, seed) for psi, shape in kinds.values() for seed in seeds]
    instances.append(flat(LogSum(0.015, 0.1)))
    runs = settings.map(f"{NAME} nonconvex", watch, [(instance, EPSILONS[:8]) for instance in instances])
    found = [_Kind(label, runs[i * len(seeds) : (i + 1) * len(seeds)]) for i, label in enumerate(kinds)]
    found.append(_Kind(FLAT, runs[-1:]))
    yield from _nonconvex_findings(found)
    yield Picture(
        f"{NAME}-nonconvex",
        "Theorem 1 for nonconvex psi: iterations until (7) holds, all draws, and the bound C / ε^2, the least of "
        "the draws of each psi (dashed). The flat subproblem has a stationary point without curvature.",
        _nonconvex_figure(found),
    )


def _nonconvex_findings(kinds: list[_Kind]) -> Outcome:
    runs = [run for kind in kinds for run in kind.runs]
    exponents = {kind.label: kind.exponent for kind in kinds}
    shares = [n / bound for run in runs for n, bound in zip(run.iterations, run.bounds, strict=True)]
    yield Finding(
        NAME,
        "nonconvex psi: (7) is met within 18 L (Q_0 - inf Q) / epsilon^2 iterations",
        all(run.within for run in runs),
        f"{len(runs)} runs, epsilon from {EPSILONS[0]:g} to {EPSILONS[7]:g}: counts up to "
        f"{max(run.iterations[-1] for run in runs):,.0f}, at most {max(shares):.2g} of the bound; fitted powers of "
        "1 / epsilon: " + ", ".join(f"{label} {value:.2f}" for label, value in exponents.items()),
        "every count <= its bound",
        numbers={
            "exponents": exponents,
            "runs": [_plain(run, psi=kind.label) for kind in kinds for run in kind.runs],
        },
    )
    yield _steps("nonconvex psi", runs, "3 L")
    steps, power = np.diff(kinds[-1].runs[0].iterations), kinds[-1].exponent
    yield Finding(
        NAME,
        "a count logarithmic in 1 / epsilon, as for convex psi, also holds for nonconvex psi",
        bool(steps[-1] <= 2 * steps[0]),
        f"{FLAT}: a further digit costs {', '.join(f'{n:.0f}' for n in steps)} iterations, power {power:.2f}",
        "the last digit costs at most twice what the second costs",
        control=True,
        numbers={"iterations_per_digit": steps.tolist()},
    )


def _nonconvex_figure(kinds: list[_Kind]) -> Figure:
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for i, kind in enumerate(kinds):
        inverse = 1 / np.array(kind.runs[0].epsilons)
        for j, run in enumerate(kind.runs):
            axes.loglog(inverse, run.iterations, f"C{i}o-", ms=4, label="" if j else kind.label)
        axes.loglog(inverse, np.min([run.bounds for run in kind.runs], axis=0), f"C{i}--")
    axes.loglog([], [], "k--", label="bound C / ε²")
    axes.set(xlabel="1 / ε", ylabel="iterations until (7) holds", title="nonconvex ψ")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


# --- a step too long --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Understated(GroupLasso):
    """Says that the largest entry of the metric is 2.1 times smaller than it is: theta = 2.1 / L."""

    def block_max(self, a: Array) -> Array:
        return super().block_max(a) / 2.1


def _too_long_a_step() -> Finding:
    psi = Understated(WHOLE_GROUP.strength, WHOLE_GROUP.axes, scale_by_size=False)
    residuals = []
    for condition in (1.0, 10.0, 100.0):
        instance = drawn(psi, (12, 4), condition, 0)
        before = float(instance.problem.residual(instance.start, psi))
        solution = ProximalGradient().solve(instance.problem, psi, instance.start, SubgradientNorm(1e-1, 300))
        residuals.append((condition, before, float(solution.residual), bool(solution.converged)))
    return Finding(
        NAME,
        "proximal gradient with theta = 2.1 / L meets (7)",
        any(done for *_, done in residuals),
        "residuals after 300 iterations: "
        + ", ".join(f"{after:.1e} from {before:.1e} (kappa {k:g})" for k, before, after, _ in residuals),
        "(7) with epsilon = 0.1 is met for one of the condition numbers",
        control=True,
        numbers={"residuals": residuals},
    )


def _plain(run: Run, **label: float | str) -> dict[str, object]:
    """Everything counted in a run, as plain data."""
    counts = [n if math.isfinite(n) else None for n in run.iterations]
    return {**label, "epsilons": list(run.epsilons), "iterations": counts, "bounds": list(run.bounds)}
