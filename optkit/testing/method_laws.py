"""The laws of methods: what a step takes and leaves, which subproblem it solves, and where it starts anew."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from optkit.algorithms import MethodState, ProximalMethod, Step
from optkit.core import Array
from optkit.regularizers import Zero

from .backends import Host, host, kind
from .method_trial import MethodTrial, leaves, walk
from .preconditioners import same
from .running import Law, law


def _close(a: Any, b: Any, tolerance: float, words: str) -> None:
    """a and b differ by at most the tolerance times the largest entry."""
    one, other = host(a), host(b)
    size = max(float(np.max(np.abs(x), initial=0.0)) for x in (one, other))
    law(np.abs(one - other) <= tolerance * size, f"{words}: {one} and {other}")


def _arrays(step: Step) -> list[Array]:
    """The arrays of a step: W_t, those of the state, and What_t."""
    return [leaf for leaf in leaves((step.w, step.state, step.solution.point)) if hasattr(leaf, "dtype")]


def arrays_keep_their_kind(trial: MethodTrial) -> None:
    """W_t, What_t and the state's arrays have the namespace, dtype, device and shape of W_0."""
    w = trial.backend.array(trial.host())
    for step in trial.walk(trial.method(), trial.arrays(3)):
        for array in _arrays(step):
            law(kind(array) == kind(w), f"{kind(array)} for {kind(w)}")
            law(tuple(array.shape) == trial.shape, f"an array of shape {tuple(array.shape)} for {trial.shape}")


def states_are_plain(trial: MethodTrial) -> None:
    """A state is a MethodState of arrays, plain numbers and None; t counts the steps, from 0."""
    values, method = trial.arrays(3), trial.method()
    states = [method.init(trial.backend.array(values[0])), *(step.state for step in trial.walk(method, values))]
    for t, state in enumerate(states):
        law(isinstance(state, MethodState), f"the state is a {type(state).__name__}")
        odd = [x for x in leaves(state) if not (hasattr(x, "dtype") or x is None or type(x) in (int, float, bool))]
        law(not odd, f"the state holds {odd}")
        law(type(state.t) is int and state.t == t, f"after {t} steps t is {state.t!r}")


def inputs_are_untouched(trial: MethodTrial) -> None:
    """step, structured and init change neither w nor the gradient nor the state."""
    values, method = trial.arrays(3), trial.method()
    before = trial.walk(method, values[:2])[-1]
    given = (before.w, trial.backend.array(values[2]), before.state)
    known = copy.deepcopy(given)
    method.step(*given)
    method.structured(before.w, before.state)
    method.init(before.w)
    law(same(given, known), f"{known} has become {given}")


def same_in_same_out(trial: MethodTrial) -> None:
    """A step is a function of (w, gradient, state): not of what else the method has stepped."""
    values, method = trial.arrays(4), trial.method()
    steps = trial.walk(method, values)
    trial.walk(method, values[::-1])
    last = trial.backend.array(values[3])
    for other in (method, trial.method()):
        again = other.step(steps[1].w, last, copy.deepcopy(steps[1].state))
        law(same(again[:2], steps[2][:2]), f"the same step gives {again.w} and {steps[2].w}")


def init_keeps_no_view(trial: MethodTrial) -> None:
    """What is written into W_0 after init does not reach the state."""
    values, method = trial.arrays(2), trial.method()
    start, grad = (trial.backend.array(value) for value in values)
    given = trial.backend.array(values[0])
    state = method.init(given)
    given[...] = 7.0
    expected = method.step(start, grad, method.init(start)).w
    law(same(method.step(start, grad, state).w, expected), "the state is a view of what init was given")


