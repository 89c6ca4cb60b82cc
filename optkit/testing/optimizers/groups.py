"""The laws of parameter groups and hyper-parameters: who is stepped, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from optkit.testing.running import law

from .trial import Net, OptimizerTrial, Run, difference, equal, refusal, unchanged


def groups_walk_as_separate_optimizers(trial: OptimizerTrial) -> None:
    """Groups with their own regularizer, strength and lr walk, bit by bit, as an optimizer for each."""
    parts = {
        "weight": {"regularizer": trial.psi(0.1), "lr": 0.02},
        "late": {"regularizer": trial.psi(0.4), "lr": 0.05},
        "bias": {},
    }
    net, alone = Net(), Net()
    together = Run(net, trial.make([{"params": [getattr(net, name)], **part} for name, part in parts.items()]))
    together.steps(4)
    for name, part in parts.items():
        Run(alone, trial.make([{"params": [getattr(alone, name)], **part}])).steps(4)
    equal(together.weights(), Run(alone, together.optimizer).weights(), "in one optimizer and in three")


def hyper_parameters_are_those_of_the_group(trial: OptimizerTrial) -> None:
    """A group's lr is in force, not the default: another lr gives another walk."""
    net, other = Net(), Net()
    for some, lr in ((net, 0.02), (other, 0.05)):
        Run(some, trial.make([{"params": list(some.parameters()), "lr": lr}])).steps(2)
    law(not torch.equal(net.weight, other.weight), "lr 0.02 and lr 0.05 give the same weights")


def an_added_group_walks_as_one_of_the_beginning(trial: OptimizerTrial) -> None:
    """A group that add_param_group adds walks as one that was there, and had its first gradient now."""
    net = Net()
    first, second = trial.groups(net)
    run = Run(net, trial.make([{**first, "params": first["params"][:1]}, second])).steps(2)
    run.optimizer.add_param_group({"params": [("late", net.late)], "regularizer": trial.psi()})
    run.steps(5, 2)
    equal(run.weights(), trial.run(late_from=2).steps(5).weights(), "added later and there from the beginning")


def names_do_not_matter(trial: OptimizerTrial) -> None:
    """named_parameters(), parameters() and an iterator over either walk alike."""
    walks = []
    for listed in (
        lambda net: net.named_parameters(),
        lambda net: net.parameters(),
        lambda net: list(net.named_parameters()),
    ):
        net = Net()
        walks.append(Run(net, trial.make(listed(net))).steps(3).weights())
    equal(walks[1], walks[0], "with and without names")
    equal(walks[2], walks[0], "from a list and from an iterator")


def names_are_in_messages(trial: OptimizerTrial) -> None:
    """A refused gradient is called by the parameter's name, or by its group and place where it has none."""
    named, net = trial.run(), Net()
    unnamed = Run(net, trial.make([{"params": [net.weight]}, {"params": [net.bias, net.late]}]))
    for run, called in ((named, "late"), (unnamed, "parameter 1 of group 1")):
        run.put(0)
        run.net.late.grad[0, 0] = torch.nan
        refusal(run.optimizer.step, called)


def parameters_without_gradient_are_left_out(trial: OptimizerTrial) -> None:
    """A parameter whose gradient is None stays as it is, and begins with its first gradient as the others began."""
    run = trial.run(late_from=2).steps(2)
    fresh = Net()
    equal(run.net.late.detach(), fresh.late.detach(), "without a gradient and before")
    law(run.net.late not in run.optimizer.state, "a parameter without a gradient has a state")
    run.steps(5, 2)
    late = Run(fresh, trial.make([{"params": [fresh.late], "regularizer": trial.psi()}])).steps(5, 2)
    equal(run.net.late.detach(), late.net.late.detach(), "begun later and begun alone")


def frozen_parameters_are_left_out(trial: OptimizerTrial) -> None:
    """A parameter that loses its gradient in the middle of a run stays, and goes on later where it was."""
    run, twin = trial.run().steps(2), trial.run().steps(2)
    before = run.weights()["bias"]
    for k in (2, 3):
        run.put(k)
        run.net.bias.grad = None
        run.optimizer.step()
    equal(run.net.bias.detach(), before, "while frozen and before")
    for some in (run, twin):
        some.steps(6, 4)
    equal(run.weights()["bias"], twin.weights()["bias"], "with a pause and without")


def a_step_without_gradients_changes_nothing(trial: OptimizerTrial) -> None:
    """Where no parameter has a gradient a step changes neither weights nor state nor groups, also after restart()."""
    run = trial.run()
    for steps in (0, 2):
        run.steps(steps)
        run.optimizer.zero_grad()
        with unchanged(run, f"after a step without gradients, {steps} steps into the run"):
            run.optimizer.step()


