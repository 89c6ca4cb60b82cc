"""The interfaces between the parts of a proximal method, and nothing else.

All methods solve, at step t, one subproblem in a diagonal metric (RAMDA paper, eqs. (4) and (6)):

    minimise over w:  Q(w) = <linear, w> + 1/2 ||w - anchor||^2_metric + weight * psi(w)

Parts are frozen dataclasses: fields are hyper-parameters, methods are pure, state goes in and comes out as a value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from numbers import Real
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from array_api_compat import array_namespace, device

Array: TypeAlias = Any  # numpy.ndarray, torch.Tensor, cupy.ndarray, ... (array API standard)
StateT = TypeVar("StateT", bound=NamedTuple)


class Manifold(ABC):
    """The active manifold M of psi at a point: the smooth set on which psi stays smooth around that point.

    Equal manifolds mean equal structure (the same zero groups, the same rank, ...).

    Reference: Lewis, "Active sets, nonsmoothness, and sensitivity", 2002; RAMDA paper, Definition 1.
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The dimension of M, in entries of the array: 0 for the zero array, the array's size without structure."""

    @property
    @abstractmethod
    def ambient(self) -> int:
        """The number of entries of the array M lives in."""

    @abstractmethod
    def contains(self, w: Array, tol: float = 0.0) -> bool:
        """Whether w lies in M up to tol.  w: S, tol >= 0 in the units of w."""

    @abstractmethod
    def distance(self, other: Manifold) -> int:
        """In how many entries of the array the two structures differ; 0 iff they are equal.

        Raises TypeError or ValueError for a manifold of another kind or in another space.
        """

    @abstractmethod
    def __eq__(self, other: object) -> bool: ...

    @abstractmethod
    def __hash__(self) -> int: ...

    @abstractmethod
    def __str__(self) -> str:
        """One line for a reader, such as "37 of 64 groups zero"."""


class Radial(NamedTuple):
    """weight * psi on each group as a function of the group's norm alone, after a change of the linear term.

    The subproblem on a group is  min 1/2 <d w, w> - <b, w> + p(||w||)  with  p(r) = threshold r - concavity r^2 / 2  up
    to its maximum at r = threshold / concavity, and constant beyond.

    axes: those a group extends over;  b: S;  threshold: >= 0, one for all groups or one a group (1 in place of the
    group's axes);  concavity: >= 0, as threshold.
    """

    axes: tuple[int, ...]
    b: Array
    threshold: Array | float
    concavity: Array | float = 0.0


