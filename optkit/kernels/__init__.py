"""Fused kernels: one pass, or two, over memory from the gradient to the new weights."""

from .base import Kernel, Taken, Task
from .choosing import AUTO, KERNELS, REFERENCE, check, choose
from .plan import LIMIT

__all__ = ["AUTO", "KERNELS", "LIMIT", "REFERENCE", "Kernel", "Taken", "Task", "check", "choose"]
