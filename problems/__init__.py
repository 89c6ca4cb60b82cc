"""Data sets, convex problems, models and experiment configurations."""

from .convex import LeastSquares, LogisticRegression

__all__ = ["LeastSquares", "LogisticRegression"]
