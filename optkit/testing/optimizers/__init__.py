"""The laws of optimizers."""

from .checking import OPTIMIZER_LAWS, check_optimizer

__all__ = ["OPTIMIZER_LAWS", "check_optimizer"]
