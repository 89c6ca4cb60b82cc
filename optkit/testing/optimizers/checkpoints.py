"""The laws of checkpoints that do not fit: each is refused in words, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optkit.algorithms import proxsgd, rmda
from optkit.torch import MethodOptimizer

from .trial import STRENGTH, Net, OptimizerTrial, Run, equal, refusal, unchanged


def _refused(trial: OptimizerTrial, other: MethodOptimizer | dict[str, Any], *words: str) -> None:
    """The state of another optimizer is refused in these words by one in the middle of a run, which goes on alike."""
    run, twin = trial.run().steps(2), trial.run().steps(2)
    state = other if isinstance(other, dict) else other.state_dict()
    with unchanged(run, "after a checkpoint that is refused"):
        refusal(lambda: run.optimizer.load_state_dict(state), *words)
    equal(run.steps(3, 2).all(), twin.steps(3, 2).all(), "the step after a checkpoint that is refused")


def _walked(trial: OptimizerTrial, net: Net, groups: list[dict[str, Any]]) -> MethodOptimizer:
    return Run(net, trial.make(groups)).steps(2).optimizer


def another_method_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint of another method raises ValueError that says so, and changes nothing."""
    own = trial.run().optimizer.defaults["method"]
    net, factory = Net(), rmda if own != "rmda" else proxsgd
    other = MethodOptimizer([{"params": [net.weight, net.late]}, {"params": [net.bias]}], factory)
    _refused(trial, Run(net, other).steps(2).optimizer, "method", factory.__name__, own)


def another_regularizer_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint of another regularizer, or of its other strength, raises ValueError, and changes nothing."""
    if not trial.regularized:
        return
    net = Net()
    _refused(trial, _walked(trial, net, trial.groups(net, 2 * STRENGTH)), "regularizer", str(2 * STRENGTH))
    _refused(trial, _walked(trial, net, [{**group, "regularizer": None} for group in trial.groups(net)]), "regularizer")


def another_shape_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint of other shapes raises ValueError that names the parameter and both, and changes nothing."""
    net = Net(rows=5)
    _refused(trial, _walked(trial, net, trial.groups(net)), "weight", "(5, 6)", "(4, 6)")


def another_number_of_groups_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint of more or fewer groups, or parameters in one, raises ValueError, and changes nothing."""
    net = Net()
    first, second = trial.groups(net)
    single = {**first, "params": first["params"][:1]}
    rest = {**first, "params": first["params"][1:]}
    for groups in ([first], [single, rest, second], [single, second]):
        _refused(trial, _walked(trial, net, groups), "group")


def another_version_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint of another version of the format, or of none, raises ValueError, and changes nothing."""
    state = trial.run().steps(2).optimizer.state_dict()
    _refused(trial, {**state, "optkit": {**state["optkit"], "version": 99}}, "version", "99")
    _refused(trial, {key: value for key, value in state.items() if key != "optkit"}, "version")


def other_names_are_refused(trial: OptimizerTrial) -> None:
    """A checkpoint whose parameters have the same names in another order raises ValueError, and changes nothing."""
    net = Net()
    net.weight = torch.nn.Parameter(torch.zeros(3, 6))  # the shape of late, so that only the names tell
    net.bias = torch.nn.Parameter(torch.zeros(3))

    def groups(*names: str) -> list[dict[str, Any]]:
        weights = [(name, getattr(net, name)) for name in names]
        return [{"params": weights, "regularizer": trial.psi()}, {"params": [("bias", net.bias)]}]

    state = Run(net, trial.make(groups("late", "weight"))).steps(2).optimizer.state_dict()
    run = Run(net, trial.make(groups("weight", "late")))
    with unchanged(run, "after a checkpoint that is refused"):
        refusal(lambda: run.optimizer.load_state_dict(state), "late", "weight")


def half_a_state_is_refused(trial: OptimizerTrial) -> None:
    """A checkpoint in which a number or tensor of the state lacks raises ValueError, and changes nothing."""
    state = trial.run().steps(2).optimizer.state_dict()
    half = {key: value for key, value in state["state"][0].items() if key != "t"}
    _refused(trial, {**state, "state": {**state["state"], 0: half}}, "state")
    _refused(trial, {**state, "optkit": {"version": state["optkit"]["version"]}}, "optkit")


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    another_method_is_refused,
    another_regularizer_is_refused,
    another_shape_is_refused,
    another_number_of_groups_is_refused,
    another_version_is_refused,
    other_names_are_refused,
    half_a_state_is_refused,
)
