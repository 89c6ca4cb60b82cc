"""Writes docs/pairings.md: which solver works with which regularizer, and why not.

python docs/pairings.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optkit import registry
from optkit.core import Regularizer, Subproblem, SubproblemSolver
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

PAGE = Path(__file__).with_name("pairings.md")
SHAPE = (4, 6)
REGULARIZERS: list[Regularizer] = [
    Zero(),
    SquaredL2(0.1),
    L1(0.1),
    ElasticNet(0.1),
    GroupLasso(0.1, axes=0),
    SparseGroupLasso(0.1, axes=0),
    NuclearNorm(0.1),
    L0(0.1),
    Lq(0.1),
    MCP(0.1),
    SCAD(0.1),
    LogSum(0.1),
    GroupMCP(0.1, axes=0),
    GroupMCP(0.1, axes=0, gamma=0.01),
    Binary(0.1),
    Levels(0.1, (-1, 0, 1)),
    Box(-1, 1),
    NonNegative(),
    BinarySet(),
    LevelSet((-1, 0, 1)),
    Cardinality(5),
    GroupCardinality(2, axes=0),
    NMSparsity(1, 2),
    RankConstraint(2),
    Scaled(GroupLasso(0.1, axes=0), 2.0),
    OnView(GroupLasso(0.1, axes=0), axes=(1, 0)),
]
"""An example of each, and one that is too concave for the metrics below: secular solvers need a convex subproblem."""

INTRODUCTION = """# Regularizers and solvers

Which subproblem solver works with which regularizer: **always**, only in a metric that is one **number** (or constant
on blocks), as RMDA and ProxSGD have, or **not** at all. `Automatic`, the default, takes the first that is exact:
ClosedForm, then SecularNewton; else AcceleratedProximalGradient for convex and ProximalGradient for other regularizers.
`solver.supports(psi, problem)` gives the reason in words. For nonconvex regularizers ClosedForm finds a global
minimiser, ProximalGradient a stationary point. A sum over named arrays (SeparableSum) is solved array by array.

This page is written by `python docs/pairings.py`.
"""


def problem(metric: str) -> Subproblem:
    """A subproblem whose metric is a number or differs from entry to entry."""
    linear, anchor = np.random.default_rng(0).standard_normal((2, *SHAPE))
    diagonal = np.linspace(1.0, 2.0, linear.size).reshape(SHAPE)
    return Subproblem(linear, anchor, 1.5 if metric == "number" else diagonal, 1.0)


def solvers() -> dict[str, SubproblemSolver]:
    """All solvers of optkit, with their default settings."""
    found = registry.components(SubproblemSolver)
    return {name: found[name]() for name in sorted(found) if ":" not in name}


def cell(solver: SubproblemSolver, psi: Regularizer) -> str:
    """What the table says about a pairing."""
    if solver.supports(psi, problem("any")) is None:
        return "always"
    return "number" if solver.supports(psi, problem("number")) is None else "not"


def reasons() -> dict[str, list[str]]:
    """What `supports` says about the pairings that do not always work, and which they are."""
    found: dict[str, list[str]] = {}
    for solver in solvers().values():
        for psi in REGULARIZERS:
            if reason := solver.supports(psi, problem("any")):
                found.setdefault(reason.replace(type(psi).__name__, "PSI"), []).append(label(psi))
    return found


def label(psi: Regularizer) -> str:
    """What a row is called."""
    return type(psi).__name__ + (" with a small gamma" if psi == GroupMCP(0.1, axes=0, gamma=0.01) else "")


def page() -> str:
    """The page in Markdown."""
    names = list(solvers())
    rows = [[label(psi), *(cell(solver, psi) for solver in solvers().values())] for psi in REGULARIZERS]
    lines = [f"| {' | '.join(row)} |" for row in (["", *names], ["---"] * (len(names) + 1), *rows)]
    words = [f'* {", ".join(names)}:\n  "{reason}"' for reason, names in reasons().items()]
    return "\n".join([INTRODUCTION, *lines, "", "The reasons, where PSI stands for the regularizer:", "", *words, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
