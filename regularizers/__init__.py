"""Regularizers: functions known through their proximal maps, one family a file."""

from .concave import MCP, SCAD, LogSum
from .groups import Grouped, GroupLasso, GroupMCP, SparseGroupLasso, group_max, group_norm
from .l1 import L1, ElasticNet
from .lq import L0, Lq
from .pinned import Pinned, Support
from .smooth import SquaredL2, Zero

__all__ = [
    "L0",
    "L1",
    "MCP",
    "SCAD",
    "ElasticNet",
    "GroupLasso",
    "GroupMCP",
    "Grouped",
    "LogSum",
    "Lq",
    "Pinned",
    "SparseGroupLasso",
    "SquaredL2",
    "Support",
    "Zero",
    "group_max",
    "group_norm",
]
