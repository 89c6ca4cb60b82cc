"""Proximal gradient runs watched from their stopping rule, and the bounds on their iterations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from optkit.core import Array, Reached, Regularizer, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import LogSum
from optkit.solvers import AcceleratedProximalGradient, ClosedForm, ProximalGradient, SecularNewton, SubgradientNorm

Seen = Callable[[Array, Array, int], None]
LIMIT = 300_000
"""No run is longer."""


@dataclass(frozen=True)
class Watched(StoppingRule):
    """Stops where the last of some rules is met, and notes in `met` at which iteration each was met first.

    rules: from loose to strict;  max_iterations: the solver's limit;  seen: called with (point, previous, iteration) of
    every iteration;  met: filled by one solve.
    """

    rules: Sequence[StoppingRule]
    limit: int
    seen: Seen
    met: list[int] = field(default_factory=list)

    @property
    def max_iterations(self) -> int:
        return self.limit

    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        tests = [rule.begin(problem, psi, start) for rule in self.rules]

        def reached(point: Array, previous: Array, iteration: int) -> bool:
            self.seen(point, previous, iteration)
            while len(self.met) < len(tests) and tests[len(self.met)](point, previous, iteration):
                self.met.append(iteration)
            return len(self.met) == len(tests)

        return reached


@dataclass(frozen=True)
class Instance:
    """A subproblem (4) with a metric of the anchor's shape, psi, and the point Z_0 from which the solver starts."""

    problem: Subproblem
    psi: Regularizer
    start: Array

    @property
    def curvature(self) -> Array:
        """L: the largest entry of the metric on each block, at every entry of the block."""
        return self.psi.block_max(self.problem.metric) + np.zeros_like(self.start)

    @property
    def condition(self) -> float:
        """kappa: the largest ratio of two entries of the metric on one block."""
        return float(np.max(self.curvature / -self.psi.block_max(-self.problem.metric)))

    @property
    def drop(self) -> float:
        """Q(Z_0) minus a lower bound of Q: the minimum of its smooth part, for psi >= 0."""
        smooth = -0.5 * float(np.sum(self.problem.linear**2 / self.problem.metric))
        return float(self.problem.objective(self.start, self.psi)) - smooth

    def rounding(self, point: Array) -> float:
        """What rounding may add to a subgradient at the point: 100 units in the last place of its terms."""
        terms = np.abs(self.problem.linear) + self.problem.metric * (np.abs(point) + np.abs(self.problem.anchor))
        return 100 * float(np.finfo(point.dtype).eps * np.linalg.norm(terms))


def drawn(psi: Regularizer, shape: tuple[int, ...], condition: float, seed: int) -> Instance:
    """A subproblem with a metric of this condition, whose anchor is far from 0 where the metric is smallest."""
    rng = np.random.default_rng(seed)
    metric = rng.permutation(np.geomspace(3 / condition, 3, math.prod(shape))).reshape(shape)
    anchor = rng.standard_normal(shape) * np.where(metric == metric.min(), 0.5 / metric.min(), 1.0)
    problem = Subproblem(-0.3 * metric * rng.standard_normal(shape), anchor, metric, 2.0)
    return Instance(problem, psi, psi.prox(anchor + rng.standard_normal(shape), 1e-3))


def flat(psi: LogSum) -> Instance:
    """One entry, whose Q has a stationary point w without curvature, d = strength / (epsilon + w)^2: a slow one."""
    root = math.sqrt(psi.strength)
    linear = np.array([psi.epsilon - 2 * root])
    return Instance(Subproblem(linear, np.zeros(1), np.ones(1), 1.0), psi, np.ones(1))


