"""Structured optimization: methods assembled from regularizers, solvers, preconditioners and outer algorithms."""

from optkit import regularizers
from optkit.minimize import Result, minimize
from optkit.monitor import ManifoldMonitor, Observation

__all__ = ["ManifoldMonitor", "Observation", "Result", "minimize", "regularizers"]
__version__ = "0.1.0"
