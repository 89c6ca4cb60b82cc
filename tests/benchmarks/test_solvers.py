"""Time to a certificate, min ||s|| <= 1e-6 ||metric * anchor - linear||, of each subproblem solver: `make bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from optkit.core import SubproblemSolver
from optkit.solvers import AcceleratedProximalGradient, NewtonRaphson, ProximalGradient, SecularNewton

from .problems import GROUP_CASES, KINDS, NUCLEAR_CASES, TOLERANCE, Case, GroupCase, array, pose, rule, unit

EXACT, FIRST_ORDER = (SecularNewton(), NewtonRaphson()), (AcceleratedProximalGradient(), ProximalGradient())
RUNS = [(case, solver) for case in GROUP_CASES for solver in (*EXACT, *FIRST_ORDER)]
RUNS += [(case, solver) for case in NUCLEAR_CASES for solver in FIRST_ORDER]
NAMES = ["-".join(map(str, (*asdict(case).values(), type(solver).__name__))) for case, solver in RUNS]


@pytest.mark.parametrize(("case", "solver"), RUNS, ids=NAMES)
def test_time_to_certificate(benchmark: Any, case: Case, solver: SubproblemSolver) -> None:
    """A warm-up of a twentieth of the iteration limit; solves that end in it are timed five times, longer ones once."""
    posed, referee, _ = pose(case)
    warm = solver.solve(*posed, rule(posed, case.limit // 20))
    rounds = 5 if warm.converged else 1
    solution = benchmark.pedantic(solver.solve, args=(*posed, rule(posed, case.limit)), rounds=rounds)
    point = array(solution.point, "numpy float64")
    info = dict(iterations=solution.iterations, converged=bool(solution.converged), entries=point.size)
    info |= dict(residual=float(referee.problem.residual(point, posed.psi)) / unit(referee))
    info |= dict(structure=str(posed.psi.manifold(point)), solver=type(solver).__name__)
    benchmark.extra_info.update(info, table=case.table, kind=case.kind, case=asdict(case))
    check(case, point, info)


def check(case: Case, point: np.ndarray, info: dict[str, Any]) -> None:
    """A fast wrong answer fails: by its residual, its number of zero groups, or its distance to the exact solution."""
    _, (problem, psi, _), exact = pose(case)
    if info["converged"]:
        assert info["residual"] <= TOLERANCE + 32 * np.finfo(KINDS[case.kind][1]).eps
    if isinstance(case, GroupCase):
        if info["converged"]:
            assert info["structure"] == f"{case.zero_groups} of {case.shape[0]} groups zero"
        root, subgradient = problem.metric**0.5, problem.subgradient(point, psi)
        bound = np.linalg.norm(subgradient / root) + 1e-12 * np.linalg.norm(root * exact)
        assert np.linalg.norm(root * (point - exact)) <= bound  # Q is strongly convex


@pytest.mark.parametrize(("kind", "entries"), sorted({(case.kind, int(np.prod(case.shape))) for case, _ in RUNS}))
def test_copy(benchmark: Any, kind: str, entries: int) -> None:
    """The yardstick: one array copied to another place in memory."""
    source, target = array(np.ones(entries), kind), array(np.zeros(entries), kind)
    copy = np.copyto if isinstance(target, np.ndarray) else type(target).copy_
    benchmark.pedantic(copy, args=(target, source), rounds=50, iterations=20, warmup_rounds=5)
    benchmark.extra_info.update(table="copies", kind=kind, entries=entries)
