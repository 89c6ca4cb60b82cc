"""The laws of training stacks: scaled losses, autocast, clipped and accumulated gradients, averaged models, layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils._python_dispatch import TorchDispatchMode

from optkit.solvers import Automatic, ClosedForm, SecularNewton
from optkit.testing.running import law

from .trial import Net, OptimizerTrial, Run, equal, near, unchanged


def _data(k: int = 0) -> tuple[Tensor, Tensor]:
    """Eight inputs (8, 6) and targets (8, 4)."""
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(8, 6, generator=generator)
    return x, x @ torch.randn(6, 4, generator=torch.Generator().manual_seed(99))


def _backward(run: Run, k: int = 0, scale: float = 1.0) -> Tensor:
    """Add the gradients of a loss on data k, times scale; returns the loss."""
    x, y = _data(k)
    loss = nn.functional.mse_loss(run.net(x), y)
    (scale * loss).backward()
    return loss.detach()


def a_scaler_that_skips_changes_nothing(trial: OptimizerTrial) -> None:
    """Under GradScaler it walks as without, and a step that the scaler skips for infinities changes nothing at all."""
    run, twin = trial.run(), trial.run()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for k, overflows in enumerate((False, True, False)):
        run.optimizer.zero_grad()
        scaler.scale(nn.functional.mse_loss(run.net(_data(k)[0]), _data(k)[1])).backward()
        if overflows:
            run.net.bias.grad[1] = torch.inf
            with unchanged(run, "after a step that the scaler skipped"):
                scaler.step(run.optimizer)
        else:
            twin.optimizer.zero_grad()
            _backward(twin, k)
            scaler.step(run.optimizer)
            twin.optimizer.step()
        scaler.update()
    for name, w in run.weights().items():
        near(w, twin.weights()[name], 1e-6, f"{name} with a scaler and without")


def autocast_trains(trial: OptimizerTrial) -> None:
    """Under autocast to bf16 the loss falls, parameters stay float32, and a step walks as outside of autocast."""
    run, twin, losses = trial.run(strength=0.0), trial.run(strength=0.0), []
    for _ in range(8):
        for some, inside in ((run, True), (twin, False)):
            some.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                losses.append(_backward(some))
                if inside:
                    some.optimizer.step()
            if not inside:
                some.optimizer.step()
    law({p.dtype for p in run.net.parameters()} == {torch.float32}, "the parameters have changed their dtype")
    equal(run.all(), twin.all(), "steps inside autocast and outside")
    law(bool(losses[-1] < losses[0]), f"the loss has gone from {losses[0]} to {losses[-1]}")


def clipped_gradients_are_those_that_count(trial: OptimizerTrial) -> None:
    """After clip_grad_norm_ a step walks as with the clipped gradients put there by hand."""
    run, twin = trial.run(), trial.run()
    for k in range(2):
        run.optimizer.zero_grad()
        _backward(run, k)
        nn.utils.clip_grad_norm_(run.net.parameters(), 1e-2)
        for p, q in zip(twin.net.parameters(), run.net.parameters(), strict=True):
            p.grad = q.grad.clone()
        run.optimizer.step()
        twin.optimizer.step()
    equal(run.weights(), twin.weights(), "clipped by torch and by hand")


def accumulated_gradients_are_one_step(trial: OptimizerTrial) -> None:
    """The gradients of several backward passes are one step with their sum."""
    run, twin = trial.run(), trial.run()
    for k in range(2):
        run.optimizer.zero_grad()
        listed = list(twin.net.parameters())
        for p in listed:
            p.grad = torch.zeros_like(p)
        for part in range(3):
            _backward(run, 10 * k + part, 1 / 3)
            x, y = _data(10 * k + part)
            loss = nn.functional.mse_loss(twin.net(x), y) / 3
            for p, more in zip(listed, torch.autograd.grad(loss, listed), strict=True):
                p.grad = p.grad + more
        run.optimizer.step()
        twin.optimizer.step()
    for name, w in run.weights().items():
        near(w, twin.weights()[name], 1e-5, f"{name} with accumulated gradients and with their sum")


def averaged_models_average(trial: OptimizerTrial) -> None:
    """AveragedModel, its exponential moving average and update_bn take the weights that the steps left."""
    averages: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
        "the mean": ({}, (1 / 3, 1 / 3, 1 / 3)),
        "the moving average": ({"multi_avg_fn": get_ema_multi_avg_fn(0.5)}, (0.25, 0.25, 0.5)),
    }
    for name, (options, shares) in averages.items():
        run, twin, walk = trial.run().steps(1), trial.run(), []
        averaged = AveragedModel(run.net, **options)
        for k in range(3):
            run.steps(k + 1, max(k, 1))
            walk.append(twin.steps(k + 1, k).weights())
            averaged.update_parameters(run.net)
        for key, w in averaged.module.named_parameters():
            expected = sum(share * weights[key] for share, weights in zip(shares, walk, strict=True))
            near(w, torch.as_tensor(expected), 1e-6, f"{name} of {key} and that by hand")
    linear, norm = nn.Linear(6, 4), nn.BatchNorm1d(4)
    model = nn.Sequential(linear, norm)
    Run(model, trial.make(model.parameters())).steps(2)
    swa = AveragedModel(model)
    swa.update_parameters(model)
    update_bn([_data()[0]], swa)
    means = dict(swa.named_buffers())["module.1.running_mean"]
    near(means, linear(_data()[0]).mean(dim=0), 1e-5, "the mean of update_bn and by hand")


def zero_grad_clears(trial: OptimizerTrial) -> None:
    """zero_grad() makes the gradients None, zero_grad(set_to_none=False) makes them 0."""
    run = trial.run()
    run.put(0)
    run.optimizer.zero_grad(set_to_none=False)
    law(all(not p.grad.any() for p in run.net.parameters()), "a gradient is not 0")
    run.optimizer.zero_grad()
    law(all(p.grad is None for p in run.net.parameters()), "a gradient is not None")


class _NoWaiting(TorchDispatchMode):
    """Refuses the operations that wait for a device."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in self.WAITING:
            raise AssertionError(f"it calls aten.{name}, which waits for the device")
        return func(*args, **(kwargs or {}))


def a_step_waits_for_no_device(trial: OptimizerTrial) -> None:
    """Where subproblems are solved exactly, a step on parameters without data (device "meta") reads no number."""
    net = Net().to("meta")
    run = Run(net, trial.make(trial.groups(net)))
    solvers = [run.optimizer.method(group).solver for group in run.optimizer.param_groups]
    if not all(isinstance(solver, (Automatic, ClosedForm, SecularNewton)) for solver in solvers):
        return
    for p in net.parameters():
        p.grad = torch.empty_like(p)
    with _NoWaiting():
        run.optimizer.step()


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    a_scaler_that_skips_changes_nothing,
    autocast_trains,
    clipped_gradients_are_those_that_count,
    accumulated_gradients_are_one_step,
    averaged_models_average,
    zero_grad_clears,
    a_step_waits_for_no_device,
)
