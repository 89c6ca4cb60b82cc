"""The page about regularizers and solvers is what its script writes, complete, and true."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from optkit import registry
from optkit.core import Regularizer
from optkit.solvers import FixedIterations

SCRIPT = Path(__file__).parent.parent / "docs" / "pairings.py"
if not SCRIPT.exists():
    pytest.skip("needs docs/pairings.py, which is in a checkout of the repository", allow_module_level=True)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pairings", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["pairings"] = module
    spec.loader.exec_module(module)
    return module


PAIRINGS = load()


def test_the_page_is_what_the_script_writes() -> None:
    assert PAIRINGS.PAGE.read_text(encoding="utf-8") == PAIRINGS.page(), "run: python docs/pairings.py"


def test_every_regularizer_has_a_row() -> None:
    ours = {name for name in registry.components(Regularizer) if ":" not in name}
    assert {type(psi).__name__ for psi in PAIRINGS.REGULARIZERS} == ours


@pytest.mark.parametrize("solver", PAIRINGS.solvers().values(), ids=PAIRINGS.solvers())
@pytest.mark.parametrize("psi", PAIRINGS.REGULARIZERS, ids=lambda psi: type(psi).__name__)
def test_what_the_table_says_is_true(psi: Regularizer, solver: registry.SubproblemSolver) -> None:
    works = {"always": ("any", "number"), "number": ("number",), "not": ()}[PAIRINGS.cell(solver, psi)]
    for metric in ("any", "number"):
        problem = PAIRINGS.problem(metric)
        if metric in works:
            solution = solver.solve(problem, psi, np.zeros(PAIRINGS.SHAPE), FixedIterations(2))
            assert np.all(np.isfinite(solution.point))
        else:
            with pytest.raises(ValueError, match=f"{type(solver).__name__} needs .*; (use|make)"):
                solver.solve(problem, psi, np.zeros(PAIRINGS.SHAPE))
