"""Steps like the last one, of which the kernel remembers most: what they leave behind, and what may change between."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("numba")
from optkit.core import Regularizer
from optkit.kernels.cpu import panels, running, runs
from optkit.kernels.cpu.caching import compiled
from optkit.kernels.cpu.fleet import Fleet
from optkit.registry import to_data
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, RMDA, ProxGen, ProxSGD

SHAPES = {"columns": (6, 37), "rows": (3, 40), "free": (5,)}


class Walk:
    """An optimizer of three parameters, and its twin of the reference."""

    def __init__(self, make: Callable[..., Any], psi: Regularizer | None = None) -> None:
        torch.manual_seed(0)
        self.parameters = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in SHAPES.values()]
        self.twins = [nn.Parameter(p.detach().clone()) for p in self.parameters]
        psis = psi or GroupLasso(0.3, axes=0), psi or GroupLasso(0.2, axes=1), None
        self.optimizer, self.twin = (
            make([{"params": [p], "regularizer": r} for p, r in zip(ps, psis, strict=True)], lr=0.1, kernel=kernel)
            for ps, kernel in ((self.parameters, "numba"), (self.twins, "reference"))
        )

    def set(self, **settings: Any) -> None:
        for optimizer in (self.optimizer, self.twin):
            for group in optimizer.param_groups[:2]:
                group.update(settings)

    def gradients(self, left_out: tuple[int, ...] = ()) -> None:
        for i, (p, twin) in enumerate(zip(self.parameters, self.twins, strict=True)):
            p.grad = None if i in left_out else torch.randn_like(p)
            twin.grad = None if p.grad is None else p.grad.clone()

    def step(self, left_out: tuple[int, ...] = ()) -> None:
        self.gradients(left_out)
        self.optimizer.step()
        self.twin.step()
        torch.testing.assert_close(self.parameters, self.twins, rtol=1e-10, atol=1e-10)


METHODS = pytest.mark.parametrize("make", [RAMDA, RMDA, ProxGen, ProxSGD])


@METHODS
def test_what_is_known_of_subproblems_is_that_of_the_same_step_taken_anew(make: Callable[..., Any]) -> None:
    """Also of parameters that the last step left out."""
    walk = Walk(make)
    for left_out in [(), (), (), (1,), (1,), (), (), (0, 2), ()]:
        walk.gradients(left_out)
        anew, parameters = copy.deepcopy((walk.optimizer, walk.parameters))  # a copy remembers no step
        for p, twin in zip(parameters, walk.parameters, strict=True):
            p.grad = None if twin.grad is None else twin.grad.clone()
        anew.step()
        walk.optimizer.step()
        assert anew.certificate() == walk.optimizer.certificate()


@METHODS
def test_what_is_known_does_not_depend_on_when_it_is_asked_for(make: Callable[..., Any]) -> None:
    known = []
    for often in (True, False):
        walk = Walk(make)
        for left_out in [(), (), (), (0,), (0, 2), ()]:
            walk.step(left_out)
            if often:
                walk.optimizer.certificate()
            if left_out:  # what is known of the others is from the steps before
                known.append(dict(enumerate(walk.optimizer.tally.residuals[p] for p in walk.parameters)))
        known.append(walk.optimizer.certificate())
    assert known[:3] == known[3:]


@METHODS
def test_a_refused_step_does_not_touch_what_is_known_of_the_last(make: Callable[..., Any]) -> None:
    walk = Walk(make)
    for _ in range(3):
        walk.step()
    walk.gradients()
    grad, before = walk.parameters[0].grad, copy.deepcopy(walk.optimizer).certificate()
    assert grad is not None
    grad[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        walk.optimizer.step()
    assert walk.optimizer.certificate() == before


@pytest.fixture
def impossible(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No solve can be good enough; loops are compiled for that, and forgotten after it."""
    for module in (panels, runs, running):
        monkeypatch.setattr(module, "ENOUGH", {4: -1.0, 8: -1.0})
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def test_every_repeated_solve_that_misses_its_certificate_is_counted(impossible: None) -> None:
    walk = Walk(RAMDA)
    with pytest.warns(match="stopped"):
        for _ in range(5):
            walk.gradients()
            walk.optimizer.step()
    assert walk.optimizer.uncertified == 5 * len(SHAPES)


@METHODS
def test_steps_without_a_penalty_are_repeated(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """At lr 0, as at the beginning of a warm-up, psi has no weight."""
    calls: list[Any] = []
    step = Fleet.step
    monkeypatch.setattr(Fleet, "step", lambda *given: calls.append(step(*given)) or calls[-1])
    walk = Walk(make)
    for lr in (0.0, 0.0, 0.0, 0.1, 0.1, 0.0, 0.1):
        walk.set(lr=lr)
        walk.step()
    assert sum(call is None for call in calls) <= 1, "groups that have no theta yet"


def test_a_theta_of_other_groups_is_not_used() -> None:
    walk = Walk(ProxSGD, GroupLasso(0.3, axes=1))
    for settings in ({}, {}, {"regularizer": to_data(GroupLasso(0.3, axes=0)), "lr": 0.0}, {"lr": 0.1}, {}, {}):
        walk.set(**settings)
        walk.step()
    assert [entry["theta"].numel() for entry in walk.optimizer.state.values() if "theta" in entry] == [37, 40]


def test_after_an_interrupted_preparation_the_next_step_prepares_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a change that is taken back after it."""
    walk = Walk(RAMDA)
    for _ in range(3):
        walk.step()
    strong, weak = to_data(GroupLasso(0.3, axes=0)), to_data(GroupLasso(0.0, axes=0))
    walk.set(regularizer=strong)
    walk.step()
    walk.step()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "compiled", interrupted)
        walk.set(regularizer=weak)
        walk.gradients()
        with pytest.raises(KeyboardInterrupt):
            walk.optimizer.step()
    walk.set(regularizer=strong)
    walk.step()
    walk.step()


def test_arrays_whose_memory_is_exchanged_are_found_again() -> None:
    walk = Walk(RAMDA)
    for _ in range(4):
        walk.step()
        for entry in walk.optimizer.state.values():
            for value in entry.values():
                if isinstance(value, torch.Tensor):
                    value.data = value.data.clone()


def test_no_gradient_is_kept() -> None:
    walk = Walk(RAMDA)
    walk.step()
    grad = walk.parameters[0].grad
    assert grad is not None
    alive, grad = weakref.ref(grad), None
    walk.step()
    walk.step()
    assert alive() is None


def test_thresholds_whose_inverse_squares_leave_the_range_of_float64_are_for_the_parts() -> None:
    """At such an lr nothing moves."""
    walk = Walk(ProxSGD)
    walk.set(lr=1e-160)
    before = [p.detach().clone() for p in walk.parameters[:2]]
    for _ in range(3):
        walk.step()
    torch.testing.assert_close(walk.parameters[:2], before)
