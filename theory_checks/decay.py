"""Quantities that must tend to zero along a run: measured at logarithmically spaced steps, fitted by a power of t."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from optkit import minimize
from optkit.algorithms import ProximalMethod
from optkit.core import Array, ConvergenceWarning
from optkit.minimize import Progress

from .cases import Case
from .findings import Finding, mean_interval, slope
from .settings import Settings

Measure = Callable[[Case, Progress, Array], Array | float]
"""measure(case, progress, previous): a number or an array at a step; previous is W_{t-1}."""

AT_LEAST = -0.05
"""A quantity is seen to tend to zero when the confidence interval of its exponent lies below this. No finite run shows
a limit: a limit other than zero that is small beside the last value would not be seen."""


def length(settings: Settings) -> int:
    """The steps of a run: five times those in which structures are identified, rates take longer to be seen."""
    return 5 * settings.steps


def looks(steps: int) -> list[int]:
    """The steps looked at: from steps / 20 on, so that the start is forgotten."""
    return sorted({int(t) for t in np.geomspace(max(steps // 20, 2), steps, 100)})


def follow(
    case: Case, method: ProximalMethod, steps: int, seed: int, measures: Mapping[str, Measure]
) -> dict[str, list[Array]]:
    """Run the method; each measure at each of the steps looked at."""
    wanted, previous = set(looks(steps)), case.problem.start
    seen: dict[str, list[Array]] = {name: [] for name in measures}

    def record(progress: Progress) -> None:
        nonlocal previous
        if progress.steps in wanted:
            for name, measure in measures.items():
                seen[name].append(np.asarray(measure(case, progress, previous)))
        previous = progress.w

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        minimize(case.problem, method, steps=steps, seed=seed, callback=record)
    return seen


def vanishes(check: str, statement: str, runs: Sequence[Sequence[Array]], steps: int, control: bool = False) -> Finding:
    """The claim that a quantity, one number a look, tends to zero: the exponent fitted to each run."""
    values = np.array([[float(value) for value in run] for run in runs])
    if not np.all(np.isfinite(values)):
        return Finding(check, f"{statement}: is finite", False, "NaN or infinity", "finite at every step looked at")
    if np.max(np.abs(values)) < 1e-12:
        return Finding(check, statement, True, "0 at all steps: it is not random", "0", control, {"exponents": []})
    exponents = [
        slope(looks(steps), np.where(run > 0, run, np.min(run[run > 0], initial=np.max(run)))) for run in values
    ]
    mean, low, high = mean_interval(exponents)
    first, last = np.median(values[:, 0]), np.median(values[:, -1])
    return Finding(
        check,
        statement,
        high < AT_LEAST,
        f"exponent {mean:.2f} [{low:.2f}, {high:.2f}], from {first:.2g} to {last:.2g}",
        f"95 % interval of the exponent over {len(runs)} seeds below {AT_LEAST}",
        control,
        {"exponents": exponents, "interval": [low, high], "steps": looks(steps), "values": values.tolist()},
    )