def lr_0_stays(trial: MethodTrial) -> None:
    """With lr 0 from the start on W_t is W_0, up to rounding, and its zeros stay exact."""
    values, method = trial.arrays(4), trial.method(lr=0.0)
    for step in trial.walk(method, values):
        # the lr of a method may also be its averaging, while that of its subproblems is another
        points = {"W_t": step.w} if method.lr else {"W_t": step.w, "What_t": step.solution.point}
        for name, w in points.items():
            _close(w, values[0], trial.ulps, f"{name} and W_0")
            law((host(w) == 0) | (values[0] != 0), f"zeros of W_0 = {values[0]} have become {host(w)}")


def lr_0_stays_in_a_run(trial: MethodTrial) -> None:
    """Anchored at the previous point, and with psi weighted by lr, a step with lr 0 in a run stays, to rounding."""
    values, method, still = trial.arrays(4), trial.method(), trial.method(lr=0.0)
    there = trial.walk(method, values[:3])[-1]
    step = still.step(there.w, trial.backend.array(values[3]), there.state)
    if method.anchor == "previous" and still.subproblem(there.w, step.state).weight == 0:
        _close(step.w, there.w, trial.ulps, "W_t and the point before")


def _decayed(method: ProximalMethod, w: Array) -> Array:
    """w after the weight decay, from where the step is taken."""
    return (1 - method.lr * method.weight_decay) * w


def solutions_solve_the_subproblem(trial: MethodTrial) -> None:
    """Where it counts as solved, 0 is a subgradient of the subproblem at What_t, up to rounding and 1e-6."""
    values, method = trial.arrays(4), trial.method(trial.pick(0.2, 0.02, 1.0))
    w = trial.backend.array(values[0])
    for step in trial.walk(method, values):
        problem, point = method.subproblem(_decayed(method, w), step.state), host(step.solution.point)
        w = step.w
        if not bool(step.solution.converged) or problem.weight == 0:
            continue
        linear, metric, anchor = (host(x) for x in (problem.linear, problem.metric, problem.anchor))
        g = linear + metric * (point - anchor)
        s = host(method.psi.project_subdifferential(point, -g / problem.weight))
        size = np.linalg.norm(linear) + np.linalg.norm(metric * (np.abs(point) + np.abs(anchor)))
        residual = float(np.linalg.norm(g + problem.weight * s))
        law(residual <= max(trial.ulps, 1e-6) * size, f"the subgradient is {residual}, its terms {size}, at {point}")


def the_iterate_is_the_average(trial: MethodTrial) -> None:
    """W_t = (1 - c_t) W_{t-1} + c_t What_t, up to rounding, and with c_t = 1 every bit."""
    values, method = trial.arrays(4), trial.method()
    w = trial.backend.array(values[0])
    for step in trial.walk(method, values):
        c, hat = method.averaging.weight(step.state.t), step.solution.point
        law(0 <= c <= 1, f"c is {c}")
        expected = (1 - c) * _decayed(method, w) + c * hat
        _close(step.w, expected, trial.ulps, "W_t and the average")
        law(c < 1 or same(step.w, hat), "with c = 1 W_t is not What_t")
        w = step.w


def structured_is_the_last_solution(trial: MethodTrial) -> None:
    """structured(W_t, state) is What_t, up to rounding, zeros and all; before a step and after restart it is w."""
    values, method = trial.arrays(4), trial.method()
    w = trial.backend.array(values[0])
    law(same(method.structured(w, method.init(w)), w), "before a step it is not w")
    for step in trial.walk(method, values):
        hat, known = method.structured(step.w, step.state), step.solution.point
        _close(hat, known, trial.ulps, "structured and the solution")
        law((host(hat) == 0) == (host(known) == 0), f"the zeros of {host(hat)} are not those of {host(known)}")
        law(same(method.structured(step.w, method.restart(step.w)), step.w), "after restart it is not w")


def zeros_are_exact(trial: MethodTrial) -> None:
    """Under a huge strength What_t is 0, every bit, where lr is not."""
    if not trial.regularized or not trial.penalty(1.0).convex:
        return
    for step in trial.walk(trial.method(1e6), trial.arrays(3)):
        law(host(step.solution.point) == 0, f"What_t is {host(step.solution.point)}")


