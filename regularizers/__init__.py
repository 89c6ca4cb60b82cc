"""Regularizers: functions known through their proximal maps, one family a file."""

from .groups import GroupLasso, GroupNorm
from .l1 import L1
from .support import Support
from .zero import Zero

__all__ = ["L1", "GroupLasso", "GroupNorm", "Support", "Zero"]
