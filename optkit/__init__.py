"""Structured optimization: methods assembled from regularizers, solvers, preconditioners and outer algorithms."""

from optkit import regularizers
from optkit.minimize import Result, minimize

__all__ = ["Result", "minimize", "regularizers"]
__version__ = "0.1.0"
