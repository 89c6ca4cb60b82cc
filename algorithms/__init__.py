"""Outer algorithms: one loop body, the parts it is assembled from, and the named methods."""

from .averaging import ConstantAveraging, DecayingAveraging, SquareRootRamp
from .estimators import DecayingAverage, DualAveraging, MovingAverage, UncorrectedAdamAverage
from .method import MethodState, ProximalMethod, Step, warn_uncertified
from .named import adamw, madgrad, mda, msgd, proxgen, proxsgd, proxssi, ramda, rda, rmda
from .preconditioners import AdamRoot, Constant, CubeRoot, SqrtCount
from .restarts import Stages
from .weightings import ConstantWeighting, PowerWeighting, SqrtWeighting

__all__ = [
    "AdamRoot",
    "Constant",
    "ConstantAveraging",
    "ConstantWeighting",
    "CubeRoot",
    "DecayingAverage",
    "DecayingAveraging",
    "DualAveraging",
    "MethodState",
    "MovingAverage",
    "PowerWeighting",
    "ProximalMethod",
    "SqrtCount",
    "SqrtWeighting",
    "SquareRootRamp",
    "Stages",
    "Step",
    "UncorrectedAdamAverage",
    "adamw",
    "madgrad",
    "mda",
    "msgd",
    "proxgen",
    "proxsgd",
    "proxssi",
    "ramda",
    "rda",
    "rmda",
    "warn_uncertified",
]
