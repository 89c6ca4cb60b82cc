"""A distribution with a plug-in of every kind but regularizers: small changes of optkit's own parts."""

from __future__ import annotations

from dataclasses import dataclass

from optkit.algorithms import MovingAverage, ProximalMethod, SqrtCount
from optkit.core import Averaging, Regularizer, Weighting
from optkit.solvers import FixedIterations, ProximalGradient


@dataclass(frozen=True)
class UniformAveraging(Averaging):
    """c_t = 1/t: W_t is the mean of all What_t."""

    def weight(self, t: int) -> float:
        return 1 / t


@dataclass(frozen=True)
class LinearWeighting(Weighting):
    """s_t = lr t."""

    def gain(self, lr: float, t: int) -> float:
        return lr * t


@dataclass(frozen=True)
class LastGradient(MovingAverage):
    """The linear term is the gradient of this step."""

    momentum: float = 1.0


@dataclass(frozen=True)
class Count(SqrtCount):
    """metric = sqrt(t), under a name of its own."""


@dataclass(frozen=True)
class Steps(ProximalGradient):
    """ProximalGradient under a name of its own."""


@dataclass(frozen=True)
class Three(FixedIterations):
    """Three iterations."""

    iterations: int = 3


def damped(psi: Regularizer, lr: float = 0.1) -> ProximalMethod:
    """Proximal gradient steps with metric sqrt(t) and gain lr t, anchored at W_{t-1}."""
    return ProximalMethod(
        psi=psi,
        estimator=LastGradient(),
        preconditioner=Count(),
        weighting=LinearWeighting(),
        anchor="previous",
        lr=lr,
        averaging=UniformAveraging(),
        solver=Steps(),
    )
