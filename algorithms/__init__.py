"""Outer algorithms: one loop body, the parts it is assembled from, and the named methods."""

from .averaging import ConstantAveraging, SquareRootRamp
from .estimators import DualAveraging, MovingAverage
from .method import MethodState, ProximalMethod, Step, compose, warn_uncertified
from .named import adamw, proxgen, proxsgd, ramda, rmda
from .preconditioners import AdamRoot, Constant, CubeRoot, SqrtCount
from .restarts import Stages
from .weightings import ConstantWeighting, SqrtWeighting

__all__ = [
    "AdamRoot",
    "Constant",
    "ConstantAveraging",
    "ConstantWeighting",
    "CubeRoot",
    "DualAveraging",
    "MethodState",
    "MovingAverage",
    "ProximalMethod",
    "SqrtCount",
    "SqrtWeighting",
    "SquareRootRamp",
    "Stages",
    "Step",
    "adamw",
    "compose",
    "proxgen",
    "proxsgd",
    "ramda",
    "rmda",
    "warn_uncertified",
]
