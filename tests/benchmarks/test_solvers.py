"""Each subproblem solver to the same certificate, under pytest-benchmark: to compare commits with each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from optkit.bench.solvers import checked, one_core, rounds, solve, solvers
from optkit.bench.subproblems import GROUP_CASES, NUCLEAR_CASES, Case
from optkit.core import SubproblemSolver

RUNS = [(case, solver) for case in (*GROUP_CASES, *NUCLEAR_CASES) for solver in solvers(case)]
NAMES = ["-".join(map(str, (*asdict(case).values(), type(solver).__name__))) for case, solver in RUNS]


@pytest.mark.parametrize(("case", "solver"), RUNS, ids=NAMES)
def test_time_to_certificate(benchmark: Any, case: Case, solver: SubproblemSolver) -> None:
    with one_core():
        solution = benchmark.pedantic(solve, args=(case, solver), rounds=rounds(case, solver))
    found = checked(case, solver, solution, benchmark.stats.stats.median)
    benchmark.extra_info.update(iterations=found.iterations, converged=found.converged, residual=found.residual)
