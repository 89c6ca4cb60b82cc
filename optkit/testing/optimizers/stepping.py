"""The laws of one step: all parameters or none, closures, hooks, gradients that are refused, and restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optkit.testing.running import law
from optkit.torch import MethodOptimizer

from .trial import Net, OptimizerTrial, Run, equal, refusal, unchanged


def it_is_a_torch_optimizer(trial: OptimizerTrial) -> None:
    """It is a torch.optim.Optimizer and a MethodOptimizer, and a step moves every parameter that has a gradient."""
    run = trial.run()
    before = run.weights()
    law(isinstance(run.optimizer, MethodOptimizer), f"it is a {type(run.optimizer).__name__}")
    for name, after in run.steps(2).weights().items():
        law(not torch.equal(before[name], after), f"{name} has not moved")
        law(bool(torch.isfinite(after).all()), f"{name} has become {after}")


def gradients_are_left_as_they_are(trial: OptimizerTrial) -> None:
    """A step changes no gradient and puts no other tensor in its place."""
    for dtype in (torch.float32, torch.bfloat16):
        run = trial.run(dtype=dtype)
        run.put(0)
        held = [(p, p.grad, p.grad.clone()) for p in run.net.parameters()]
        run.optimizer.step()
        for p, same, values in held:
            law(p.grad is same, "a gradient is another tensor after the step")
            equal(p.grad, values, "a gradient after the step and before")


def a_closure_is_evaluated_once_with_gradients(trial: OptimizerTrial) -> None:
    """step(closure) calls it once, before anything else, under enable_grad, and returns its loss; step() gives None."""
    run, twin, calls = trial.run(), trial.run(), []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        run.optimizer.zero_grad()
        loss = torch.stack([(p * p).sum() for p in run.net.parameters()]).sum()
        loss.backward()
        return loss

    expected = sum(float((p.detach() ** 2).sum()) for p in twin.net.parameters())
    with torch.no_grad():
        loss = run.optimizer.step(closure)
    law(calls == [True], f"the closure was called with gradients enabled: {calls}")
    law(isinstance(loss, Tensor) and abs(float(loss.detach()) - expected) <= 1e-5 * expected, f"the loss is {loss}")
    for p in twin.net.parameters():
        p.grad = 2 * p.detach()
    law(twin.optimizer.step() is None, "step() without a closure returns something")
    equal(run.weights(), twin.weights(), "with a closure and with the same gradients")


def a_step_is_not_recorded(trial: OptimizerTrial) -> None:
    """After steps the parameters are the leaves they were, and neither they nor the state hang on a graph."""
    run = trial.run()
    listed = list(run.net.parameters())
    run.steps(2)
    for p, same in zip(run.net.parameters(), listed, strict=True):
        law(p is same and p.is_leaf and p.requires_grad, "a parameter has become another tensor")
    for state in run.optimizer.state.values():
        for key, value in state.items():
            law(not (isinstance(value, Tensor) and value.requires_grad), f"the state's {key} requires a gradient")


def hooks_are_called_once(trial: OptimizerTrial) -> None:
    """Hooks before and after a step are called once for each step."""
    run, called = trial.run(), list[str]()
    run.optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    run.optimizer.register_step_post_hook(lambda *_: called.append("after"))
    run.steps(2)
    law(called == ["before", "after"] * 2, f"in two steps the hooks were called: {called}")


def sparse_gradients_are_refused_by_name(trial: OptimizerTrial) -> None:
    """A sparse gradient raises ValueError with the parameter's name, and nothing changes."""
    table = nn.Embedding(5, 3, sparse=True)
    run = Run(table, trial.make(table.named_parameters()))
    table(torch.tensor([1, 2])).sum().backward()
    with unchanged(run, "after a sparse gradient"):
        refusal(run.optimizer.step, "weight", "sparse")


def non_finite_gradients_are_refused(trial: OptimizerTrial) -> None:
    """NaN or infinity in one gradient raises ValueError with the parameter's name, and nothing at all changes."""
    run = trial.run().steps(2)
    run.optimizer.restart()
    for bad in (torch.nan, torch.inf, -torch.inf):
        run.put(2)
        run.net.late.grad[1, 1] = bad
        with unchanged(run, f"after {bad} in a gradient"):
            refusal(run.optimizer.step, "late")


