"""The laws of state: plain data, exact resume, and copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optkit.testing.running import law
from optkit.torch import structured

from .trial import OptimizerTrial, Run, difference, equal, through_a_file

LAST, RESTART, LATE = 8, 4, 6


def _odd(data: Any, tensors: bool) -> list[Any]:
    """What in the data is neither dict, list, tuple, str, number, bool nor None (nor a tensor, where these may be)."""
    if type(data) is dict:
        return [found for key, item in data.items() for found in (*_odd(key, False), *_odd(item, tensors))]
    if type(data) in (list, tuple):
        return [found for item in data for found in _odd(item, tensors)]
    allowed = (str, int, float, bool, type(None), *((Tensor,) if tensors else ()))
    return [] if type(data) in allowed else [data]


def state_is_plain_data(trial: OptimizerTrial) -> None:
    """state_dict, groups and defaults hold plain data and tensors only, and pass torch.load(weights_only=True)."""
    run = trial.run().steps(2)
    run.optimizer.restart(0.5)
    state = run.optimizer.state_dict()
    groups = [{key: value for key, value in group.items() if key != "params"} for group in run.optimizer.param_groups]
    for data, tensors in ((state, True), (groups, False), (run.optimizer.defaults, False)):
        law(not _odd(data, tensors), f"no plain data: {_odd(data, tensors)}")
    equal(through_a_file(state), state, "through a file and before")


def state_has_a_version(trial: OptimizerTrial) -> None:
    """state_dict()["optkit"]["version"] is an integer >= 1."""
    version = trial.run().optimizer.state_dict().get("optkit", {}).get("version")
    law(type(version) is int and version >= 1, f"the version is {version!r}")


def state_dict_is_a_snapshot(trial: OptimizerTrial) -> None:
    """Nothing that is done later changes a state_dict: steps, restart(), ramp(), schedules."""
    run = trial.run(lr=torch.tensor(0.1)).steps(2)
    run.optimizer.restart(0.5)
    held = run.optimizer.state_dict()
    before = copy.deepcopy(held)
    if "averaging" in run.optimizer.defaults:
        run.optimizer.ramp()
    run.optimizer.restart(0.5)
    run.late_from = 99
    run.steps(4, 2)
    for group in run.optimizer.param_groups:
        group["lr"].fill_(7.0)
    equal(held, before, "a state_dict later and when it was taken")


def loading_makes_a_copy(trial: OptimizerTrial) -> None:
    """load_state_dict shares nothing with the checkpoint: neither changes when the other does."""
    run, other = trial.run().steps(2), trial.run()
    run.optimizer.restart(0.5)
    checkpoint = copy.deepcopy(run.optimizer.state_dict())
    before = copy.deepcopy(checkpoint)
    other.optimizer.load_state_dict(checkpoint)
    other.optimizer.restart(0.5, ramp="averaging" in other.optimizer.defaults)
    other.late_from = 99
    other.steps(3)
    equal(checkpoint, before, "the checkpoint after steps of who loaded it, and before")
    other.optimizer.load_state_dict(checkpoint)
    for state in checkpoint["state"].values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.fill_(torch.nan)
    equal(other.optimizer.state_dict(), before, "what was loaded after the checkpoint's tensors changed, and before")


def _long(run: Run, first: int, stops: Callable[[int], None] = lambda k: None) -> Run:
    """Steps first to LAST - 1, with a restart after RESTART and gradients for late from LATE on."""
    run.late_from = LATE
    for k in range(first, LAST):
        stops(k)
        run.steps(k + 1, k)
        if k + 1 == RESTART:
            run.optimizer.restart(0.5, ramp="averaging" in run.optimizer.defaults)
    return run


def a_run_resumes_bit_by_bit(trial: OptimizerTrial) -> None:
    """From a checkpoint at any step it walks on alike: in a stage, after restart(), before a parameter's gradient."""
    for dtype in (torch.float32, torch.bfloat16):
        _resumes(trial, dtype)


