"""A live look at the structure of a run: which manifold it is on, since when, and how firmly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit import validate
from optkit.algorithms import MethodState, ProximalMethod
from optkit.core import Array, Manifold
from optkit.minimize import Progress
from optkit.structure import Structure

if TYPE_CHECKING:
    from optkit.torch.watching import Watch


@dataclass(frozen=True)
class Observation:
    """The active manifolds of What_t after so many steps, and how they compare with those seen before; `str` prints it.

    steps: taken when it was made;  structure: the manifolds by name;  since: the observed step from which on, at every
    observation, the structure has been this one;  distance: in how many entries it differs from the observation
    before, 0 for a first one;
    margin: the least nondegeneracy margin of the arrays, in units of the gradient: how far -g lies inside the
    subdifferential of psi at What_t, infinite where no change of structure is near, None where psi has none or g is not
    known. g is the gradient at What_t of the smooth part of the subproblem that What_t solves, divided by its weight:
    so -g is the certificate in the subdifferential itself. In dual averaging g is V_t / alpha_t, which tends to the
    gradient of f, and a term that vanishes: the margin tends to that of Theorem 3. In methods anchored at W_{t-1} the
    noise of the gradients stays in g.

    Reference: RAMDA paper (NeurIPS 2024), Theorem 3 and its condition of nondegeneracy.
    """

    steps: int
    structure: Structure
    since: int
    distance: int
    margin: float | None

    def __str__(self) -> str:
        changed = f"{self.distance} entries changed" if self.distance else "first seen"
        seen = f"the same since step {self.since}" if self.since < self.steps else changed
        margin = "" if self.margin is None else f", margin {self.margin:.3g}"
        return f"step {self.steps}: {seen}{margin}\n{self.structure}".rstrip()


class ManifoldMonitor:
    """Observes the structure every so many steps of a run, and changes nothing in it.

        monitor = ManifoldMonitor(every=100)
        minimize(problem, method, steps=1000, callback=monitor)  # arrays
        handle = monitor.attach(optimizer)                       # optkit.torch; handle.remove() ends it
        print(monitor)

    every: >= 1, observed are the steps that it divides;  margin: whether the margin is computed too.
    `last` is the latest Observation, None before the first.

    Between observations it only counts. An observation on torch solves the subproblem of each regularized parameter
    once more, and waits for the device; on arrays it solves nothing. It watches one run at a time: `attach`, a number
    of steps that does not grow, and arrays of other names, shapes or kinds of manifolds each begin a new record.

    Raises TypeError or ValueError for other values.
    """

    def __init__(self, every: int = 100, margin: bool = True) -> None:
        validate.flag("margin", margin)
        self.every, self.margin = validate.count("every", every), margin
        self.last: Observation | None = None
        self._before: tuple[int, Array] | None = None  # the steps and W_t of the step before one that is observed
        self._watch: Watch | None = None

    def __call__(self, progress: Progress) -> None:
        """What `minimize` calls after each step. In methods anchored at W_{t-1} the very first step has no margin: its
        W_0 is not seen. Raises TypeError for anything but a Progress."""
        validate.instance("progress", progress, Progress, "pass the monitor to minimize(..., callback=monitor)")
        steps, w, method, state, solution = progress
        if self.observes(steps):
            before = self._before[1] if self._before is not None and self._before[0] == steps - 1 else None
            self.record(steps, {"w": look(method, solution.point, state, before, self.margin)})
        keep = self.margin and method.anchor == "previous" and self.observes(steps + 1)
        self._before = (steps, w) if keep else None

    def attach(self, optimizer: Any) -> Watch:
        """Observe the steps of an optimizer of optkit.torch, counted from now on; returns a handle whose `remove()`
        ends it, also as a context manager.

        The optimizer may be wrapped, as accelerate and Lightning do it. A later `attach` ends the one before; copies of
        the optimizer are not watched. Where a step that is observed has left a parameter anchored at W_{t-1} as it was
        (no gradient, or skipped), the margin of that parameter is not known.

        Raises TypeError for another kind of optimizer.
        """
        from optkit.torch.watching import Watch  # torch is not needed for arrays

        watch = Watch(optimizer, self)
        if self._watch is not None:
            self._watch.remove()
        self._watch, self.last = watch, None
        return watch

    def observes(self, steps: int) -> bool:
        """Whether there is an observation after so many steps."""
        return steps % self.every == 0

    def record(self, steps: int, looks: Mapping[str, Look]) -> None:
        """Make an observation of what was seen of each regularized array, by name, after so many steps."""
        structure = Structure({name: seen.manifold for name, seen in looks.items()})
        margins = [seen.margin for seen in looks.values() if seen.margin is not None]
        last = self.last if self.last is not None and self.last.steps < steps else None
        distance = None if last is None else _distance(structure, last.structure)
        since = last.since if last is not None and distance == 0 else steps
        self.last = Observation(steps, structure, since, distance or 0, min(margins, default=None))

    def __str__(self) -> str:
        return f"nothing observed yet, every is {self.every}" if self.last is None else str(self.last)


class Look(NamedTuple):
    """What is seen of one array: the active manifold at What_t, and the nondegeneracy margin, None if not known."""

    manifold: Manifold
    margin: float | None


def look(
    method: ProximalMethod, point: Array, state: MethodState | None, before: Array | None, margin: bool = True
) -> Look:
    """The manifold of psi at What_t, the point, and the margin there.

    state: the state after the step, None before the first;  before: W_{t-1}, None where it is not known; only methods
    anchored there need it;  margin: whether it is wanted.
    """
    known = margin and state is not None and state.t > 0 and (before is not None or method.anchor == "initial")
    return Look(method.psi.manifold(point), _margin(method, point, state, before) if known else None)


def _margin(method: ProximalMethod, point: Array, state: Any, before: Array | None) -> float | None:
    """None where psi has no margin, or is absent from the subproblem: its weight is 0."""
    anchor = point if before is None else method.decayed(before)
    problem = method.subproblem(anchor, state)
    if not problem.weight > 0:
        return None
    try:
        margin = float(method.psi.margin(point, problem.gradient(point) / problem.weight))
    except TypeError:
        return None
    return None if math.isnan(margin) else margin


def _distance(now: Structure, before: Structure) -> int | None:
    """In how many entries two structures differ, None where they are of other arrays."""
    if now.keys() != before.keys():
        return None
    try:
        return sum(manifold.distance(before[name]) for name, manifold in now.items())
    except (TypeError, ValueError):
        return None