class Regularizer(ABC):
    """A function psi : R^S -> (-inf, +inf], known through its proximal map.

    S is the shape of one parameter array. A *block* is a piece of the array on which psi does not separate further:
    one entry (l1 norm), one group (group lasso), the whole array (nuclear norm). "Constant on blocks" means: of a
    shape that broadcasts to S and with one value on each block.

    Reference: Parikh and Boyd, "Proximal algorithms", 2014.
    """

    convex: bool = False
    """psi is a convex function."""
    separable: bool = False
    """Each block is one entry."""
    homogeneous: bool = False
    """psi(c w) = c psi(w) for all c > 0. With `convex`: psi is the support function of its subdifferential at 0."""

    @property
    def weak_convexity(self) -> float:
        """The least rho >= 0 such that psi + rho/2 ||.||^2 is convex; infinite where there is none."""
        return 0.0 if self.convex else math.inf

    @property
    def any_metric(self) -> bool:
        """`prox` accepts any scale > 0 of shape S, not only one constant on blocks: exact in every diagonal metric."""
        return self.separable

    @abstractmethod
    def block_values(self, w: Array) -> Array:
        """psi on each block, an array whose entries add up to psi(w).  w: S; returns the shape of `block_max(w)`."""

    @abstractmethod
    def prox(self, v: Array, scale: Array | float) -> Array:
        """argmin_w psi(w) + ||w - v||^2 / (2 scale).  v: S; scale >= 0, a number of Python or an
        array like v, constant on blocks; scale 0 returns v.

        Where there are several minimisers it is one of them.
        """

    @abstractmethod
    def project_subdifferential(self, w: Array, u: Array) -> Array:
        """The element of the (limiting) subdifferential of psi at w nearest to u.  w, u: S; returns S.

        Infinite where the subdifferential is empty: w is outside the domain.
        """

    @abstractmethod
    def manifold(self, w: Array) -> Manifold:
        """The active manifold of psi at w: S. Copies the pattern to the host."""

    @abstractmethod
    def block_max(self, a: Array) -> Array:
        """The largest entry of a on each block: the smallest majorant that is constant on blocks.  a: S."""

    def vanishes(self, v: Array, scale: Array | float) -> Array:
        """Where prox(v, scale) is 0: booleans, constant on blocks.  v: S; scale: as for `prox`."""
        return self.block_max(array_namespace(v).abs(self.prox(v, scale))) == 0

    def distance_bound(self, w: Array, u: Array) -> Array | float:
        """A number from 0 to ||u - project_subdifferential(w, u)|| that costs less, 0 where none is known.  w, u: S."""
        return 0.0

    @staticmethod
    def prox_all(parts: Sequence[Regularizer], vs: Sequence[Array], scales: Sequence[Array | float]) -> list[Array]:
        """part.prox(v, scale) for each; parts of one type that can share work among arrays do it here."""
        return [part.prox(v, scale) for part, v, scale in zip(parts, vs, scales, strict=True)]

    def tracked(self, start: Array | None = None) -> Regularizer:
        """psi itself, or the same function with a memory of its last prox: for the iterations of one solve, whose
        arguments are near each other. Its prox may be inexact, its subdifferential at a point of its prox is not.

        start: S, a point near that of the first prox, where one is known."""
        return self

    def value(self, w: Array) -> Array:
        """psi(w), a 0-d array.  w: S."""
        return array_namespace(w).sum(self.block_values(w))

    def block_margins(self, w: Array, gradient: Array) -> Array:
        """`margin` on each block.  w, gradient: S. The default serves separable psi, whose subdifferentials are
        intervals; raises TypeError for others that do not define it."""
        if not self.separable:
            raise TypeError(f"{type(self).__name__} has no margin; define block_margins")
        xp, infinite = array_namespace(w), array_namespace(w).full_like(w, math.inf)
        low, high = (self.project_subdifferential(w, end) for end in (-infinite, infinite))
        inside = xp.minimum(-gradient - low, high + gradient)
        outside = low == math.inf  # of the domain: there is no subgradient
        return xp.where(low < high, inside, xp.where(outside, -infinite, infinite))

    def margin(self, w: Array, gradient: Array) -> Array:
        """The nondegeneracy margin at w: how far -gradient, made stationary on the active manifold, lies inside the
        subdifferential of psi at w. A 0-d array; negative outside (-infinity where w is outside the domain), infinite
        where no change of structure is near.

        w, gradient: S; gradient is that of the smooth function f at w, for f + psi.

        Reference: RAMDA paper (NeurIPS 2024), Theorem 3: -grad f(w) in the relative interior of the subdifferential.
        """
        margins = self.block_margins(w, gradient)
        return _max(-margins, -math.inf) * -1.0

    def block_lambda_max(self, gradient: Array) -> Array:
        """`lambda_max` on each block.  gradient: S. The default serves separable psi with a `strength`; raises
        TypeError for others that do not define it."""
        if not (self.separable and is_dataclass(self) and hasattr(self, "strength")):
            raise TypeError(f"{type(self).__name__} has no strength, so there is no least one at which 0 is stationary")
        xp, unit = array_namespace(gradient), replace(self, strength=1.0)
        zero, infinite = xp.zeros_like(gradient), xp.full_like(gradient, math.inf)
        low, high = (unit.project_subdifferential(zero, end) for end in (-infinite, infinite))
        end = xp.abs(xp.where(gradient < 0, high, low))
        ratio = xp.abs(gradient) / xp.where(end > 0, end, xp.ones_like(end))
        return xp.where(gradient == 0, zero, xp.where(end > 0, ratio, infinite))

    def lambda_max(self, gradient: Array) -> Array:
        """The least strength at which w = 0 is stationary for f + psi, a 0-d array.

        gradient: S, that of f at 0. It is 0 for penalties under which 0 is always stationary. Raises TypeError for a
        psi without a strength.

        Reference: Tibshirani et al., "Strong rules for discarding predictors in lasso-type problems", 2012.
        """
        return _max(self.block_lambda_max(gradient), 0.0)

    def radial(self, b: Array, weight: float) -> Radial | None:
        """weight * psi as a function of the norms of groups, for the linear term -<b, w>; None where it is not one.

        b: S;  weight: >= 0.
        """
        return None

    def check(self, shape: tuple[int, ...]) -> None:  # noqa: B027  (most regularizers fit every shape)
        """Raise ValueError when psi makes no sense on arrays of this shape, with the remedy."""


