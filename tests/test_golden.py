"""Published trajectories: fed the same gradients, every method walks where its published implementation walked.

Weights and subproblem solutions agree to 1e-10 at every checkpoint, with the same exact zeros, through the array front
end (numpy and torch) and through the optimizers. The data and where they come from: golden/README.md.

Published peculiarities that the comparison takes into account: MADGRAD adds its epsilon to the learning rate, so it is
ramda with lr + epsilon; its momentum is 1 - c.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optkit.algorithms import ProximalMethod, Stages, proxgen, proxsgd, proxssi, ramda, rmda
from optkit.core import Array, Regularizer
from optkit.regularizers import GroupLasso, NuclearNorm, Zero
from optkit.solvers import NewtonRaphson, ProximalGradient, RelativeDecrease, SecularNewton
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, ProxSSI, StageScheduler

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
STEPS, EVERY, TOLERANCE = 30, 5, 1e-10


@dataclass(frozen=True)
class Algorithm:
    """How a published algorithm is called here; arguments: from its hyper-parameters to ours."""

    factory: Callable[..., ProximalMethod]
    optimizer: Callable[..., MethodOptimizer]
    arguments: Callable[[dict[str, Any]], dict[str, Any]]


ALGORITHMS = {
    "RAMDA": Algorithm(ramda, RAMDA, lambda h: {"lr": h["lr"], "averaging": h["momentum"], "epsilon": h["epsilon"]}),
    "RMDA": Algorithm(rmda, RMDA, lambda h: {"lr": h["lr"], "averaging": h["momentum"]}),
    "ProxSGD": Algorithm(proxsgd, ProxSGD, lambda h: {"lr": h["lr"], "momentum": h["momentum"]}),
    "ProxAdamW": Algorithm(
        proxgen, ProxGen, lambda h: {"lr": h["lr"], "betas": tuple(h["betas"]), "epsilon": h["epsilon"]}
    ),
    "ProxSSI": Algorithm(
        partial(proxssi, published=True),
        partial(ProxSSI, published=True),
        lambda h: {"lr": h["lr"], "betas": tuple(h["betas"]), "epsilon": h["eps"], "solver": SecularNewton()},
    ),
    "MADGRAD": Algorithm(
        ramda,
        lambda groups, **given: MethodOptimizer(groups, ramda, **given),
        lambda h: {"lr": h["lr"] + h["eps"], "averaging": 1 - h["momentum"], "epsilon": h["eps"]},
    ),
}


@dataclass(frozen=True)
class Case:
    """One published run: the facts of its JSON file and the arrays of its npz file."""

    facts: dict[str, Any]
    arrays: dict[str, Any]

    @property
    def algorithm(self) -> Algorithm:
        return ALGORITHMS[self.facts["algorithm"]]

    @property
    def exact(self) -> bool:
        """Whether the subproblems were solved exactly; if not, What_t depends on the start and is not found again."""
        return bool(self.facts["subproblem"]["mode"] != "official defaults")

    @property
    def arguments(self) -> dict[str, Any]:
        """The hyper-parameters, and where the published code stopped early its solver and rule."""
        given = self.facts["hyperparameters"]
        arguments = self.algorithm.arguments(given)
        if self.exact:
            return arguments
        if self.facts["algorithm"] == "ProxSSI":
            return {**arguments, "solver": NewtonRaphson(tolerance=1e-7, max_iterations=100)}
        rule = RelativeDecrease(given.get("rtol", 1e-8), max_iterations=given.get("max_iters", 100))
        return {**arguments, "solver": ProximalGradient(), "stopping": rule}

    @property
    def parameters(self) -> list[str]:
        return list(self.facts["params"])

    @property
    def stages(self) -> Stages:
        """The schedule, counted in steps."""
        schedule = self.facts["schedule"]
        if schedule is None:
            return Stages()
        steps = tuple(schedule["steps_per_epoch"] * epoch for epoch in schedule["milestones_epochs"])
        return Stages(steps, lr_factor=schedule["gamma"], epsilon_factor=schedule["gamma"])

    def psi(self, parameter: str) -> Regularizer:
        facts = self.facts["params"][parameter]
        if self.facts["regularizer"] is None or not facts["regularized"]:
            return Zero()
        if self.facts["regularizer"] == "nuclear":
            return NuclearNorm(self.facts["lambda"])
        return GroupLasso(self.facts["lambda"], axes=tuple(facts["reduce_axes"]))

    def method(self, parameter: str) -> ProximalMethod:
        psi, arguments = self.psi(parameter), self.arguments
        if isinstance(psi, Zero):
            arguments = {key: value for key, value in arguments.items() if key not in ("solver", "stopping")}
        return self.algorithm.factory(psi, **arguments)


@cache
def load(name: str) -> Case:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return Case(json.loads((FOLDER / f"{name}.json").read_text("utf-8")), dict(arrays))


def agree(case: Case, parameter: str, step: int, weight: Any, hat: Any) -> None:
    """Weight and solution after a step are the published ones, where these were recorded."""
    if step % EVERY:
        return
    for kind, ours in (("weights", weight), ("hat", hat)):
        if ours is not None and f"{kind}/{parameter}" in case.arrays:
            theirs = case.arrays[f"{kind}/{parameter}"][step // EVERY - 1]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE, err_msg=f"{kind}/{parameter}, step {step}")
            psi = case.psi(parameter)
            ours, theirs = psi.manifold(np.asarray(ours)), psi.manifold(theirs)
            assert ours == theirs, f"{ours}, published: {theirs}, structure of {kind}/{parameter}, step {step}"


def test_every_algorithm_and_a_restart_of_each_kind_are_there() -> None:
    cases = [load(name).facts for name in CASES]
    assert {case["algorithm"] for case in cases} == set(ALGORITHMS)
    assert {case["algorithm"] for case in cases if case["schedule"]} == {"RAMDA", "RMDA"}
    assert all((case["steps"], case["checkpoints"]) == (STEPS, list(range(EVERY, STEPS + 1, EVERY))) for case in cases)


@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray], ids=["numpy", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_the_array_front_end(name: str, asarray: Callable[[Any], Array]) -> None:
    case = load(name)
    for parameter in case.parameters:
        base, w = case.method(parameter), asarray(case.arrays[f"init/{parameter}"])
        state = base.init(w)
        for k in range(STEPS):
            method = case.stages.method(base, k)
            if case.stages.begins(k):
                state = method.restart(w)
            w, state, solution = method.step(w, asarray(case.arrays[f"grads/{parameter}"][k]), state)
            assert bool(solution.converged) or not case.exact
            agree(case, parameter, k + 1, np.asarray(w), np.asarray(solution.point))
            if case.exact:
                agree(case, parameter, k + 1, np.asarray(w), np.asarray(method.structured(w, state)))


@pytest.mark.filterwarnings("ignore::optkit.core.ConvergenceWarning")  # five iterations, as published
@pytest.mark.parametrize("name", CASES)
def test_the_optimizers(name: str) -> None:
    case = load(name)
    weights = {p: torch.nn.Parameter(torch.tensor(case.arrays[f"init/{p}"])) for p in case.parameters}
    groups = [{"params": [(p, weights[p])], "regularizer": case.psi(p)} for p in case.parameters]
    optimizer = case.algorithm.optimizer(groups, **case.arguments)
    scheduler = StageScheduler(optimizer, case.stages)
    for k in range(STEPS):
        for parameter, weight in weights.items():
            weight.grad = torch.tensor(case.arrays[f"grads/{parameter}"][k])
        optimizer.step()
        for group, (parameter, weight) in zip(optimizer.param_groups, weights.items(), strict=True):
            hat = optimizer.structured_value(weight, group)
            agree(case, parameter, k + 1, weight.detach().numpy(), hat.numpy() if case.exact else None)
        scheduler.step()
    assert optimizer.uncertified == 0 or not case.exact


@pytest.mark.parametrize("name", CASES)
def test_the_values_in_force_at_every_step(name: str) -> None:
    case = load(name)
    begin = 0
    for k in range(STEPS):
        method = case.stages.method(case.method(case.parameters[0]), k)
        begin = k if case.stages.begins(k) else begin
        algorithm = case.facts["algorithm"]
        ours = {"lr": method.lr, "epsilon": getattr(method.preconditioner, "epsilon", None)}
        if algorithm in ("RAMDA", "RMDA"):
            ours["momentum"] = method.averaging.weight(k + 1 - begin)
        if algorithm == "MADGRAD":
            ours["lr"] = method.lr - case.facts["hyperparameters"]["eps"]
        for key, value in ours.items():
            if f"used/{key}" in case.arrays:
                assert value == pytest.approx(case.arrays[f"used/{key}"][k], rel=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if "zero_groups_of_hatW_at_checkpoints" in load(name).facts])
def test_the_data_hold_zero_groups(name: str) -> None:
    case = load(name)
    for parameter, counts in case.facts["zero_groups_of_hatW_at_checkpoints"].items():
        hats = case.arrays[f"hat/{parameter}"]
        zeros = [str(case.psi(parameter).manifold(hat)) for hat in hats]
        groups = hats.shape[1:][1]
        assert zeros == [f"{count} of {groups} groups zero" for count in counts]
    assert any(map(any, case.facts["zero_groups_of_hatW_at_checkpoints"].values()))
