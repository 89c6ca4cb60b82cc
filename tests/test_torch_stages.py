"""`StageScheduler` gives an optimizer the stages of the paper, the same as `minimize` has, and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optkit import minimize
from optkit.algorithms import ProximalMethod, Stages, proxgen, proxsgd, ramda, rmda
from optkit.core import Array
from optkit.minimize import Progress
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, StageScheduler, structured

PSI = GroupLasso(0.2, axes=0)
STEPS, STAGES = 30, Stages(milestones=(8, 16), lr_factor=0.5, epsilon_factor=0.25)
SHAPE = (4, 6)

PAIRS: dict[str, tuple[Callable[..., MethodOptimizer], Callable[..., ProximalMethod], dict[str, Any]]] = {
    "RAMDA": (RAMDA, ramda, {"lr": 0.1, "averaging": 0.3, "epsilon": 1e-2}),
    "RMDA": (RMDA, rmda, {"lr": 1.0, "averaging": 0.3}),
    "ProxSGD": (ProxSGD, proxsgd, {"lr": 0.1}),
    "ProxGen": (ProxGen, proxgen, {"lr": 0.02, "weight_decay": 0.1}),
}


def gradient(w: Array, k: int) -> Array:
    """Of a quadratic, with the noise of step k."""
    noise = np.random.default_rng(k).standard_normal(SHAPE)
    return w - np.linspace(2, 0, SHAPE[1]) + 0.1 * noise


class Quadratic:
    start = np.ones(SHAPE)

    def __init__(self) -> None:
        self.calls = 0

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        self.calls += 1
        return gradient(w, self.calls - 1)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(SHAPE, dtype=torch.float64))


class Run:
    """A model, its optimizer and its scheduler, called after every step."""

    def __init__(self, name: str, stages: Stages = STAGES) -> None:
        make, _, given = PAIRS[name]
        self.model = Model()
        self.optimizer = make([{"params": [self.model.weight], "regularizer": PSI}], **given)
        self.scheduler = StageScheduler(self.optimizer, stages)

    def step(self, k: int) -> None:
        weight = self.model.weight
        weight.grad = torch.tensor(gradient(weight.detach().numpy(), k))
        self.optimizer.step()

    def train(self, first: int, last: int) -> None:
        for k in range(first, last):
            self.step(k)
            self.scheduler.step()

    def method(self) -> ProximalMethod:
        return self.optimizer.method(self.optimizer.param_groups[0])


EARLY = replace(STAGES, ramp="ramda_exp", epoch=3)
LONG = replace(STAGES, ramp="ramda_exp", epoch=11)  # it begins before the first milestone
WHOLE = replace(STAGES, ramp="ramda_exp", epoch=99)


@pytest.mark.parametrize("stages", [STAGES, EARLY, LONG, WHOLE], ids=["paper", "early", "long", "whole"])
@pytest.mark.parametrize("name", PAIRS)
def test_it_walks_as_minimize_with_the_same_stages(name: str, stages: Stages) -> None:
    run, seen = Run(name, stages), list[Progress]()
    _, method, given = PAIRS[name]
    minimize(Quadratic(), method(PSI, **given), steps=STEPS, stages=stages, callback=seen.append)
    for progress in seen:
        run.step(progress.steps - 1)
        now = run.method()
        assert now.lr == pytest.approx(progress.method.lr, rel=1e-14)
        assert now.averaging == progress.method.averaging
        epsilons = [getattr(m.preconditioner, "epsilon", 0.0) for m in (now, progress.method)]
        assert epsilons[0] == pytest.approx(epsilons[1], rel=1e-14)
        np.testing.assert_allclose(run.model.weight.detach().numpy(), progress.w, rtol=0, atol=1e-12)
        with structured(run.model, run.optimizer):
            hat = run.model.weight.detach().numpy()
            np.testing.assert_allclose(hat, progress.solution.point, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(hat == 0, progress.solution.point == 0)
        run.scheduler.step()


@pytest.mark.parametrize("name", ["RAMDA", "RMDA"])
def test_the_ramp_of_the_published_experiments_begins_an_epoch_early_and_counts_on_over_the_restart(name: str) -> None:
    steps_per_epoch, milestones, c = 4, (2, 5), 0.3
    run = Run(name, Stages(milestones, 0.5, 0.25, ramp="ramda_exp"))
    k = 0  # the published schedule counts it up after each step from the epoch before the last milestone on
    for epoch in range(7):
        for step in range(steps_per_epoch):
            k += epoch + 1 >= milestones[-1]
            run.step(epoch * steps_per_epoch + step)
            since_restart = run.optimizer.state[run.model.weight]["t"]
            assert run.method().averaging.weight(since_restart) == min(c * max(k, 1) ** 0.5, 1.0)
        run.scheduler.step()
    assert k == 12


@pytest.mark.parametrize("name", ["RAMDA", "RMDA"])
def test_at_the_end_the_weights_have_the_structure(name: str) -> None:
    run = Run(name)
    run.train(0, STAGES.milestones[-1])
    assert torch.all(run.model.weight != 0)
    run.train(STAGES.milestones[-1], STEPS)
    zeros = torch.all(run.model.weight == 0, dim=0)
    assert 0 < int(zeros.sum()) < SHAPE[1]


@pytest.mark.parametrize("name", PAIRS)
def test_right_after_a_milestone_what_t_is_that_of_the_stage_that_ended(name: str) -> None:
    run = Run(name)
    run.train(0, 7)
    run.step(7)
    group = run.optimizer.param_groups[0]
    before = run.optimizer.structured_value(run.model.weight, group).clone()
    run.scheduler.step()
    assert group["lr"] == PAIRS[name][2]["lr"] * 0.5
    assert torch.equal(run.optimizer.structured_value(run.model.weight, group), before)


@pytest.mark.parametrize("stages", [STAGES, EARLY], ids=["paper", "early"])
@pytest.mark.parametrize("stop", [3, 8, 11, 13, 14, 16, 20])
@pytest.mark.parametrize("name", PAIRS)
def test_a_run_resumes_bit_by_bit(name: str, stop: int, stages: Stages) -> None:
    whole, half, resumed = Run(name, stages), Run(name, stages), Run(name, stages)
    whole.train(0, STEPS)
    half.train(0, stop)
    for part in ("model", "optimizer", "scheduler"):
        getattr(resumed, part).load_state_dict(getattr(half, part).state_dict())
    resumed.train(stop, STEPS)
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert resumed.scheduler.state_dict() == whole.scheduler.state_dict() == {"count": STEPS}


@pytest.mark.parametrize("name", PAIRS)
def test_milestones_may_count_epochs(name: str) -> None:
    by_step, by_epoch = Run(name), Run(name, Stages((2, 4), 0.5, 0.25))
    by_step.train(0, STEPS)
    for k in range(STEPS):
        by_epoch.step(k)
        if (k + 1) % 4 == 0:
            by_epoch.scheduler.step()
    assert torch.equal(by_epoch.model.weight, by_step.model.weight)


@pytest.mark.parametrize("name", ["RAMDA", "RMDA"])
def test_without_ramp_the_averaging_stays(name: str) -> None:
    run = Run(name, Stages((4,), ramp=None))
    run.train(0, 20)
    assert run.method().averaging.weight(16) == 0.3
    assert torch.all(run.model.weight != 0)


def test_every_group_has_its_own_lr() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RAMDA([{"params": [first], "lr": 0.4}, {"params": [second], "epsilon": 1e-2}], lr=0.1)
    scheduler = StageScheduler(optimizer, Stages((1,), 0.5, 0.5))
    scheduler.step()
    for p in (first, second):
        p.grad = torch.ones(2)
    optimizer.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.05]
    assert [group["epsilon"] for group in optimizer.param_groups] == [5e-7, 5e-3]


def test_what_is_refused() -> None:
    parameter = nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match="optimizer must be a MethodOptimizer"):
        StageScheduler(torch.optim.AdamW([parameter]), STAGES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"stages must be a Stages, .*Stages\(milestones="):
        StageScheduler(RAMDA([parameter]), (8, 16))  # type: ignore[arg-type]


class Wrapper(torch.optim.Optimizer):
    """As training frameworks wrap an optimizer."""

    def __init__(self, optimizer: MethodOptimizer) -> None:
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups


def test_the_optimizer_may_be_wrapped() -> None:
    run = Run("RAMDA")
    wrapper: Any = Wrapper(run.optimizer)
    assert StageScheduler(wrapper, STAGES).optimizer is run.optimizer
    run.step(0)
    with structured(run.model, wrapper):
        with pytest.raises(RuntimeError, match="inside `with structured"):
            run.step(1)
    run.step(1)


def test_it_is_one_of_torchs_schedulers() -> None:
    run = Run("RAMDA")
    assert isinstance(run.scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert run.scheduler.get_last_lr() == [0.1]
    with pytest.raises(ValueError, match="step\\(\\) counts by itself, got epoch=3"):
        run.scheduler.step(3)  # type: ignore[arg-type]
    for _ in range(8):
        run.scheduler.step()
    assert run.scheduler.get_last_lr() == [0.05]