def strength_0_is_no_regularizer(trial: MethodTrial) -> None:
    """With strength 0 it walks as with Zero, up to rounding."""
    if not trial.regularized:
        return
    values = trial.arrays(3)
    free = trial.walk(trial.factory(psi=Zero(), lr=0.1), values)
    for a, b in zip(trial.walk(trial.method(0.0), values), free, strict=True):
        _close(a.w, b.w, 8 * trial.ulps, "with strength 0 and with Zero")


def restart_is_a_fresh_beginning(trial: MethodTrial) -> None:
    """From restart(w) it walks as a new method from init(w), every bit."""
    values, method = trial.arrays(5), trial.method()
    w = trial.walk(method, values[:3])[-1].w
    grads = [trial.backend.array(value) for value in values[3:]]
    again, fresh = walk(method, w, grads, method.restart(w)), walk(trial.method(), w, grads)
    law(same(again[-1][:2], fresh[-1][:2]), f"restarted {again[-1].w}, begun {fresh[-1].w}")


def arrays_are_stepped_one_by_one(trial: MethodTrial) -> None:
    """step_all of a list, of other shapes too, is a step of each, every bit; of the empty list it is empty."""
    method, shapes = trial.method(), (trial.shape, (2, *trial.shape[1:]))
    ws, grads = ([trial.backend.array(trial.host(shape)) for shape in shapes] for _ in range(2))
    states = [method.init(w) for w in ws]
    for w, grad, state, step in zip(ws, grads, states, method.step_all(ws, grads, states), strict=True):
        law(same(step[:2], method.step(w, grad, state)[:2]), "in a list and alone")
    law(method.step_all([], [], []) == [], "the empty list")


def arrays_without_entries_are_stepped(trial: MethodTrial) -> None:
    """Arrays of shape (3, 0) are stepped, and their subproblems are solved."""
    steps = trial.walk(trial.method(), [np.zeros((3, 0))] * 3)
    law(tuple(steps[-1].w.shape) == (3, 0) and bool(steps[-1].solution.converged), f"{steps[-1]}")


def back_ends_agree(trial: MethodTrial) -> None:
    """Steps are those of numpy, up to rounding; gradients are of the order of 1."""
    rows: list[Host] = [np.where(np.abs(value) < 0.25, 0.25, value) for value in trial.arrays(4)]
    here, there = (trial.walk(trial.method(), rows, backend) for backend in (trial.backend, trial.numpys))
    for a, b in zip(here, there, strict=True):
        _close(a.w, b.w, 64 * trial.ulps, "W_t here and in numpy")
        _close(a.solution.point, b.solution.point, 64 * trial.ulps, "What_t here and in numpy")


def scaling_by_1_is_the_identity(trial: MethodTrial) -> None:
    """scale() is the same method, and scale(lr=c) has c times its lr and is otherwise the same."""
    method = trial.method()
    law(method.scale() == method, f"scale() is {method.scale()!r}")
    law(math.isclose(method.scale(lr=0.5).lr, 0.5 * method.lr), f"lr is {method.scale(lr=0.5).lr} of {method.lr}")


LAWS: tuple[Law[MethodTrial], ...] = (
    arrays_keep_their_kind,
    states_are_plain,
    inputs_are_untouched,
    same_in_same_out,
    init_keeps_no_view,
    lr_0_stays,
    lr_0_stays_in_a_run,
    solutions_solve_the_subproblem,
    the_iterate_is_the_average,
    structured_is_the_last_solution,
    zeros_are_exact,
    strength_0_is_no_regularizer,
    restart_is_a_fresh_beginning,
    arrays_are_stepped_one_by_one,
    arrays_without_entries_are_stepped,
    back_ends_agree,
    scaling_by_1_is_the_identity,
)
