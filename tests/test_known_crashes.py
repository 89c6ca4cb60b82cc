"""What published implementations of these methods crash on, or get wrong, works here."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optkit.algorithms import Stages
from optkit.core import Regularizer
from optkit.regularizers import L1, GroupLasso, NuclearNorm, OnView, SparseGroupLasso
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, ProxSSI, StageScheduler, regularize

OPTIMIZERS = pytest.mark.parametrize("make", [RAMDA, RMDA, ProxSGD, ProxGen, ProxSSI])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))


def train(
    model: nn.Module, optimizer: MethodOptimizer, steps: int = 3, after: Callable[[], None] = lambda: None
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 3, 6, 6)).square().mean().backward()
        optimizer.step()
        after()
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


@OPTIMIZERS
def test_all_groups_screened_out(make: Any) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(1e6)))
    train(model, optimizer)
    assert all(manifold.dimension == 0 for manifold in optimizer.structure().values())


@OPTIMIZERS
@pytest.mark.parametrize("axes", [(1, 2, 3), (2, 3), 0], ids=["filters", "kernels", "along outputs"])
def test_groups_of_a_convolution_along_any_axes(make: Any, axes: Any) -> None:
    model = network()
    optimizer = make([{"params": [model[0].weight], "regularizer": GroupLasso(1e-2, axes=axes)}])
    train(model, optimizer)


@pytest.mark.parametrize("make", [RAMDA, RMDA])
def test_a_restart_of_convolution_weights(make: Any) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(1e-3)))
    scheduler = StageScheduler(optimizer, Stages(milestones=(2, 4)))
    train(model, optimizer, 6, scheduler.step)


@pytest.mark.parametrize("make", [RAMDA, RMDA, ProxSGD, ProxGen])
def test_the_nuclear_norm_of_a_convolution(make: Any) -> None:
    model = network()
    psi = OnView(NuclearNorm(0.02), shape=(0, -1))
    optimizer = make([{"params": [model[0].weight], "regularizer": psi}])
    train(model, optimizer)
    assert optimizer.uncertified == 0 and str(optimizer.structure()["0.0"]).endswith(" of 4")


@OPTIMIZERS
def test_a_closure(make: Any) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(1e-3)))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3, 6, 6)).square().mean()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) > 0


@OPTIMIZERS
def test_the_state_is_loaded_with_weights_only(make: Any) -> None:
    model, file = network(), io.BytesIO()
    optimizer = make(regularize(model, GroupLasso(1e-3)))
    train(model, optimizer)
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    again = make(regularize(model, GroupLasso(1e-3)))
    again.load_state_dict(torch.load(file, weights_only=True))
    train(model, again)


@pytest.mark.parametrize("make", [RAMDA, RMDA])
def test_a_parameter_without_a_gradient_at_a_restart(make: Any) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(1e-3)))
    model[2].requires_grad_(False)
    train(model, optimizer)
    optimizer.restart()
    model[2].requires_grad_(True)
    train(model, optimizer)


@pytest.mark.parametrize(
    "psi", [L1(0.0), GroupLasso(0.0, axes=0), SparseGroupLasso(0.0, axes=0), NuclearNorm(0.0)], ids=repr
)
def test_the_prox_of_0_without_a_threshold_is_0(psi: Regularizer) -> None:
    for scale in (0.0, 1.0):
        np.testing.assert_array_equal(psi.prox(np.zeros((3, 2)), scale), np.zeros((3, 2)))


@OPTIMIZERS
def test_half_precision_weights_keep_a_state_that_grows(make: Any) -> None:
    model = network().to(torch.bfloat16)
    optimizer = make(regularize(model, GroupLasso(1e-3)))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    assert all(tensor.dtype == torch.float32 for tensor in tensors)


def test_a_scheduler_is_saved_and_goes_on() -> None:
    model, file = network(), io.BytesIO()
    optimizer = RAMDA(regularize(model, GroupLasso(1e-3)))
    scheduler = StageScheduler(optimizer, Stages(milestones=(2,)))
    train(model, optimizer, 1, scheduler.step)
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    later = RAMDA(regularize(model, GroupLasso(1e-3)))
    resumed = StageScheduler(later, Stages(milestones=(2,)))
    for part, state in zip((later, resumed), torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(model, later, 2, resumed.step)
    assert later.param_groups[0]["lr"] == pytest.approx(0.1 * optimizer.param_groups[0]["lr"])
