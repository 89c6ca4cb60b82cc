"""Subproblem solvers, one a file, and the stopping rules."""

from .accelerated import AcceleratedProximalGradient
from .automatic import Automatic
from .closed_form import ClosedForm
from .newton_raphson import NewtonRaphson
from .proximal_gradient import ProximalGradient
from .secular_newton import SecularNewton
from .stopping import FixedIterations, RelativeDecrease, SubgradientNorm

__all__ = [
    "AcceleratedProximalGradient",
    "Automatic",
    "ClosedForm",
    "FixedIterations",
    "NewtonRaphson",
    "ProximalGradient",
    "RelativeDecrease",
    "SecularNewton",
    "SubgradientNorm",
]