def _max(a: Array, empty: float) -> Array:
    """The largest entry of a as a 0-d array; `empty` where there is none."""
    xp = array_namespace(a)
    return xp.max(a) if math.prod(a.shape) else xp.full((), empty, dtype=a.dtype, device=device(a))


@dataclass(frozen=True, slots=True)
class Subproblem:
    """Q(w) = <linear, w> + 1/2 ||w - anchor||^2_metric + weight * psi(w), to be minimised over w.

    linear, anchor: S;  metric: entries > 0, of shape S or broadcasting to it, or a float;  weight: a float >= 0;
    scale: Q is so many times the paper's Q_t. It is 1 for (4); methods anchored at W_{t-1} solve (6) times their step
    size, so that a step size of 0 means: stay.

    Reference: RAMDA paper (NeurIPS 2024), equations (4) and (6).
    """

    linear: Array
    anchor: Array
    metric: Array | float
    weight: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.metric, Real):  # numpy's float64 would turn float32 arrays into float64
            object.__setattr__(self, "metric", float(self.metric))

    def gradient(self, w: Array) -> Array:
        """Gradient of the smooth part, linear + metric * (w - anchor).  w: S; returns S, a new array."""
        found = w - self.anchor
        found *= self.metric  # in place: a pass over an array that is not in the cache costs several of those that are
        found += self.linear
        return found

    def objective(self, w: Array, psi: Regularizer) -> Array:
        """Q(w) - <linear, anchor>, a 0-d array: the constant is left out so that it cannot cancel.  w: S."""
        xp = array_namespace(w)
        move = w - self.anchor
        smooth = xp.sum(move * (self.linear + 0.5 * (self.metric * move)))
        return smooth + self.weight * psi.value(w) if self.weight else smooth

    def subgradient(self, w: Array, psi: Regularizer) -> Array:
        """The element of least norm of the subdifferential of Q at w, unscaled.  w: S; returns S."""
        gradient = self.gradient(w)
        if self.weight == 0:
            return gradient
        s = self.weight * psi.project_subdifferential(w, gradient / -self.weight)
        s += gradient
        return s

    def residual(self, w: Array, psi: Regularizer) -> Array:
        """min ||s|| over s in the subdifferential of Q at w, a 0-d array: `scale` times the left side of (7).  w: S."""
        xp = array_namespace(w)
        s = self.subgradient(w, psi)
        return xp.sqrt(xp.sum(s * s))

    def residual_bound(self, w: Array, psi: Regularizer) -> Array | float:
        """A number from 0 to `residual` that costs less, 0 where none is known.  w: S."""
        if not self.weight:
            return 0.0
        u = self.gradient(w)
        u /= -self.weight
        return self.weight * psi.distance_bound(w, u)


class ConvergenceWarning(UserWarning):
    """A solver stopped at its iteration limit before it met its stopping rule."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solver found. Not converging is a result, never silent.

    point: S;  iterations: how many inner iterations;  residual: Subproblem.residual there, a number or 0-d array;
    converged: a bool or 0-d array, false when the iteration limit came before the solver's or the rule's tolerance.
    """

    point: Array
    iterations: int
    residual: Array | float
    converged: Array | bool


Reached: TypeAlias = Callable[[Array, Array, int], bool]
"""reached(point, previous, iteration): whether to stop an iteration that went from previous to point, both of S."""


