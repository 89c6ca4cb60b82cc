"""What every law is tried on: regularizers with a shape they fit and a naive twin, and array back ends, a line each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from optkit.core import Regularizer
from optkit.regularizers import (
    L0,
    L1,
    MCP,
    SCAD,
    Binary,
    BinarySet,
    Box,
    Cardinality,
    ElasticNet,
    GroupCardinality,
    GroupLasso,
    GroupMCP,
    Levels,
    LevelSet,
    LogSum,
    Lq,
    NMSparsity,
    NonNegative,
    NuclearNorm,
    OnView,
    RankConstraint,
    Scaled,
    SparseGroupLasso,
    SquaredL2,
    Zero,
)
from optkit.testing import BACKENDS as BACKENDS
from optkit.testing import Backend as Backend
from optkit.testing import floats as floats
from optkit.testing import host as host
from optkit.testing import settled

Block = list[float]
NaiveProx = Callable[[Any, Block, float], Block]


# --- naive twins: prox(psi, block, scale) of one block in plain Python ------------------------------------------------


def clamp(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def by_entry(prox: Callable[[Any, float, float], float]) -> NaiveProx:
    return lambda psi, block, scale: [prox(psi, x, scale) for x in block]


def l1(psi: L1, x: float, scale: float) -> float:
    """By Moreau's decomposition: x minus its projection on the interval."""
    return x - clamp(x, -psi.strength * scale, psi.strength * scale)


def elastic_net(psi: ElasticNet, x: float, scale: float) -> float:
    slope, curvature = psi.strength * psi.l1_ratio, psi.strength * (1 - psi.l1_ratio)
    return (x - clamp(x, -slope * scale, slope * scale)) / (1 + curvature * scale)


def l0(psi: L0, x: float, scale: float) -> float:
    """The cheaper of 0, at x^2 / (2 scale), and x, at the strength."""
    return 0.0 if x * x <= 2 * scale * psi.strength else x


def mcp(psi: MCP, x: float, scale: float) -> float:
    """The stationary point on the bend where the problem is convex, else the cheaper of 0 and x."""
    size, threshold, bend = abs(x), scale * psi.strength, psi.gamma * psi.strength
    if size <= threshold and scale < psi.gamma:
        return 0.0
    if scale < psi.gamma:
        firm = (size - threshold) / (1 - scale / psi.gamma)
        return math.copysign(firm, x) if firm < bend else x
    return x if size > psi.strength * math.sqrt(scale * psi.gamma) else 0.0


def group_lasso(psi: GroupLasso, block: Block, scale: float) -> Block:
    """By Moreau's decomposition: the block minus its projection on the ball."""
    radius, norm = scale * group_threshold(psi, block), math.hypot(*block)
    return [x - x * (radius / max(radius, norm)) if norm > 0 else x for x in block]


def group_threshold(psi: Any, block: Block) -> float:
    return psi.strength * (len(block) ** 0.5 if psi.scale_by_size else 1)


def group_mcp(psi: GroupMCP, block: Block, scale: float) -> Block:
    norm = math.hypot(*block)
    shrunk = mcp(MCP(group_threshold(psi, block), psi.gamma), norm, scale)
    return [x * (shrunk / norm) if norm > 0 else x for x in block]


def sparse_group_lasso(psi: SparseGroupLasso, block: Block, scale: float) -> Block:
    inner = [l1(L1(psi.strength * psi.l1_ratio), x, scale) for x in block]
    outer = GroupLasso((1 - psi.l1_ratio) * psi.strength, axes=0, scale_by_size=psi.scale_by_size)
    return group_lasso(outer, inner, scale)


def nearest_level(psi: LevelSet | BinarySet, x: float, scale: float) -> float:
    levels = psi.levels if isinstance(psi, LevelSet) else (-psi.level, psi.level)
    return min(levels, key=lambda level: abs(x - level))


def largest(psi: Cardinality, block: Block, scale: float) -> Block:
    kept = sorted(range(len(block)), key=lambda i: -abs(block[i]))[: psi.k]
    return [x if i in kept else 0.0 for i, x in enumerate(block)]