def _resumes(trial: OptimizerTrial, dtype: torch.dtype) -> None:
    saved: dict[int, Any] = {}
    whole = trial.run(dtype=dtype)

    def save(k: int) -> None:
        if k in (0, 2, RESTART, RESTART + 1, LAST - 1):
            saved[k] = through_a_file((whole.net.state_dict(), whole.optimizer.state_dict()))

    _long(whole, 0, save)
    for stop, (weights, state) in saved.items():
        resumed = trial.run(dtype=dtype, seed=1)
        for group in resumed.optimizer.param_groups:
            group["lr"] = 9.0
        resumed.net.load_state_dict(weights)
        resumed.optimizer.load_state_dict(state)
        _long(resumed, stop)
        equal(resumed.all(), whole.all(), f"resumed after {stop} of {LAST} steps and run through")
        equal(resumed.solutions(), whole.solutions(), f"What_t, resumed after {stop} of {LAST} steps and run through")


def counts_are_saved(trial: OptimizerTrial) -> None:
    """The number of skipped steps is in state_dict and is loaded."""
    run, other = trial.run(nonfinite="skip"), trial.run()
    run.put(0)
    run.net.bias.grad[0] = torch.inf
    run.optimizer.step()
    other.optimizer.load_state_dict(through_a_file(run.optimizer.state_dict()))
    law(other.optimizer.skipped == run.optimizer.skipped == 1, f"{other.optimizer.skipped} skipped steps are loaded")


def _copies(trial: OptimizerTrial, copied: Callable[[Any], Any]) -> None:
    run = trial.run().steps(2)
    run.optimizer.nonfinite = "skip"
    net, optimizer = copied((run.net, run.optimizer))
    twin, before = Run(net, optimizer), run.all()
    twin.steps(4, 2)
    equal(run.all(), before, "after steps of the copy, and before")
    equal(twin.all(), run.steps(4, 2).all(), "the copy and what was copied")
    run.optimizer.restart(0.5)
    again = Run(*copied((run.net, run.optimizer)))
    equal(again.steps(5, 4).all(), run.steps(5, 4).all(), "the copy and what was copied after restart()")
    law(type(optimizer) is type(run.optimizer) and optimizer.nonfinite == "skip", "the copy has other settings")


def a_deep_copy_walks_on_alike_and_apart(trial: OptimizerTrial) -> None:
    """copy.deepcopy of model and optimizer walks on as they do, and they do not move with it."""
    _copies(trial, copy.deepcopy)


def a_pickled_copy_walks_on_alike_and_apart(trial: OptimizerTrial) -> None:
    """pickle of model and optimizer likewise, where the method's factory itself can be pickled."""
    try:
        pickle.dumps(trial.run().optimizer.recipe.factory)
    except (pickle.PicklingError, AttributeError):
        return
    _copies(trial, lambda pair: pickle.loads(pickle.dumps(pair)))


def a_copy_made_inside_structured_takes_steps(trial: OptimizerTrial) -> None:
    """copy.deepcopy of model and optimizer inside structured has What_t for its weights, and steps go on from there."""
    run = trial.run().steps(2)
    solutions = run.solutions()
    with structured(run.net, run.optimizer):
        copied = Run(*copy.deepcopy((run.net, run.optimizer)))
    equal(copied.weights(), solutions, "the copy's weights and What_t")
    copied.steps(3, 2)
    law(difference(copied.weights(), solutions) is not None, "a step of the copy does not move it")


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    state_is_plain_data,
    state_has_a_version,
    state_dict_is_a_snapshot,
    loading_makes_a_copy,
    a_run_resumes_bit_by_bit,
    counts_are_saved,
    a_deep_copy_walks_on_alike_and_apart,
    a_pickled_copy_walks_on_alike_and_apart,
    a_copy_made_inside_structured_takes_steps,
)