def maximize_goes_down_the_negative(trial: OptimizerTrial) -> None:
    """maximize=True walks as minimising the negative loss."""
    up, down = trial.run(maximize=True), trial.run()
    for k in range(3):
        for run, sign in ((up, 1), (down, -1)):
            run.put(k)
            for p in run.net.parameters():
                p.grad = sign * p.grad
            run.optimizer.step()
    equal(up.weights(), down.weights(), "up the loss and down its negative")


def an_lr_in_a_tensor_is_the_number_in_it(trial: OptimizerTrial) -> None:
    """lr as a tensor of no axes walks as the number, and schedulers write into it."""
    one, two = trial.run(lr=torch.tensor(0.25)), trial.run(lr=0.25)
    for run in (one, two):
        scheduler = lr_scheduler.StepLR(run.optimizer, step_size=2, gamma=0.5)
        for k in range(4):
            run.steps(k + 1, k)
            scheduler.step()
    equal(one.weights(), two.weights(), "with a tensor and with a number")
    lr = one.optimizer.param_groups[0]["lr"]
    law(isinstance(lr, Tensor) and float(lr) == 0.0625, f"the scheduler has made the tensor {lr!r}")


SCHEDULES: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5),
    "CosineAnnealingLR": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 6),
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=7, cycle_momentum=False),
    "LambdaLR": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: min(epoch / 3, 1.0)),
    "ReduceLROnPlateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=1),
}


def schedulers_set_the_lr(trial: OptimizerTrial) -> None:
    """Under torch's schedulers it walks as with lr set by hand to the schedule's value before each step."""
    constant = trial.run(lr=0.1).steps(5).weights()
    for name, make in SCHEDULES.items():
        run, twin = trial.run(lr=0.1), trial.run(lr=0.1)
        scheduler, rates = make(run.optimizer), []
        for k in range(5):
            rates.append(run.optimizer.param_groups[0]["lr"])
            for group in twin.optimizer.param_groups:
                group["lr"] = rates[-1]
            run.steps(k + 1, k)
            twin.steps(k + 1, k)
            scheduler.step(*((1.0,) if name == "ReduceLROnPlateau" else ()))
        equal(run.weights(), twin.weights(), f"under {name} and by hand")
        law(len(set(rates)) > 1, f"{name} has left lr at {rates[0]}")
        law(difference(run.weights(), constant) is not None, f"under {name} it walks as with the first lr")


def a_tensor_is_in_one_group(trial: OptimizerTrial) -> None:
    """Tied weights are stepped once: a parameter in two groups is refused, and nothing is added."""
    net = Net()
    refusal(lambda: trial.make([{"params": [net.weight]}, {"params": [net.weight]}]))
    run = trial.run()
    with unchanged(run, "after a group that is refused"):
        refusal(lambda: run.optimizer.add_param_group({"params": [run.net.weight]}))
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    single, tied = nn.Parameter(first.weight.detach().clone()), nn.Sequential(first, second)
    Run(tied, trial.make(tied.parameters())).steps(3)
    Run(nn.ParameterList([single]), trial.make([single])).steps(3)
    equal(second.weight.detach(), single.detach(), "tied and alone")


def unregularized_is_strength_0(trial: OptimizerTrial) -> None:
    """Without a regularizer a group walks as with one of strength 0, up to rounding, and What_t likewise."""
    net, twin = Net(torch.float64), Net(torch.float64)
    free, zero = (
        Run(some, trial.make([{"params": list(some.parameters()), "regularizer": None}])) for some in (net, twin)
    )
    if trial.regularized:
        zero = Run(twin, trial.make(trial.groups(twin, 0.0)))
    for run in (free, zero):
        run.steps(3)
    for one, other in ((free.weights(), zero.weights()), (free.solutions(), zero.solutions())):
        for name in one:
            law(
                torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-12),
                f"{name} is {one[name]} without a regularizer and {other[name]} with strength 0",
            )


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    groups_walk_as_separate_optimizers,
    hyper_parameters_are_those_of_the_group,
    an_added_group_walks_as_one_of_the_beginning,
    names_do_not_matter,
    names_are_in_messages,
    parameters_without_gradient_are_left_out,
    frozen_parameters_are_left_out,
    a_step_without_gradients_changes_nothing,
    maximize_goes_down_the_negative,
    an_lr_in_a_tensor_is_the_number_in_it,
    schedulers_set_the_lr,
    a_tensor_is_in_one_group,
    unregularized_is_strength_0,
)