@dataclass(frozen=True)
class Run:
    """iterations: until (7) held with each epsilon, infinite where it never did;  bounds: of them;  certificate: the
    largest ||s|| / ((L + 1 / theta) ||move|| + rounding) of all iterations, at most 1 by (9);  decrease: the least
    decrease of Q over L / 2 ||move||^2, at least 1 by (10);  total: iterations looked at."""

    epsilons: tuple[float, ...]
    iterations: tuple[float, ...]
    bounds: tuple[float, ...]
    certificate: float
    decrease: float
    total: int

    @property
    def within(self) -> bool:
        """Whether every count is within its bound."""
        return all(n <= bound for n, bound in zip(self.iterations, self.bounds, strict=True))

    @property
    def rate(self) -> float:
        """Iterations for each unit of log(1 / epsilon), fitted by least squares."""
        return float(np.polyfit(-np.log(self.epsilons), self.iterations, 1)[0]) if self.finished else math.inf

    @property
    def finished(self) -> bool:
        return math.isfinite(self.iterations[-1])


def watch(instance: Instance, epsilons: Sequence[float]) -> Run:
    """ProximalGradient until (7) holds with the smallest epsilon, or somewhat longer than its bound.

    epsilons: falling; for convex psi those whose bound is above LIMIT are left out.
    """
    bounds = convex_bounds(instance, epsilons) if instance.psi.convex else nonconvex_bounds(instance, epsilons)
    if instance.psi.convex:
        bounds = [bound for bound in bounds if bound <= LIMIT]
        epsilons = epsilons[: len(bounds)]
    problem, psi, curvature = instance.problem, instance.psi, instance.curvature
    factor = 2.0 if psi.convex else 3.0  # (L + 1 / theta) / L
    ratios, decreases = [0.0], [math.inf]
    values: list[float] = []

    def seen(point: Array, previous: Array, iteration: int) -> None:
        if not values:
            values.append(float(problem.objective(previous, psi)))
        move, slack = point - previous, instance.rounding(point)
        residual, value = float(problem.residual(point, psi)), float(problem.objective(point, psi))
        ratios.append(residual / (factor * float(np.linalg.norm(curvature * move)) + slack))
        expected, noise = 0.5 * float(np.sum(curvature * move**2)), slack * float(np.linalg.norm(point) + 1)
        if expected > 100 * noise:
            decreases.append((values[-1] - value + noise) / expected)
        values.append(value)

    limit = int(min(bounds[-1] + 2, LIMIT))
    rule = Watched([SubgradientNorm(epsilon) for epsilon in epsilons], limit, seen)
    solution = ProximalGradient().solve(problem, psi, instance.start, rule)
    counts = [*map(float, rule.met), *[math.inf] * (len(epsilons) - len(rule.met))]
    return Run(tuple(epsilons), tuple(counts), tuple(bounds), max(ratios), min(decreases), solution.iterations)


def linear_bound(size: float, condition: float, epsilon: float) -> float:
    """1 + j for the least j >= 1 with size (1 - 1 / condition)^(j / 2) <= epsilon."""
    if condition <= 1 or size <= epsilon:
        return 2.0
    return 1.0 + max(1.0, math.ceil(2 * math.log(size / epsilon) / -math.log1p(-1 / condition)))


def convex_bounds(instance: Instance, epsilons: Sequence[float]) -> list[float]:
    """linear_bound with size = 2 ||L (Z_0 - Z*)||.

    Z* is found by a solver other than proximal gradient; strong convexity bounds its error by residual / min d.
    """
    found = _other(instance).solve(instance.problem, instance.psi, instance.start)
    error = float(np.max(instance.curvature)) * float(found.residual) / float(np.min(instance.problem.metric))
    size = 2 * (float(np.linalg.norm(instance.curvature * (instance.start - found.point))) + error)
    return [linear_bound(size, instance.condition, epsilon) for epsilon in epsilons]


def nonconvex_bounds(instance: Instance, epsilons: Sequence[float]) -> list[float]:
    """18 max L (Q(Z_0) - lower bound) / epsilon^2, rounded up."""
    size = 18 * float(np.max(instance.curvature)) * instance.drop
    return [max(1.0, float(math.ceil(size / epsilon**2))) for epsilon in epsilons]


def _other(instance: Instance) -> SubproblemSolver:
    """The most exact solver that supports the pairing and is not ProximalGradient."""
    candidates = (ClosedForm(), SecularNewton(), AcceleratedProximalGradient(SubgradientNorm(1e-12, 20_000)))
    return next(s for s in candidates if s.supports(instance.psi, instance.problem) is None)
