"""RAMDA with the nuclear norm: runs of 200 steps, and some of their subproblems by proximal gradient."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
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
from .textbook import textbook

SHAPES = ((512, 512), (1024, 256), (768, 3072))
CERTIFICATE = 1e-5  # relative to ||metric * anchor - linear||
STEPS, SAMPLES = 200, 2  # of a run; how many more steps that the others solve, too
ROUNDING = 1e-6  # singular values below this part of the largest are zeros
PATIENCE = 10.0  # seconds that each of the others gets for a sample, about; 3 iterations in any case
SECONDS = 60.0  # after which a run ends early
MOST = 100  # iterations of RAMDA's solver in a step
FIRST = SubgradientNorm(1e-5, max_iterations=20)  # of the first step, before which there is no scale for a tolerance
COLUMNS = (
    Column("matrix"),
    Column("rank", "d"),
    Column("steps", "d"),
    Column("ms a step", ",.1f"),
    Column("residual", ".0e"),
    Column("textbook, ms", ",.0f"),
    Column("textbook's iterations", "d"),
    Column("faster than textbook"),
    Column("ProximalGradient, ms", ",.0f"),
    Column("ProximalGradient's iterations", "d"),
    Column("faster than ProximalGradient"),
)
TEXT = """\
A run of RAMDA on one matrix, float32, each subproblem from the weights before it to a subgradient of norm at most
1e-5 ||metric * anchor - linear|| and what float32 rounding adds, which is as much. Gradients are a matrix, of rank 16
or full, and noise that changes with the step; `rank` is that of the weights at the end. `ms a step`: the median over
the second half of the steps, of which there are fewer than 200 where the run would take longer than {seconds:.0f} s.
Residual: the largest of {samples} late steps, in float64 and relative. Those alone, as all would take hours, are also
solved, from the same start to the same certificate, by `textbook`, proximal gradient with one full singular value
decomposition an iteration that stops at the subgradient which its own step yields, and by `ProximalGradient`, which
decomposes the point, too, for the least subgradient. Where a solve would take longer than about {patience:.0f} s it
gets fewer iterations; then the ratio is a lower bound.
"""


class Setting(NamedTuple):
    """rank: of the part of the gradients that stays, the rest is noise; None for the full one;  strength: of the
    regularizer, in spectral norms of that part."""

    rank: int | None
    strength: float


SETTINGS = (Setting(16, 0.1), Setting(None, 0.2), Setting(None, 1e-3))  # for a low, a middle and the full rank


class Other(NamedTuple):
    """seconds, iterations, converged: of another solver on the subproblem of a step."""

    seconds: float
    iterations: int
    converged: bool


class Sample(NamedTuple):
    """residual, rank: of RAMDA's solution;  others: by `textbook` and by ProximalGradient."""

    residual: float
    rank: int
    others: tuple[Other, Other]


def tables(settings: Settings) -> Iterator[Table]:
    """One."""
    shapes, steps = (((24, 16),), 10) if settings.quick else (SHAPES, STEPS)
    text = TEXT.format(seconds=SECONDS, samples=SAMPLES, patience=PATIENCE)
    rows = (_row(shape, each, steps, settings) for shape in shapes for each in SETTINGS)
    yield Table("Nuclear norm", text, COLUMNS, tuple(rows))


class Gradients:
    """A matrix, of this rank or of full rank, and noise."""

    def __init__(self, shape: tuple[int, int], rank: int | None, device: str) -> None:
        self.shape, self.generator = shape, torch.Generator(device).manual_seed(0)
        rank = min(rank or max(shape), *shape)
        left, right = self._normal((shape[0], rank)), self._normal((rank, shape[1]))
        self.fixed = 1e-2 * left @ right / rank**0.5

    def _normal(self, shape: tuple[int, int]) -> Tensor:
        return torch.randn(shape, device=self.generator.device, generator=self.generator)

    def draw(self) -> Tensor:
        return self.fixed + 2e-3 * self._normal(self.shape)


def _row(shape: tuple[int, int], setting: Setting, steps: int, settings: Settings) -> tuple[object, ...]:
    gradients = Gradients(shape, setting.rank, settings.device)
    strength = setting.strength * float(torch.linalg.matrix_norm(gradients.fixed, 2))
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
    own = median(times[len(times) // 2 :])
    others = [_summary(own, [sample.others[i] for sample in samples]) for i in range(2)]
    residual = max(sample.residual for sample in samples)
    name = f"{shape[0]} × {shape[1]}"
    return (name, samples[-1].rank, len(times), 1e3 * own, residual, *others[0], *others[1])


def _summary(own: float, found: list[Other]) -> tuple[float, int, str]:
    """Milliseconds, iterations, and how many times that is of RAMDA's seconds."""
    seconds = median(one.seconds for one in found)
    short = not all(one.converged for one in found)
    most = max(one.iterations for one in found)
    return 1e3 * seconds, most, f"{'more than ' if short else ''}{seconds / own:,.1f} ×"


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
    assert isinstance(psi, NuclearNorm)
    most, epsilon = _limit(problem, device), CERTIFICATE * float(_unit(problem))
    plain = _other(lambda: textbook(problem, psi.strength, start, epsilon, most), device)
    rule = SubgradientNorm(epsilon, max_iterations=max(most // 3, 3))
    certified = _other(lambda: ProximalGradient().solve(problem, psi, start, rule), device)
    exact = replace(problem, **{name: getattr(problem, name).double() for name in ("linear", "anchor", "metric")})
    point, rank = _of_low_rank(weight.detach().double())
    return Sample(float(exact.residual(point, psi)) / float(_unit(exact)), rank, (plain, certified))


def _other(solve: Callable[[], Any], device: str) -> Other:
    found: list[Any] = []
    seconds = _timed(lambda: found.append(solve()), device)
    return Other(seconds, found[0].iterations, bool(found[0].converged))


def _limit(problem: Subproblem, device: str) -> int:
    """The iterations, of one decomposition each, that there is time for."""
    decomposed = _timed(lambda: torch.linalg.svd(problem.linear, full_matrices=False), device)
    return int(min(max(PATIENCE / decomposed, 3), 1000))


def _of_low_rank(w: Tensor) -> tuple[Tensor, int]:
    """The matrix without the singular values that are rounding errors of float32, and its rank."""
    left, values, right = torch.linalg.svd(w, full_matrices=False)
    rank = int((values > ROUNDING * values[0]).sum())
    return left[:, :rank] * values[:rank] @ right[:rank], rank
