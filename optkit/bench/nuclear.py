"""RAMDA with the nuclear norm: a run of 200 steps, and some of its subproblems by proximal gradient."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit import registry
from optkit.core import ConvergenceWarning, Regularizer, Subproblem
from optkit.regularizers import NuclearNorm
from optkit.solvers import ProximalGradient, SubgradientNorm
from optkit.torch import RAMDA
from optkit.torch.state import unpack

from .contestants import make
from .settings import Settings
from .table import Column, Table

SHAPES = ((512, 512), (1024, 256), (768, 3072))
CERTIFICATE = 1e-5  # relative to ||metric * anchor - linear||
STEPS, SAMPLES = 200, 3  # of a run; how many more proximal gradient solves too
ROUNDING = 1e-6  # singular values below this part of the largest are zeros
PATIENCE = 8.0  # seconds that proximal gradient gets for a sample, about; 3 iterations in any case
SECONDS = 30.0  # after which a run ends early
MOST = 60  # iterations of RAMDA's solver in a step
FIRST = SubgradientNorm(1e-5, max_iterations=20)  # of the first step, before which there is no scale for a tolerance
RANK = 16  # of the part of the gradients that stays; the rest is noise
COLUMNS = (
    Column("matrix"),
    Column("steps", "d"),
    Column("ms a step", ",.1f"),
    Column("residual", ".0e"),
    Column("rank", "d"),
    Column("proximal gradient, ms", ",.0f"),
    Column("its iterations", "d"),
    Column("its residual", ".0e"),
    Column("faster by"),
)
TEXT = """\
A run of RAMDA on one matrix, float32, each subproblem from the weights before it to a subgradient of norm at most
1e-5 ||metric * anchor - linear|| and what float32 rounding adds, which is as much. Gradients are a matrix of low rank
and noise that changes with the step. `ms a step`: the median over the second half of the steps, of which there are
fewer than 200 where the run would take longer than {seconds:.0f} s. Residual: the largest of {samples} late steps, in
float64 and relative. Those are also solved by ProximalGradient with a full singular value decomposition in each
iteration, from the same start to the same certificate or, where that would take longer than about {patience:.0f} s, for
fewer iterations; then "faster by" is a lower bound.
"""


class Sample(NamedTuple):
    """seconds, iterations, residual, converged: of proximal gradient;  own: the residual of RAMDA's solution;  rank: of
    that."""

    seconds: float
    iterations: int
    residual: float
    converged: bool
    own: float
    rank: int


def tables(settings: Settings) -> Iterator[Table]:
    """One."""
    shapes, steps = (((24, 16),), 10) if settings.quick else (SHAPES, STEPS)
    text = TEXT.format(seconds=SECONDS, samples=SAMPLES, patience=PATIENCE)
    yield Table("Nuclear norm", text, COLUMNS, tuple(_row(shape, steps, settings) for shape in shapes))


class Gradients:
    """A matrix of low rank, and noise."""

    def __init__(self, shape: tuple[int, int], device: str) -> None:
        self.shape, self.generator = shape, torch.Generator(device).manual_seed(0)
        rank = min(RANK, *shape)
        left, right = self._normal((shape[0], rank)), self._normal((rank, shape[1]))
        self.fixed = 1e-2 * left @ right / rank**0.5

    def _normal(self, shape: tuple[int, int]) -> Tensor:
        return torch.randn(shape, device=self.generator.device, generator=self.generator)

    def draw(self) -> Tensor:
        return self.fixed + 2e-3 * self._normal(self.shape)


def _row(shape: tuple[int, int], steps: int, settings: Settings) -> tuple[object, ...]:
    gradients = Gradients(shape, settings.device)
    strength = 0.1 * float(torch.linalg.matrix_norm(gradients.fixed, 2))
    weight = (0.02 * gradients.draw() / 1e-2).requires_grad_()
    groups = [{"params": [weight], "regularizer": NuclearNorm(strength), "averaging": 1.0, "stopping": FIRST}]
    optimizer = make("RAMDA", groups, "auto")
    assert isinstance(optimizer, RAMDA)
    times: list[float] = []
    samples: list[Sample] = []
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the residual is in the table
        while len(times) < steps and (len(times) < 4 or time.perf_counter() - begun < SECONDS):
            weight.grad = gradients.draw()
            _certify(optimizer, weight)
            times.append(_timed(optimizer.step, settings.device))
        for _ in range(1 if settings.quick else SAMPLES):
            weight.grad, start = gradients.draw(), weight.detach().clone()
            _certify(optimizer, weight)
            optimizer.step()
            samples.append(_sample(optimizer, weight, start, settings.device))
    own, other = median(times[len(times) // 2 :]), median(one.seconds for one in samples)
    short = not all(one.converged for one in samples)
    return (
        f"{shape[0]} × {shape[1]}",
        len(times),
        1e3 * own,
        max(one.own for one in samples),
        samples[-1].rank,
        1e3 * other,
        max(one.iterations for one in samples),
        max(one.residual for one in samples),
        f"{'more than ' if short else ''}{other / own:,.1f} ×",
    )


def _certify(optimizer: RAMDA, weight: Tensor) -> None:
    """Ask for the certificate in the next step: epsilon from the subproblem of the last one."""
    if optimizer.state.get(weight):
        problem, _ = _subproblem(optimizer, weight)
        rule = SubgradientNorm(CERTIFICATE * float(_unit(problem)), max_iterations=MOST)
        optimizer.param_groups[0]["stopping"] = registry.to_data(rule)


def _subproblem(optimizer: RAMDA, weight: Tensor) -> tuple[Subproblem, Regularizer]:
    """That of the last step."""
    method = optimizer.method(optimizer.param_groups[0])
    return method.subproblem(weight.detach(), unpack(optimizer.state[weight], method)), method.psi


def _unit(problem: Subproblem) -> Tensor:
    return torch.linalg.vector_norm(problem.metric * problem.anchor - problem.linear)


def _timed(run: Any, device: str) -> float:
    """By the clock on the wall: solvers that wait for the device are part of it."""
    begun = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def _sample(optimizer: RAMDA, weight: Tensor, start: Tensor, device: str) -> Sample:
    problem, psi = _subproblem(optimizer, weight)
    rule = SubgradientNorm(CERTIFICATE * float(_unit(problem)), max_iterations=_limit(problem, device))
    found: list[Any] = []
    seconds = _timed(lambda: found.append(ProximalGradient().solve(problem, psi, start, rule)), device)
    exact = replace(problem, **{name: getattr(problem, name).double() for name in ("linear", "anchor", "metric")})
    points = [_of_low_rank(point.double()) for point in (found[0].point, weight.detach())]
    theirs, ours = (float(exact.residual(w, psi)) / float(_unit(exact)) for w, _ in points)
    return Sample(seconds, found[0].iterations, theirs, bool(found[0].converged), ours, points[1][1])


def _limit(problem: Subproblem, device: str) -> int:
    """The iterations, of two decompositions each, that there is time for."""
    decomposed = _timed(lambda: torch.linalg.svd(problem.linear, full_matrices=False), device)
    return int(min(max(PATIENCE / (2 * decomposed), 3), 1000))


def _of_low_rank(w: Tensor) -> tuple[Tensor, int]:
    """The matrix without the singular values that are rounding errors of float32, and its rank."""
    left, values, right = torch.linalg.svd(w, full_matrices=False)
    rank = int((values > ROUNDING * values[0]).sum())
    return left[:, :rank] * values[:rank] @ right[:rank], rank
