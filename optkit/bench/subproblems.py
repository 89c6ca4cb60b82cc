"""The subproblems that are timed. The entries of the metric are log-uniform in [1, condition] up to a factor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from array_api_compat import is_torch_array

from optkit.core import Array, Regularizer, Subproblem
from optkit.regularizers import GroupLasso, NuclearNorm
from optkit.solvers import AcceleratedProximalGradient, SecularNewton, SubgradientNorm

TOLERANCE = 1e-6  # of the residual, relative to ||metric * anchor - linear||
ENTRIES = 9 * 2**15  # of every group lasso problem: 64 groups of 4608
KINDS: dict[str, tuple[Any, Any]] = {"numpy float64": (np, np.float64), "torch float32": (torch, np.float32)}


class Drawn(NamedTuple):
    problem: Subproblem
    psi: Regularizer
    start: Array

    def array(self, kind: str) -> Drawn:
        """The same numbers in arrays of this kind."""
        linear, anchor, metric = (getattr(self.problem, name) for name in ("linear", "anchor", "metric"))
        problem = Subproblem(array(linear, kind), array(anchor, kind), array(metric, kind), self.problem.weight)
        return Drawn(problem, self.psi, array(self.start, kind))


@dataclass(frozen=True)
class GroupCase:
    """zeros: percentage of the groups that are zero in the solution;  power: linear and metric * anchor are normal
    numbers times metric**power, and times a lognormal number a group; with 1 as in adaptive methods. It begins at 0.
    """

    size: int
    condition: float
    zeros: int
    power: int = 1
    kind: str = "numpy float64"
    limit = 2000

    @property
    def shape(self) -> tuple[int, int]:
        return ENTRIES // self.size, self.size

    @property
    def table(self) -> str:
        return f"GroupLasso, {self.kind}, linear term {('independent of', 'in proportion to')[self.power]} the metric"

    @property
    def zero_groups(self) -> int:
        return round(self.zeros / 100 * self.shape[0])

    def draw(self, rng: np.random.Generator) -> Drawn:
        exponent = rng.random(self.shape) - 0.5
        exponent[:, :2] = -0.5, 0.5
        d = self.condition**exponent
        factor = d**self.power * np.exp(rng.standard_normal((self.shape[0], 1)))
        linear, pull = factor * rng.standard_normal(self.shape), factor * rng.standard_normal(self.shape)
        ratios = np.sort(np.linalg.norm(pull - linear, axis=1)) / math.sqrt(self.size)  # strengths that remove a group
        below, above = np.concatenate((ratios[:1] / 4, ratios))[self.zero_groups :][:2]
        problem = Subproblem(linear, pull / d, d, 1.0)
        return Drawn(problem, GroupLasso(math.sqrt(below * above), axes=1), np.zeros(self.shape))


@dataclass(frozen=True)
class NuclearCase:
    """The anchor is of rank min(m, n) / 8, linear is noise with a spectral norm of `strength`.

    start: "cold", 0, or "warm", the solution with 1 % more noise;  limit: of the iterations.
    """

    shape: tuple[int, int]
    condition: float
    start: str
    limit: int
    kind = "numpy float64"
    table = "NuclearNorm, numpy float64"

    def draw(self, rng: np.random.Generator) -> Drawn:
        (m, n), rank = self.shape, min(self.shape) // 8
        d = self.condition ** (rng.random((m, n)) - 0.5)
        anchor = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n)) / math.sqrt(rank)
        linear, more = d * rng.standard_normal((m, n)), d * rng.standard_normal((m, n))
        cold = Drawn(
            Subproblem(linear, anchor, d, 1.0), NuclearNorm(float(np.linalg.norm(linear, 2))), np.zeros((m, n))
        )
        if self.start == "cold":
            return cold
        other = cold._replace(problem=replace(cold.problem, linear=linear + 0.01 * more))
        return cold._replace(start=AcceleratedProximalGradient().solve(*other, rule(other, self.limit)).point)


Case = GroupCase | NuclearCase


@lru_cache(maxsize=1)  # the solvers of one case follow each other
def pose(case: Case) -> tuple[Drawn, Drawn, np.ndarray | None]:
    """The problem of this case, the same problem in numpy's float64, and its exact solution."""
    posed = case.draw(np.random.default_rng(0)).array(case.kind)
    referee = posed.array("numpy float64")
    return posed, referee, SecularNewton().solve(*referee).point if isinstance(case, GroupCase) else None


def array(a: Array, kind: str) -> Array:
    """A new array of this kind with the values of a."""
    xp, dtype = KINDS[kind]
    return xp.asarray(np.array(a.numpy() if is_torch_array(a) else a, dtype=dtype))


def unit(drawn: Drawn) -> float:
    """||metric * anchor - linear||, what residuals are relative to."""
    return float(((drawn.problem.metric * drawn.problem.anchor - drawn.problem.linear) ** 2).sum() ** 0.5)


def rule(drawn: Drawn, limit: int) -> SubgradientNorm:
    """Stop at a relative residual of TOLERANCE, or after so many iterations."""
    return SubgradientNorm(TOLERANCE * unit(drawn), max_iterations=limit)


GROUP_CASES = [
    *(
        GroupCase(n, condition, zeros)
        for n in (16, 256, 4608)
        for condition in (1, 1e2, 1e4, 1e6)
        for zeros in (0, 50, 95)
    ),
    *(GroupCase(256, condition, 50, power=0) for condition in (1e2, 1e4, 1e6)),
    *(GroupCase(256, condition, 50, kind="torch float32") for condition in (1, 1e2, 1e4)),
]
NUCLEAR_CASES = [
    NuclearCase((n, n) if n < 1000 else (n, n // 2), condition, start, limit)
    for n, condition, limit in ((64, 10, 1000), (64, 1e3, 1000), (256, 10, 300), (256, 1e3, 300), (1024, 10, 40))
    for start in ("cold", "warm")
]
