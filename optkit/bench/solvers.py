"""The time of each subproblem solver until min ||s|| <= 1e-6 ||metric * anchor - linear||."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from optkit.core import Solution, SubproblemSolver
from optkit.solvers import AcceleratedProximalGradient, NewtonRaphson, ProximalGradient, SecularNewton

from .settings import Settings
from .subproblems import (
    GROUP_CASES,
    KINDS,
    NUCLEAR_CASES,
    TOLERANCE,
    Case,
    GroupCase,
    NuclearCase,
    array,
    pose,
    rule,
    unit,
)
from .table import Column, Table
from .timing import seconds

EXACT, FIRST_ORDER = (SecularNewton(), NewtonRaphson()), (AcceleratedProximalGradient(), ProximalGradient())
QUICK: tuple[Case, ...] = (GroupCase(256, 100, 95), NuclearCase((16, 16), 10, "cold", 100))
HIDDEN = {"power", "kind", "limit"}  # parameters of a case that stand in the table's title or in no table
TEXT = """\
The time until a subproblem solver finds a point with a subgradient of norm at most 1e-6 ||metric * anchor - linear||,
up to rounding (5e-6 in float32), tested in every iteration, on one core. The entries of the diagonal metric are
log-uniform, the largest `condition` times the smallest in each group or matrix; the group lasso's arrays have 294,912
entries and its solves start at 0. Each answer is checked in float64: its residual, and for the group lasso its number
of zero groups and its distance to the exact solution.

The first solver of a row has its time (the median of five solves; of one, where it takes more than a twentieth of the
iteration limit), its iterations in brackets, and its time in *copies* of one array of the same size, measured in the
same run. The others have their time divided by that. *Not reached*: the relative residual at the iteration limit.
"""


@dataclass(frozen=True)
class Solved:
    """A case by one solver.  seconds: the median;  residual: relative, in float64;  structure: of the solution."""

    case: Case
    solver: str
    seconds: float
    iterations: int
    converged: bool
    residual: float
    structure: str


def solvers(case: Case) -> Sequence[SubproblemSolver]:
    """Those that take the regularizer of the case; the first is what the others are compared with."""
    return (*EXACT, *FIRST_ORDER) if isinstance(case, GroupCase) else FIRST_ORDER


def rounds(case: Case, solver: SubproblemSolver) -> int:
    """A warm-up of a twentieth of the iteration limit; solves that end in it are timed five times, longer ones once."""
    posed, _, _ = pose(case)
    return 5 if solver.solve(*posed, rule(posed, case.limit // 20)).converged else 1


def solve(case: Case, solver: SubproblemSolver) -> Solution:
    """What is timed."""
    posed, _, _ = pose(case)
    return solver.solve(*posed, rule(posed, case.limit))


def checked(case: Case, solver: SubproblemSolver, solution: Solution, time: float) -> Solved:
    """A fast wrong answer fails: by its residual, its number of zero groups, or its distance to the exact solution."""
    posed, referee, exact = pose(case)
    point = array(solution.point, "numpy float64")
    residual = float(referee.problem.residual(point, posed.psi)) / unit(referee)
    found = bool(solution.converged)
    done = Solved(
        case, type(solver).__name__, time, solution.iterations, found, residual, str(posed.psi.manifold(point))
    )
    if found and residual > TOLERANCE + 32 * np.finfo(KINDS[case.kind][1]).eps:
        raise AssertionError(f"{done}: the residual is larger than the certificate")
    if isinstance(case, GroupCase) and exact is not None:
        if found and done.structure != f"{case.zero_groups} of {case.shape[0]} groups zero":
            raise AssertionError(f"{done}: the solution has {case.zero_groups} zero groups")
        problem = referee.problem
        root, subgradient = problem.metric**0.5, problem.subgradient(point, referee.psi)
        bound = np.linalg.norm(subgradient / root) + 1e-12 * np.linalg.norm(root * exact)
        if np.linalg.norm(root * (point - exact)) > bound:  # Q is strongly convex
            raise AssertionError(f"{done}: too far from the exact solution")
    return done


def copy_time(case: Case) -> float:
    """The time of one array copied to another place in memory."""
    xp, dtype = KINDS[case.kind]
    source, target = (xp.asarray(np.full(case.shape, value, dtype)) for value in (1, 0))
    copy = np.copyto if isinstance(target, np.ndarray) else type(target).copy_
    return median(seconds(partial(copy, target, source), "cpu", 20) / 20 for _ in range(50))


@contextmanager
def one_core() -> Iterator[None]:
    """NumPy and torch with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def tables(settings: Settings) -> Iterator[Table]:
    """One for each kind of case, and for some one before it with the median ratios."""
    cases: Sequence[Case] = QUICK if settings.quick else (*GROUP_CASES, *NUCLEAR_CASES)
    if settings.device != "cpu":
        return
    for title in dict.fromkeys(case.table for case in cases):
        with one_core():
            rows = [[_measure(case, solver) for solver in solvers(case)] for case in cases if case.table == title]
            copies = [copy_time(row[0].case) for row in rows]
        if len(rows) > len({row[0].case.condition for row in rows}):
            yield _overview(f"Solvers, ratios: {title}", rows)
        yield _table(f"Solvers: {title}", rows, copies)


def _measure(case: Case, solver: SubproblemSolver) -> Solved:
    times, found = [], []
    for _ in range(rounds(case, solver)):
        times.append(seconds(lambda: found.append(solve(case, solver)), "cpu"))
    return checked(case, solver, found[-1], median(times))


def _table(title: str, rows: Sequence[Sequence[Solved]], copies: Sequence[float]) -> Table:
    """One line a case."""
    fields = [field for field in asdict(rows[0][0].case) if field not in HIDDEN]
    first, *others = (one.solver for one in rows[0])
    columns = [*map(Column, fields), Column("solution"), Column(first), Column("copies", ",.0f"), *map(Column, others)]
    lines = []
    for (base, *rest), copy in zip(rows, copies, strict=True):
        own = [base.structure, _cell(base, f"{1e3 * base.seconds:,.1f} ms"), base.seconds / copy]
        ratios = [_cell(one, f"{one.seconds / base.seconds:.1f} ×") for one in rest]
        lines.append((*(_plain(asdict(base.case)[field]) for field in fields), *own, *ratios))
    return Table(title, TEXT, tuple(columns), tuple(lines))


def _overview(title: str, rows: Sequence[Sequence[Solved]]) -> Table:
    """One line a condition: the median of the ratios, and their range."""
    lines = []
    for condition in dict.fromkeys(row[0].case.condition for row in rows):
        bases, *columns = zip(*(row for row in rows if row[0].case.condition == condition), strict=True)
        lines.append((_plain(condition), *(_spread(bases, column) for column in columns)))
    first, *others = (one.solver for one in rows[0])
    text = "The median of the ratios in the next table, and their range."
    return Table(title, text, (Column("condition"), *(Column(f"{name} / {first}") for name in others)), tuple(lines))


def _spread(bases: Sequence[Solved], column: Sequence[Solved]) -> str:
    ratios = [one.seconds / base.seconds for base, one in zip(bases, column, strict=True) if one.converged]
    found = f"{median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else "not reached"
    return found if len(ratios) in (0, len(column)) else f"{found}, reached in {len(ratios)} of {len(column)}"


def _cell(one: Solved, time: str) -> str:
    return f"{time} ({one.iterations})" if one.converged else f"not reached: {one.residual:.0e} ({one.iterations})"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
