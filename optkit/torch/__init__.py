"""The PyTorch front end: structured optimizers to use like any of torch.optim."""

from .grouping import regularize
from .optimizer import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD
from .stages import StageScheduler
from .structured import structured

__all__ = ["RAMDA", "RMDA", "MethodOptimizer", "ProxGen", "ProxSGD", "StageScheduler", "regularize", "structured"]