def non_finite_gradients_can_be_skipped(trial: OptimizerTrial) -> None:
    """nonfinite="skip": such a step is counted and changes nothing else; its closure's loss is returned."""
    run, twin = trial.run(nonfinite="skip").steps(2), trial.run().steps(2)
    run.put(7)
    run.net.bias.grad[0] = torch.nan
    before = run.weights()
    law(run.optimizer.step(lambda: 3.5) == 3.5, "the closure's loss is not returned")
    equal(run.weights(), before, "after a skipped step")
    law(run.optimizer.skipped == 1, f"{run.optimizer.skipped} steps are counted as skipped")
    for some in (run, twin):
        some.steps(4, 2)
    equal(run.weights(), twin.weights(), "with a skipped step and without")


def an_overflow_is_refused(trial: OptimizerTrial) -> None:
    """After a step, however large gradient and lr, weights and state are finite; or it is refused, changing nothing."""
    _finite_or_refused(trial.run().steps(1), 1e22)
    _finite_or_refused(trial.run().steps(1), 3e38)
    _finite_or_refused(trial.run(dtype=torch.float16, lr=1e7), 1e4)  # finite in float32, but not in the parameter


def _finite_or_refused(run: Run, size: float) -> None:
    run.put(1)
    run.net.weight.grad.fill_(size)
    before = run.all()
    try:
        run.optimizer.step()
    except ValueError as error:
        law("weight" in str(error) or "late" in str(error), f"the message does not name the parameter: {error}")
        equal(run.all(), before, "after a step that is refused")
    for state in (dict(run.net.named_parameters()), *run.optimizer.state.values()):
        for key, value in state.items():
            law(not isinstance(value, Tensor) or bool(torch.isfinite(value).all()), f"{key} has become {value}")


def a_restart_begins_anew(trial: OptimizerTrial) -> None:
    """After restart() it walks as a new optimizer from the present weights; a late gradient begins its stage late."""
    run = trial.run().steps(3)
    fresh = trial.run()
    fresh.net.load_state_dict(run.net.state_dict())
    run.optimizer.restart()
    for some in (run, fresh):
        some.late_from = 5
        some.steps(7, 3)
    equal(run.weights(), fresh.weights(), "restarted and begun anew")


def _restarts(optimizer: MethodOptimizer) -> dict[str, Any]:
    """Arguments of restart that say more than none."""
    return {"epsilon_scale": 0.5, "ramp": "averaging" in optimizer.defaults}


def a_restart_waits_for_the_next_step(trial: OptimizerTrial) -> None:
    """restart() itself moves neither the weights nor What_t."""
    run = trial.run(strength=3.0).steps(3)
    weights, solutions = run.weights(), run.solutions()
    run.optimizer.restart(**_restarts(run.optimizer))
    equal(run.weights(), weights, "the weights after restart() and before")
    equal(run.solutions(), solutions, "What_t after restart() and before")


def a_restart_waits_for_the_gradient_of_each_parameter(trial: OptimizerTrial) -> None:
    """After restart() What_t of a parameter stays as it is while the parameter has no gradient."""
    run = trial.run()
    for group in run.optimizer.param_groups:
        group.update({"epsilon": 0.1} if "epsilon" in group else {})  # large enough to be seen
    before = run.steps(3).solutions()["weight"]
    for k in (3, 4):
        run.optimizer.restart(**_restarts(run.optimizer))
        run.put(k)
        run.net.weight.grad = None
        run.optimizer.step()
        equal(run.solutions()["weight"], before, "What_t after a restart and before, without a gradient")


def twins_walk_alike(trial: OptimizerTrial) -> None:
    """Two optimizers with the same gradients walk alike, bit by bit, also beside each other."""
    one, two = trial.run(), trial.run()
    for k in range(3):
        one.steps(k + 1, k)
        two.steps(k + 1, k)
    equal(one.all(), two.all(), "two runs alike")
    net = Net()
    net.load_state_dict(one.net.state_dict())
    equal(Run(net, one.optimizer).weights(), two.weights(), "the model's state_dict")


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    it_is_a_torch_optimizer,
    twins_walk_alike,
    gradients_are_left_as_they_are,
    a_closure_is_evaluated_once_with_gradients,
    a_step_is_not_recorded,
    hooks_are_called_once,
    sparse_gradients_are_refused_by_name,
    non_finite_gradients_are_refused,
    non_finite_gradients_can_be_skipped,
    an_overflow_is_refused,
    a_restart_begins_anew,
    a_restart_waits_for_the_next_step,
    a_restart_waits_for_the_gradient_of_each_parameter,
)
