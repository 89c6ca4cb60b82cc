"""The theorems tested on runs: one result a file, each a function from Settings to findings and pictures.

From the command line: `optkit theory`, or `python -m optkit.theory_checks`. From Python: `run(["identification"])`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .findings import Finding, Outcome, Picture
    from .running import CheckResult, Results, run
    from .settings import Settings

CHECKS: dict[str, str] = {
    "pg_iterations": "Theorem 1: the iterations that proximal gradient needs for a subproblem",
    "variance_reduction": "Theorem 2, first part: the gradient estimates lose their variance",
    "stationarity": "Theorem 2, second part: the subproblems' solutions become stationary",
    "identification": "Theorem 3: the limit's structure is found in finitely many steps, and kept",
    "inexact_proxgen": "Theorem 4: ProxGen with inexact subproblems",
    "inexactness_measure": "Condition (7) against other measures of inexactness",
    "errata": "Statements of the paper that need a correction",
}
"""The checks with their titles, in reading order. A check is the module of this name in this package."""

_HOMES = {"Finding": "findings", "Outcome": "findings", "Picture": "findings", "Settings": "settings"}
_HOMES |= {"CheckResult": "running", "Results": "running", "run": "running"}

__all__ = ["CHECKS", "CheckResult", "Finding", "Outcome", "Picture", "Results", "Settings", "load", "run"]


def load(name: str) -> ModuleType:
    """The module of a check: its docstring says what is tested, its `check(settings)` tests it."""
    return importlib.import_module(f"{__name__}.{name}")


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first needed: the command line's help waits for none of them."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