class StoppingRule(ABC):
    """When a subproblem solver may stop."""

    certifies: bool = False
    """It stops at no point whose residual it has not seen, so that the proximal maps on the way may be inexact."""

    @property
    @abstractmethod
    def max_iterations(self) -> int:
        """The solver stops here in any case; the Solution then says `converged=False` unless the rule was met."""

    def at(self, t: int) -> StoppingRule:
        """The rule for the subproblem of step t >= 1 since the start or the last restart."""
        return self

    @abstractmethod
    def begin(self, problem: Subproblem, psi: Regularizer, start: Array) -> Reached:
        """The test for one solve that begins at start: S."""


class SubproblemSolver(ABC):
    """Minimises a Subproblem: exactly, or until a stopping rule is met."""

    @abstractmethod
    def supports(self, psi: Regularizer, problem: Subproblem) -> str | None:
        """None, or the reason in words why this solver cannot treat psi in this problem, with the remedy."""

    @abstractmethod
    def solve(
        self, problem: Subproblem, psi: Regularizer, start: Array, stopping: StoppingRule | None = None
    ) -> Solution:
        """Minimise from start: S. Without a rule the solver goes to working precision, or to its own default rule.

        Raises ValueError with the reason of `supports` for a pairing that does not work.
        """

    def solve_all(
        self,
        problems: Iterable[Subproblem],
        psi: Regularizer,
        starts: Iterable[Array],
        stopping: StoppingRule | None = None,
    ) -> list[Solution]:
        """`solve` for each problem with its start. Solvers that can share work among arrays do it here; each array has
        the solution that it has alone, up to rounding, and stops on its own. Errors as `solve`."""
        return [self.solve(problem, psi, start, stopping) for problem, start in zip(problems, starts, strict=True)]

    def require(self, psi: Regularizer, problem: Subproblem) -> None:
        """Raise ValueError with the reason of `supports`, if there is one."""
        if reason := self.supports(psi, problem):
            raise ValueError(reason)


class Clock(NamedTuple):
    """Where a run stands: t, the steps since the start or the last restart (from 1), and the gain s_t of this step."""

    t: int
    gain: float


class Weighting(ABC):
    """The gain s_t > 0 with which the gradient of step t enters."""

    @abstractmethod
    def gain(self, lr: float, t: int) -> float:
        """s_t from the learning rate lr >= 0 and the step t >= 1 since the last restart."""


class GradientEstimator(ABC, Generic[StateT]):
    """Turns the stochastic gradients so far into the linear term of the subproblem and the weight of psi."""

    state_type: type[StateT]
    """The NamedTuple of numbers, arrays and None that holds the state; front ends save its fields as plain data."""

    @abstractmethod
    def init(self, w: Array) -> StateT:
        """The state before the first gradient.  w: S."""

    @abstractmethod
    def update(self, grad: Array, clock: Clock, state: StateT) -> StateT:
        """The state after grad: S entered at this clock. Leaves its arguments as they are."""

    @abstractmethod
    def linear(self, state: StateT, clock: Clock) -> tuple[Array, float]:
        """(linear term: S, weight of psi >= 0) of the subproblem after the update at this clock."""


class Preconditioner(ABC, Generic[StateT]):
    """Turns the stochastic gradients so far into the diagonal metric of the subproblem."""

    state_type: type[StateT]
    """The NamedTuple of numbers, arrays and None that holds the state; front ends save its fields as plain data."""

    @abstractmethod
    def init(self, w: Array) -> StateT:
        """The state before the first gradient.  w: S."""

    @abstractmethod
    def update(self, grad: Array, clock: Clock, state: StateT) -> StateT:
        """The state after grad: S entered at this clock. Leaves its arguments as they are."""

    @abstractmethod
    def metric(self, state: StateT, clock: Clock) -> Array | float:
        """The metric after the update at this clock: entries > 0 of shape S, or one float for all entries."""

    def scale_epsilon(self, factor: float) -> Preconditioner[StateT]:
        """The same preconditioner with its epsilon, if it has one, times factor > 0 (the decay at a restart)."""
        return self


class Averaging(ABC):
    """The weight c_t in (0, 1] of the new point in W_t = (1 - c_t) W_{t-1} + c_t What_t (RAMDA paper, (5))."""

    @abstractmethod
    def weight(self, t: int) -> float:
        """c_t for the step t >= 1 since the last restart."""
