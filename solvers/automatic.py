"""The default solver: the exact one that supports the pairing."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import is_array_api_obj

from optkit.core import Array, Regularizer, Solution, StoppingRule, Subproblem, SubproblemSolver
from optkit.regularizers import GroupNorm

from .closed_form import ClosedForm
from .proximal_gradient import ProximalGradient
from .secular_newton import SecularNewton


@dataclass(frozen=True)
class Automatic(SubproblemSolver):
    """ClosedForm where one proximal map is exact, else SecularNewton for group norms, else ProximalGradient.

    The choice looks at types alone, never at values, so that it costs nothing and nothing waits for the device.
    """

    def choose(self, psi: Regularizer, problem: Subproblem) -> SubproblemSolver:
        """The solver for this pairing."""
        if psi.separable or not is_array_api_obj(problem.metric):
            return ClosedForm()
        return SecularNewton() if isinstance(psi, GroupNorm) else ProximalGradient()

    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        return self.choose(psi, problem).supports(psi, problem)

    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        return self.choose(psi, problem).solve(problem, psi, start, stopping)