# --- the list ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """make: the regularizer of a strength;  shape: of an array that it fits;  naive: its twin, if it has one;  unit:
    the size of its own numbers, such as levels."""

    make: Callable[[float], Regularizer]
    shape: tuple[int, ...]
    naive: NaiveProx | None = None
    unit: float = 0.0


def always(psi: Regularizer) -> Callable[[float], Regularizer]:
    """The same regularizer, which has no strength."""
    return lambda strength: psi


ROWS = np.array([[0.0], [1.0], [2.5]])
BASIC = {
    "Zero": Case(always(Zero()), (2, 3), lambda psi, block, scale: block),
    "L1": Case(L1, (5,), by_entry(l1)),
    "L1, one number": Case(L1, (), by_entry(l1)),
    "L1, no entries": Case(L1, (3, 0), by_entry(l1)),
    "GroupLasso, one group": Case(partial(GroupLasso, axes=0), (4,), group_lasso),
    "GroupLasso, groups of one entry": Case(partial(GroupLasso, axes=1), (4, 1), group_lasso),
    "GroupLasso, columns": Case(partial(GroupLasso, axes=(0,)), (3, 4), group_lasso),
    "GroupLasso, rows, unscaled": Case(partial(GroupLasso, axes=-1, scale_by_size=False), (3, 4), group_lasso),
    "GroupLasso, input channels": Case(partial(GroupLasso, axes=(0, 2, 3)), (2, 3, 1, 2), group_lasso),
    "GroupLasso, axes from the end": Case(partial(GroupLasso, axes=(0, -1, -2)), (2, 3, 2, 1), group_lasso),
    "GroupLasso, no groups": Case(partial(GroupLasso, axes=0), (3, 0), group_lasso),
}
"""Those on which the solvers are tried in most detail."""

REGULARIZERS = BASIC | {
    "SquaredL2": Case(SquaredL2, (2, 3), by_entry(lambda psi, x, scale: x / (1 + scale * psi.strength))),
    "ElasticNet": Case(partial(ElasticNet, l1_ratio=0.3), (5,), by_entry(elastic_net)),
    "MCP, firm": Case(partial(MCP, gamma=4.0), (5,), by_entry(mcp)),
    "MCP, hard": Case(partial(MCP, gamma=0.2), (5,), by_entry(mcp)),
    "SCAD": Case(SCAD, (5,)),
    "SCAD, a jump": Case(partial(SCAD, a=2.5), (5,)),
    "LogSum": Case(LogSum, (5,)),
    "LogSum, smooth": Case(partial(LogSum, epsilon=2.0), (2, 2)),
    "L0": Case(L0, (5,), by_entry(l0)),
    "Lq": Case(Lq, (5,)),
    "Lq, 2/3": Case(partial(Lq, q=2 / 3), (2, 2)),
    "GroupLasso, groups of no entries": Case(partial(GroupLasso, axes=0), (0, 3), group_lasso),
    "GroupMCP, firm": Case(partial(GroupMCP, axes=0, gamma=4.0), (2, 3), group_mcp),
    "GroupMCP, hard": Case(partial(GroupMCP, axes=1, gamma=0.2), (2, 3), group_mcp),
    "SparseGroupLasso": Case(partial(SparseGroupLasso, axes=0), (3, 2), sparse_group_lasso),
    "NuclearNorm": Case(NuclearNorm, (3, 4)),
    "NuclearNorm, no entries": Case(NuclearNorm, (3, 0)),
    "RankConstraint": Case(always(RankConstraint(1)), (3, 4)),
    "Levels": Case(lambda strength: Levels(strength, (-1.0, 0.0, 0.1, 1.0)), (5,), unit=1.0),
    "Binary": Case(Binary, (5,), unit=1.0),
    "LevelSet": Case(always(LevelSet((-1.0, 0.0, 0.1, 1.0))), (5,), by_entry(nearest_level), unit=1.0),
    "BinarySet": Case(always(BinarySet(0.5)), (5,), by_entry(nearest_level), unit=1.0),
    "Box": Case(always(Box(-1.0, 0.1)), (5,), by_entry(lambda psi, x, scale: clamp(x, -1.0, 0.1)), unit=1.0),
    "Box, without 0": Case(always(Box(0.3)), (5,), by_entry(lambda psi, x, scale: max(x, 0.3)), unit=1.0),
    "NonNegative": Case(always(NonNegative()), (2, 3), by_entry(lambda psi, x, scale: max(x, 0.0))),
    "Cardinality": Case(always(Cardinality(2)), (2, 3), largest),
    "Cardinality, none": Case(always(Cardinality(0)), (4,), largest),
    "GroupCardinality": Case(always(GroupCardinality(2, axes=0)), (2, 4)),
    "NMSparsity": Case(always(NMSparsity(2, 4)), (2, 8)),
    "Scaled, by a number": Case(lambda strength: Scaled(GroupLasso(strength, axes=0), 2.0), (2, 3)),
    "Scaled, by entry": Case(lambda strength: Scaled(L1(strength), ROWS), (3, 2)),
    "OnView, low rank": Case(lambda strength: OnView(NuclearNorm(strength), shape=(0, -1)), (2, 3, 1, 2)),
    "OnView, groups": Case(
        lambda strength: OnView(GroupLasso(strength, axes=1), shape=(0, -1), axes=(1, 0, 2)), (2, 3, 2)
    ),
}

examples = settled
EACH_CASE = pytest.mark.parametrize("case", BASIC.values(), ids=BASIC)
EACH_BACKEND = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
