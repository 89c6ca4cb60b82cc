"""The laws of structure: What_t in the model, its exact zeros, and that looking at it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optkit.core import Array
from optkit.monitor import ManifoldMonitor
from optkit.testing.running import law
from optkit.torch import structured
from optkit.torch.state import unpack

from .trial import STRENGTH, OptimizerTrial, Run, equal, unchanged

STRONG = 1e5


def structured_holds_the_solution(trial: OptimizerTrial) -> None:
    """Inside structured the model holds What_t, where 0 is a subgradient of the last step's subproblem, to rounding."""
    run = trial.run(dtype=torch.float64)
    for k in range(4):
        before = run.weights()
        run.steps(k + 1, k)
        with structured(run.net, run.optimizer) as inside:
            law(inside is run.net, "structured yields another model")
            for name, w in run.weights().items():
                _solves(run, name, w, before[name])


def _solves(run: Run, name: str, w: Tensor, before: Tensor) -> None:
    """0 = g + weight s + rounding, with the subproblem's gradient g and the nearest subgradient s, at w."""
    parameter: Any = dict(run.net.named_parameters())[name]
    group = next(g for g in run.optimizer.param_groups if any(p is parameter for p in g["params"]))
    method = run.optimizer.method(group)
    state = unpack(run.optimizer.state[parameter], method)
    problem = method.subproblem((1 - method.lr * method.weight_decay) * before, state)
    g: Array = problem.linear + problem.metric * (w - problem.anchor)
    s: Array = method.psi.project_subdifferential(w, -g / problem.weight)
    residual = float(torch.linalg.vector_norm(g + problem.weight * s))
    size = sum(float(torch.linalg.vector_norm(term)) for term in (problem.linear, problem.metric * problem.anchor, s))
    law(residual <= 1e-6 * size, f"the subgradient at {name} is {residual:.3g}, its terms have the size {size:.3g}")


def zeros_are_exact(trial: OptimizerTrial) -> None:
    """Under a huge strength What_t is 0, every bit, in float32 and in bf16, and the manifold says so."""
    if not trial.regularized:
        return
    for dtype in (torch.float32, torch.bfloat16):
        run = trial.run(dtype=dtype, strength=STRONG).steps(3)
        solutions = run.solutions()
        for name in ("weight", "late"):
            law(not solutions[name].any(), f"under the strength {STRONG} {name} is {solutions[name]}")
            law(run.optimizer.structure()[name].dimension == 0, f"the manifold is {run.optimizer.structure()[name]}")


def structure_is_that_of_the_solution(trial: OptimizerTrial) -> None:
    """structure() has the manifold of What_t for each regularized parameter, by name, and for no other."""
    if (psi := trial.psi()) is None:
        return
    run = trial.run().steps(3)
    structure, solutions = dict(run.optimizer.structure()), run.solutions()
    law(set(structure) == {"weight", "late"}, f"structure() is of {list(structure)}")
    for name, manifold in structure.items():
        known = psi.manifold(solutions[name])
        law(manifold == known, f"the manifold of {name} is {manifold}, that of What_t {known}")


def structure_measures_sparsity(trial: OptimizerTrial) -> None:
    """structure().sparsity is the share of entries that are fixed, rank_level None without matrices of low rank."""
    for strength in (0.0, STRENGTH, STRONG):
        if (psi := trial.psi(strength)) is None:
            return
        run = trial.run(strength=strength).steps(3)
        structure, solutions = run.optimizer.structure(), run.solutions()
        manifolds = [psi.manifold(solutions[name]) for name in ("weight", "late")]
        free, whole = (sum(getattr(m, part) for m in manifolds) for part in ("dimension", "ambient"))
        law(structure.sparsity == 1 - free / whole, f"sparsity is {structure.sparsity}, {free} of {whole} are free")
        law(structure.rank_level is None, f"the rank level is {structure.rank_level}")
        law("weight" in str(structure) and "late" in str(structure), f"the table has no names: {structure}")


def before_a_step_the_solution_is_the_weights(trial: OptimizerTrial) -> None:
    """Before a parameter's first step What_t is the parameter."""
    run = trial.run(late_from=9)
    equal(run.solutions(), run.weights(), "What_t and the weights before a step")
    run.steps(2)
    equal(run.solutions()["late"], run.weights()["late"], "What_t and the weights of a parameter without a step")


def the_weights_come_back(trial: OptimizerTrial) -> None:
    """After structured the model has its training weights, every bit, also after an exception and whatever was done."""
    run = trial.run(strength=STRONG).steps(3)
    with unchanged(run, "after structured"):
        with structured(run.net, run.optimizer), torch.no_grad():
            run.net.weight.fill_(7.0)
        try:
            with structured(run.net, run.optimizer):
                raise KeyError("lost")
        except KeyError:
            pass
    law(all(p.is_leaf and p.requires_grad for p in run.net.parameters()), "a parameter is no leaf any more")


