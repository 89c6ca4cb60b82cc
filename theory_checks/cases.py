"""The problems of the checks: one for each structure, with its solution and margin, and three on real data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from optkit.algorithms import ProximalMethod
from optkit.core import Array, Regularizer
from optkit.problems import LinearModel, LogisticRegression, SoftmaxRegression
from optkit.problems.datasets import digits, libsvm, mnist
from optkit.regularizers import L1, MCP, Binary, GroupLasso, NuclearNorm, SparseGroupLasso
from optkit.solvers import ProximalGradient, SubgradientNorm

from .network import Network
from .settings import Settings
from .truth import Truth, gradient, known, planted, solve

STRENGTH = 0.2
SHORT, FAST = {"RAMDA": 0.4, "RMDA": 0.4}, {"RMDA": 2.0}  # factors on learning rates
MARGIN = 0.12
NEARBY = ProximalGradient(SubgradientNorm(1e-9, max_iterations=300), local=True)
"""Finds a stationary point near W_{t-1}, for nonconvex psi."""


@dataclass(frozen=True)
class Case:
    """name: the structure;  psi, problem: F = f + psi;  truth: the solution, or None where it depends on the run: then
    it is the limit, found from the end of each run;  parts: solver and stopping for the methods, where the defaults do
    not do;  scales: factors on the learning rates of our methods by label, such that they get to the limit in the runs.
    """

    name: str
    psi: Regularizer
    problem: Any
    truth: Truth | None
    parts: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def method(self, label: str, make: Callable[..., ProximalMethod]) -> ProximalMethod:
        """The method that `make` makes for this problem."""
        return make(self.psi, scale=self.scales.get(label, 1.0), **self.parts)

    def limit(self, w: Array) -> Truth:
        """The stationary point near w, or the solution where it is known."""
        return self.truth or solve(self.problem, self.psi, w)


def structure_cases() -> list[Case]:
    """All structures, on made-up problems with a convex and a nonconvex loss."""
    return [
        group_case(),
        sparse_case(),
        sign_case(),
        *_further_cases(),
        _low_rank_case(),
        network_case(),
        logistic_case(),
    ]


def group_case(margin: float = MARGIN) -> Case:
    """Group sparsity with this margin: 14 of 20 groups of 4 are zero."""
    w, direction = _rows(np.random.default_rng(0), (20, 4), 6)
    return _planted(
        "group sparsity", GroupLasso(STRENGTH, axes=1, scale_by_size=False), w, direction, margin, scales=FAST
    )


def sparse_case(margin: float = MARGIN) -> Case:
    """Sparsity with this margin: 30 of 40 entries are zero."""
    w, direction = _rows(np.random.default_rng(1), (40,), 10)
    return _planted("sparsity", L1(STRENGTH), w, direction, margin)


def sign_case() -> Case:
    """Signs: 30 entries at a level, towards which the loss alone pushes them, too."""
    rng = np.random.default_rng(1)
    signs = np.where(rng.random(30) < 0.5, -1.0, 1.0)
    return _planted("signs", Binary(2 * STRENGTH), signs, signs * (0.5 + 0.5 * rng.random(30)), condition=1.0)


def _further_cases() -> list[Case]:
    rng = np.random.default_rng(1)
    entries, direction = _rows(rng, (40,), 10)
    rows, outward = _rows(rng, (20, 4), 6)
    rows[:6] *= rng.random((6, 4)) < 0.7  # zeros within the groups, too
    short_steps = {
        "solver": ProximalGradient(local=True),
        "stopping": SubgradientNorm(0.3, max_iterations=1000, power=0.6),
    }
    return [
        _planted("sparse groups", SparseGroupLasso(STRENGTH, axes=1), rows, outward, 0.09),
        _planted(
            "sparsity, MCP",
            MCP(STRENGTH, gamma=3.0),
            entries,
            direction,
            condition=2.0,
            parts=short_steps,
            scales=SHORT,
        ),
    ]


def _low_rank_case() -> Case:
    rng = np.random.default_rng(2)
    w = rng.standard_normal((8, 2)) @ rng.standard_normal((2, 6))
    inexact = {"stopping": SubgradientNorm(1e-2, power=0.6)}
    return _planted("low rank", NuclearNorm(STRENGTH), w, rng.standard_normal(w.shape), parts=inexact)


def network_case() -> Case:
    """Four of twelve inputs of a small network matter: group sparsity with a nonconvex loss."""
    rng = np.random.default_rng(4)
    inputs, teacher = rng.standard_normal((2000, 12)), np.zeros((4, 12))
    teacher[:, :4] = 1.5 * rng.standard_normal((4, 4))
    signs = np.array([1.0, 1.0, -1.0, -1.0])
    targets = np.tanh(inputs @ teacher.T) @ signs + 0.5 * rng.standard_normal(2000)
    problem = Network(inputs, targets, signs, 0.3 * rng.standard_normal((4, 12)), batch=8, ridge=0.01)
    return Case(
        "group sparsity, network",
        GroupLasso(0.1, axes=0, scale_by_size=False),
        problem,
        None,
        scales={"RAMDA": 0.5, "RMDA": 2.0},
    )


def logistic_case() -> Case:
    """Sparse logistic regression on made-up data."""
    rng = np.random.default_rng(4)
    features = rng.standard_normal((2000, 30))
    chances = 1 / (1 + np.exp(-features[:, :6] @ np.array([2.0, -2.0, 1.5, -1.5, 1.5, -1.5])))
    labels = np.where(rng.random(2000) < chances, 1.0, -1.0)
    problem = LogisticRegression(features, labels, batch=4, ridge=0.05)
    return _solved("sparsity, logistic", L1(0.06), problem, {"RAMDA": 0.1, "RMDA": 0.5})


def chosen(settings: Settings, usual: Callable[[], list[Case]]) -> list[Case]:
    """The usual cases, or the one of the regularizer that was given, if there is one."""
    if settings.regularizer is None:
        return usual()
    case = given_case(settings.regularizer)
    return [] if case is None else [case]


def given_case(psi: Regularizer) -> Case | None:
    """A problem whose solution has structure, for any psi that fits a (20, 4), (40,) or (8, 6) array; None where no
    structured point with a positive margin is found, as for smooth psi and for constraints.

    The sizes of the solution and of the noise go with the margin that psi allows, for psi that scale. For nonconvex psi
    the limit of each run decides, and subproblems are solved near W_{t-1}: the global minimiser of (4) need not
    converge. Raises ValueError for a psi that fits no array of these shapes.
    """
    for w in _structured(psi):
        widest = float(psi.margin(w, -psi.project_subdifferential(w, 0 * w)))
        if not 0 < widest < np.inf:
            continue
        size = widest / 0.2 if psi.homogeneous else 1.0
        direction, margin = np.random.default_rng(6).standard_normal(w.shape), 0.75 * widest
        problem = planted(psi, size * w, margin, direction, condition=2.0, noise=1.2 * size)
        scales = {"RAMDA": size, "ProxGen": size}  # the others' steps go with the gradient's size by themselves
        rule = SubgradientNorm(0.05 * widest, max_iterations=1000, power=0.6)
        if psi.convex:
            return Case(str(psi), psi, problem, known(problem, psi, size * w), {"stopping": rule}, scales)
        return Case(str(psi), psi, problem, None, {"solver": NEARBY, "stopping": rule}, scales)
    return None


def _structured(psi: Regularizer) -> Iterator[Array]:
    """Proximal points, with structure, of arrays with zero rows or of rank one."""
    shapes: list[tuple[int, ...]] = []
    reasons: set[str] = set()
    for shape in ((20, 4), (40,), (8, 6)):
        try:
            psi.check(shape)
            shapes.append(shape)
        except ValueError as error:
            reasons.add(str(error))
    if not shapes:
        raise ValueError(f"{psi} fits no array of shape (20, 4), (40,) or (8, 6): {'; '.join(sorted(reasons))}")
    for fitting in shapes:
        rng = np.random.default_rng(5)
        signs = np.where(rng.random(fitting) < 0.5, -1.0, 1.0)
        rows = signs * (2 + rng.random(fitting))
        rows[fitting[0] // 3 :] = 0.0
        for array in [rows, 1.5 * np.outer(signs[:, 0], signs[0])] if len(fitting) == 2 else [rows]:
            for size in (1.0, 10.0, 100.0):
                w = np.asarray(psi.prox(size * array, 0.25))
                if np.any(w != 0) and psi.manifold(w).dimension <= 0.7 * w.size:
                    yield w


@cache
def data_case(name: str) -> Case:
    """Real images or persons: softmax regression with groups of a pixel's weights, or sparse logistic regression."""
    if name == "a9a":
        table = libsvm("a9a")
        persons = LogisticRegression(_unit(table.features, LogisticRegression), table.labels, batch=1024, ridge=0.01)
        return _solved(
            "a9a, sparsity", L1(_share(L1(1.0), persons, 0.1)), persons, {"RAMDA": 1.2, "RMDA": 20.0, "ProxSGD": 5.0}
        )
    images, labels, batch, share, scales = _digits() if name == "digits" else _mnist()
    pixels = images.reshape(len(images), -1).astype(np.float64)
    problem = SoftmaxRegression(_unit(pixels, SoftmaxRegression), np.eye(10)[labels], batch=batch, ridge=0.03)
    strength = _share(GroupLasso(1.0, axes=1), problem, share)
    return _solved(f"{name}, group sparsity", GroupLasso(strength, axes=1), problem, scales)


