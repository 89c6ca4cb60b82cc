"""The PyTorch front end: structured optimizers to use like any of torch.optim."""

from .grouping import regularize
from .layers import LAYERS
from .named import RAMDA, RMDA, ProxGen, ProxSGD, ProxSSI
from .optimizer import MethodOptimizer
from .stages import StageScheduler
from .structured import structured

__all__ = [
    "LAYERS",
    "RAMDA",
    "RMDA",
    "MethodOptimizer",
    "ProxGen",
    "ProxSGD",
    "ProxSSI",
    "StageScheduler",
    "regularize",
    "structured",
]
