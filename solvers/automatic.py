"""The default solver: the exact one that supports the pairing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from array_api_compat import array_namespace, is_array_api_obj

from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import OnView

from .accelerated import AcceleratedProximalGradient
from .closed_form import ClosedForm
from .proximal_gradient import ProximalGradient
from .secular_newton import SecularNewton


@dataclass(frozen=True)
class Automatic(SubproblemSolver):
    """ClosedForm where one proximal map is exact, else SecularNewton where psi is a function of the norms of groups,
    else AcceleratedProximalGradient for convex psi and ProximalGradient for all others.

    What is regularized on a view is solved there. For convex psi the choice looks at types alone, never at values, so
    that it costs nothing and nothing waits for the device.
    """

    def choose(self, psi: Regularizer, problem: Subproblem) -> SubproblemSolver:
        """The solver for this pairing."""
        if psi.any_metric or not is_array_api_obj(problem.metric):
            return ClosedForm()
        if SecularNewton().supports(psi, problem) is None:
            return SecularNewton()
        return AcceleratedProximalGradient() if psi.convex else ProximalGradient()

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        if isinstance(psi, OnView):
            return self.supports(psi.psi, _viewed(problem, psi))
        return self.choose(psi, problem).supports(psi, problem)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        if isinstance(psi, OnView):
            solution = self.solve(_viewed(problem, psi), psi.psi, psi.view(start), stopping)
            return replace(solution, point=psi.unview(solution.point, start.shape))
        return self.choose(psi, problem).solve(problem, psi, start, stopping)

    def solve_all(
        self,
        problems: Iterable[Subproblem],
        psi: Regularizer,
        starts: Iterable[Array],
        stopping: StoppingRule | None = None,
    ) -> list[Solution]:
        """Together where psi has work to share, and all problems have the same solver; else array by array."""
        inner = psi.psi if isinstance(psi, OnView) else psi
        if inner.tracked() is inner:
            return super().solve_all(problems, psi, starts, stopping)
        posed, begin = list(problems), list(starts)
        if isinstance(psi, OnView):
            views = self.solve_all([_viewed(p, psi) for p in posed], inner, map(psi.view, begin), stopping)
            pairs = zip(views, begin, strict=True)
            return [replace(found, point=psi.unview(found.point, start.shape)) for found, start in pairs]
        solvers = {self.choose(psi, problem) for problem in posed}
        if len(solvers) == 1:
            return solvers.pop().solve_all(posed, psi, begin, stopping)
        return super().solve_all(posed, psi, begin, stopping)


def _viewed(problem: Subproblem, on: OnView) -> Subproblem:
    """The same problem, posed for the view."""
    metric = problem.metric
    if is_array_api_obj(metric):
        metric = on.view(array_namespace(problem.anchor).broadcast_to(metric, problem.anchor.shape))
    return replace(problem, linear=on.view(problem.linear), anchor=on.view(problem.anchor), metric=metric)
