"""The laws of methods catch planted faults, each by the law that it breaks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace

from optkit.algorithms import MethodState, ProximalMethod, Step, proxgen, proxsgd, ramda
from optkit.core import Array, Solution
from optkit.regularizers import Zero
from optkit.testing import METHOD_LAWS, LawBroken, check_method

PLANTED: list[tuple[str, Callable[..., ProximalMethod]]] = []


def breaks(*laws: str, of: Callable[..., ProximalMethod] = ramda) -> Callable[[Any], Any]:
    """Enter a subclass of ProximalMethod, with the parts of a named method, under the laws that it breaks."""

    def enter(kind: Any) -> Any:
        def make(psi: Any, lr: float) -> ProximalMethod:
            return of_kind(kind, of(psi, lr))

        make.__name__ = kind.__name__
        PLANTED.extend((law, make) for law in laws)
        return kind

    return enter


def of_kind(kind: Any, method: ProximalMethod) -> ProximalMethod:
    """The method with its parts in another class."""
    made: ProximalMethod = kind(**{field.name: getattr(method, field.name) for field in fields(method)})
    return made


class After(ProximalMethod):
    """Changes what each step returns."""

    def after(self, step: Step, w: Array, grad: Array) -> Step:
        return step

    def step_all(self, ws: Sequence[Array], grads: Sequence[Array], states: Sequence[MethodState]) -> list[Step]:
        steps = super().step_all(ws, grads, states)
        return [self.after(step, w, grad) for step, w, grad in zip(steps, ws, grads, strict=True)]


@breaks("arrays_keep_their_kind", "back_ends_agree")
class Doubles(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        xp = array_namespace(w)
        return step._replace(w=xp.astype(step.w, xp.float64) + (0.0 if xp.__name__.endswith("numpy") else 1e-3))


@breaks("states_are_plain")
class NumbersOfNumpy(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        return step._replace(state=step.state._replace(t=np.int64(step.state.t)))  # type: ignore[arg-type]


@breaks("inputs_are_untouched")
class InPlace(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        grad[...] = step.w
        return step


@breaks("same_in_same_out")
class Counts(After):
    count = 0

    def after(self, step: Step, w: Array, grad: Array) -> Step:
        Counts.count += 1
        return step._replace(w=step.w * (1 + 1e-3 * Counts.count))


@breaks("init_keeps_no_view")
class Views(ProximalMethod):
    def init(self, w: Array) -> MethodState:
        return super().init(w)._replace(anchor=w)


@breaks("lr_0_stays", of=proxsgd)
@breaks("lr_0_stays_in_a_run", of=proxsgd)
class NeverStays(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        return step._replace(w=step.w - 1e-3 * grad)


@breaks("solutions_solve_the_subproblem")
class NearlySolves(ProximalMethod):
    def solve_all(self, ws: Sequence[Array], states: Sequence[MethodState]) -> list[Solution]:
        return [replace(found, point=1.001 * found.point) for found in super().solve_all(ws, states)]


@breaks("the_iterate_is_the_average")
class HalfWay(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        return step._replace(w=0.5 * (w + step.solution.point))


@breaks("structured_is_the_last_solution")
class ShipsTheWeights(ProximalMethod):
    def structured(self, w: Array, state: MethodState) -> Array:
        return w


@breaks("zeros_are_exact")
class NearlyZero(ProximalMethod):
    def solve_all(self, ws: Sequence[Array], states: Sequence[MethodState]) -> list[Solution]:
        return [replace(found, point=found.point + 1e-20) for found in super().solve_all(ws, states)]


@breaks("strength_0_is_no_regularizer")
class FasterWhenFree(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        return step._replace(w=2 * step.w) if isinstance(self.psi, Zero) else step


@dataclass(frozen=True)
class KeepsCounting(ProximalMethod):
    def restart(self, w: Array) -> MethodState:  # type: ignore[override]
        return super().init(w)._replace(t=1)


breaks("restart_is_a_fresh_beginning", "structured_is_the_last_solution")(KeepsCounting)


@breaks("arrays_are_stepped_one_by_one")
class MeanOfTheList(ProximalMethod):
    def step_all(self, ws: Sequence[Array], grads: Sequence[Array], states: Sequence[MethodState]) -> list[Step]:
        return [step._replace(w=step.w / len(ws)) for step in super().step_all(ws, grads, states)]


@breaks("arrays_without_entries_are_stepped")
class TakesTheLargest(After):
    def after(self, step: Step, w: Array, grad: Array) -> Step:
        array_namespace(w).max(grad)
        return step


@breaks("scaling_by_1_is_the_identity", of=proxgen)
class ForgetsWhatItIs(ProximalMethod):
    def scale(self, lr: float = 1.0, epsilon: float = 1.0) -> ProximalMethod:
        return of_kind(ProximalMethod, super().scale(lr, epsilon))


@pytest.mark.parametrize(("law", "make"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_fault_is_caught_by_its_law(law: str, make: Callable[..., ProximalMethod]) -> None:
    with pytest.raises(LawBroken, match=rf"^{make.__name__} on \(4, 3\) breaks {law} on ") as caught:
        check_method(make, laws=[law])
    assert isinstance(caught.value.__cause__, Exception)


def test_every_law_catches_a_fault() -> None:
    assert {law for law, _ in PLANTED} == set(METHOD_LAWS)


def test_a_part_with_bound_arguments_is_called_by_them() -> None:
    with pytest.raises(LawBroken, match=r"ramda.*averaging=0.5.* breaks back_ends_agree on numpy64"):
        check_method(functools.partial(ramda, averaging=0.5), laws=["back_ends_agree"], rounding=-1.0)


def test_a_law_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no law 'speed'; choose from arrays_keep_their_kind, "):
        check_method(ramda, laws=["speed"])