def structured_twice_is_the_same(trial: OptimizerTrial) -> None:
    """structured again, one after the other or one in the other, holds the same What_t."""
    run = trial.run().steps(3)
    first = run.solutions()
    equal(run.solutions(), first, "a second time and the first")
    with structured(run.net, run.optimizer):
        equal(run.solutions(), first, "inside another one and alone")
        equal(run.weights(), first, "after an inner one and before")


def state_dict_inside_is_that_outside(trial: OptimizerTrial) -> None:
    """state_dict() inside structured is that outside."""
    run = trial.run().steps(3)
    outside = run.optimizer.state_dict()
    with structured(run.net, run.optimizer):
        equal(run.optimizer.state_dict(), outside, "inside structured and outside")


def evaluating_inside_does_not_change_the_walk(trial: OptimizerTrial) -> None:
    """A run that is evaluated inside structured after each step walks as one that is not."""
    run, twin, x = trial.run(), trial.run().steps(4), torch.ones(2, 6)
    for k in range(4):
        run.steps(k + 1, k)
        with structured(run.net, run.optimizer), torch.no_grad():
            run.net(x)
            run.solutions()
    equal(run.all(), twin.all(), "evaluated after each step and never")


def nothing_advances_outside_a_step(trial: OptimizerTrial) -> None:
    """Only step() moves t, alpha, the ramp and the state: to look, print, save and clear gradients changes nothing."""
    run, twin = trial.run().steps(2), trial.run().steps(2)
    optimizer = run.optimizer
    with unchanged(run, "after calls of everything but step()"):
        for _ in range(3):
            run.solutions()
            optimizer.structure()
            optimizer.certificate()
            optimizer.state_dict()
            repr(optimizer)
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                optimizer.method(group)
                for parameter in group["params"]:
                    optimizer.structured_value(parameter, group)
    equal(run.steps(4, 2).all(), twin.steps(4, 2).all(), "the steps after these calls and without them")


def a_monitor_changes_nothing(trial: OptimizerTrial) -> None:
    """A run that a ManifoldMonitor watches walks as one that none does, and what it sees last is structure()."""
    for dtype in (torch.float32, torch.bfloat16):
        twin = _with_a_restart(trial.run(dtype=dtype, late_from=4))
        for every in (1, 2):
            run, monitor = trial.run(dtype=dtype, late_from=4), ManifoldMonitor(every)
            with monitor.attach(run.optimizer):
                _with_a_restart(run)
            equal(run.all(), twin.all(), f"observed every {every} steps and never")
            seen = None if monitor.last is None else dict(monitor.last.structure)
            law(seen == dict(run.optimizer.structure()), f"what is seen last is not structure(): {seen}")
    equal(run.steps(8, 6).all(), twin.steps(8, 6).all(), "the steps after the monitor's end and without one")


def _with_a_restart(run: Run) -> Run:
    """Six steps with a restart after three, at which `late` has not yet had a gradient."""
    run.steps(3).optimizer.restart(0.5)
    return run.steps(6, 3)


def a_step_inside_structured_is_refused(trial: OptimizerTrial) -> None:
    """step() inside structured raises RuntimeError and changes nothing; afterwards steps go on alike."""
    run, twin = trial.run().steps(2), trial.run().steps(2)
    run.put(2)
    with structured(run.net, run.optimizer), unchanged(run, "after a step inside structured"):
        try:
            run.optimizer.step()
        except RuntimeError as error:
            law("structured" in str(error), f"the message does not say structured: {error}")
        else:
            raise AssertionError("it is not refused")
    equal(run.steps(4, 2).all(), twin.steps(4, 2).all(), "after a step that was refused and without it")


def what_comes_next_does_not_change_the_solution(trial: OptimizerTrial) -> None:
    """Another lr, set by a schedule for the next step, leaves What_t as it is."""
    run = trial.run().steps(3)
    before = run.solutions()
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-5
    equal(run.solutions(), before, "What_t after a change of lr and before")


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    structured_holds_the_solution,
    zeros_are_exact,
    structure_is_that_of_the_solution,
    structure_measures_sparsity,
    before_a_step_the_solution_is_the_weights,
    the_weights_come_back,
    structured_twice_is_the_same,
    state_dict_inside_is_that_outside,
    evaluating_inside_does_not_change_the_walk,
    nothing_advances_outside_a_step,
    what_comes_next_does_not_change_the_solution,
    a_monitor_changes_nothing,
    a_step_inside_structured_is_refused,
)
