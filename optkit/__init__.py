"""Structured optimization: methods assembled from regularizers, solvers, preconditioners and outer algorithms."""

from optkit.minimize import Result, minimize

__all__ = ["Result", "minimize"]
__version__ = "0.1.0"