def _digits() -> tuple[Array, Array, int, float, Mapping[str, float]]:
    """Images, labels, batch, share of the strength at which all is zero, and factors on learning rates."""
    split = digits()
    return split.train_images, split.train_labels, 256, 0.4, {"RAMDA": 0.1}


def _mnist() -> tuple[Array, Array, int, float, Mapping[str, float]]:
    """The same of MNIST, with the means of four pixels: fewer groups have a wider margin."""
    split = mnist()
    images = split.train_images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return images, split.train_labels, 1024, 0.43, {"RAMDA": 0.3, "RMDA": 20.0, "ProxSGD": 5.0}


def _rows(rng: np.random.Generator, shape: tuple[int, ...], active: int) -> tuple[Array, Array]:
    """Weights with so many nonzero rows of entries between 1 and 2 in size, and a normal direction."""
    w, block = np.zeros(shape), (active, *shape[1:])
    w[:active] = np.where(rng.random(block) < 0.5, -1.0, 1.0) * (1 + rng.random(block))
    return w, rng.standard_normal(shape)


def _planted(
    name: str,
    psi: Regularizer,
    w: Array,
    direction: Array,
    margin: float = MARGIN,
    *,
    condition: float = 4.0,
    **extra: Any,
) -> Case:
    problem = planted(psi, w, margin, direction, condition=condition)
    return Case(name, psi, problem, known(problem, psi, w), **extra)


def _solved(name: str, psi: Regularizer, problem: Any, scales: Mapping[str, float]) -> Case:
    return Case(name, psi, problem, solve(problem, psi, problem.start), scales=scales)


def _unit(features: Array, kind: type[LinearModel]) -> Array:
    """The features scaled so that the gradient of this kind of loss is 1-Lipschitz."""
    return features / np.sqrt(kind.curvature * np.linalg.norm(features, 2) ** 2 / len(features))


def _share(unit: Regularizer, problem: Any, share: float) -> float:
    """This share of the least strength at which 0 is the solution."""
    return share * float(unit.lambda_max(gradient(problem, problem.start)))
