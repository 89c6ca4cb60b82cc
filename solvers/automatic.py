"""The default solver: the exact one that supports the pairing."""

from __future__ import annotations

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


def _viewed(problem: Subproblem, on: OnView) -> Subproblem:
    """The same problem, posed for the view."""
    metric = problem.metric
    if is_array_api_obj(metric):
        metric = on.view(array_namespace(problem.anchor).broadcast_to(metric, problem.anchor.shape))
    return replace(problem, linear=on.view(problem.linear), anchor=on.view(problem.anchor), metric=metric)
