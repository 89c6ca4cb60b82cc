"""Data sets, convex problems, models and experiment configurations."""

from .convex import LeastSquares, LinearModel, LogisticRegression, SoftmaxRegression

__all__ = ["LeastSquares", "LinearModel", "LogisticRegression", "SoftmaxRegression"]
