"""Subproblem solvers, one a file, and the stopping rules."""

from .automatic import Automatic
from .closed_form import ClosedForm
from .proximal_gradient import ProximalGradient
from .secular_newton import SecularNewton
from .stopping import FixedIterations, RelativeDecrease, SubgradientNorm

__all__ = [
    "Automatic",
    "ClosedForm",
    "FixedIterations",
    "ProximalGradient",
    "RelativeDecrease",
    "SecularNewton",
    "SubgradientNorm",
]
