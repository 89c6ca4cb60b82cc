"""Regularizers: functions known through their proximal maps, one family a file."""

from .box import Box, NonNegative
from .cardinality import Cardinality, GroupCardinality, NMSparsity
from .concave import MCP, SCAD, LogSum
from .groups import Grouped, GroupLasso, GroupMCP, SparseGroupLasso, group_max, group_norm
from .l1 import L1, ElasticNet
from .levels import Binary, BinarySet, Levels, LevelSet
from .low_rank import FixedRank, RankConstraint
from .lq import L0, Lq
from .named_sum import ProductManifold, SeparableSum
from .nuclear import NuclearNorm
from .pinned import Pinned, Support
from .scaled import Scaled
from .smooth import SquaredL2, Zero
from .view import OnView, Viewed

__all__ = [
    "L0",
    "L1",
    "MCP",
    "SCAD",
    "Binary",
    "BinarySet",
    "Box",
    "Cardinality",
    "ElasticNet",
    "FixedRank",
    "GroupCardinality",
    "GroupLasso",
    "GroupMCP",
    "Grouped",
    "LevelSet",
    "Levels",
    "LogSum",
    "Lq",
    "NMSparsity",
    "NonNegative",
    "NuclearNorm",
    "OnView",
    "Pinned",
    "ProductManifold",
    "RankConstraint",
    "Scaled",
    "SeparableSum",
    "SparseGroupLasso",
    "SquaredL2",
    "Support",
    "Viewed",
    "Zero",
    "group_max",
    "group_norm",
]
