"""How fast the optimizers and the solvers are, as ratios measured in one run: the command `optkit bench`.

TABLES are the modules of this package that measure, in the order of the page; each has a function
`tables(settings)` that yields its tables. From Python: `measure(Settings(...))`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import Settings
    from .table import Table

TABLES: dict[str, str] = {
    "steps": "a step of each optimizer on the parameter lists of networks",
    "published": "the published implementations, from the folders given by --reference, on the first of the lists",
    "scaling": "time against the number of parameters, the size of the groups and the number of tensors",
    "memory": "bytes of state and peak memory",
    "training": "whole training steps",
    "graphs": "steps replayed as CUDA graphs (with --device cuda)",
    "nuclear": "RAMDA with the nuclear norm, and its subproblems by proximal gradient",
    "solvers": "each subproblem solver to the same certificate, on one core (minutes; not with --device cuda)",
}


def measure(settings: Settings) -> Iterator[Table]:
    """The tables that the settings ask for, each when it is measured."""
    for name in settings.tables:
        yield from importlib.import_module(f"{__name__}.{name}").tables(settings)
