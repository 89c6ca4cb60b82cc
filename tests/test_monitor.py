"""A ManifoldMonitor sees the structure that is there, since when, and its margin; the run does not depend on it."""

from __future__ import annotations

import copy
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from optkit import ManifoldMonitor, Observation, minimize
from optkit.algorithms import ConstantAveraging, ProximalMethod, Stages, proxgen, proxsgd, proxssi, ramda, rmda
from optkit.core import Array, Regularizer
from optkit.minimize import Progress
from optkit.monitor import Look
from optkit.regularizers import L1, GroupLasso, NuclearNorm, OnView, Scaled, Zero
from optkit.structure import Structure
from optkit.torch import RAMDA, MethodOptimizer, structured

from .torch_cases import ALL_OPTIMIZERS, OPTIMIZERS, PSI, Make, Net, gradients, groups, train

COLUMNS = GroupLasso(0.2, axes=0)
METHODS: dict[str, Callable[[Regularizer], ProximalMethod]] = {
    "ramda": lambda psi: ramda(psi, lr=0.1, averaging=0.3),
    "rmda": lambda psi: rmda(psi, lr=0.5, averaging=0.3),
    "proxsgd": lambda psi: proxsgd(psi, lr=0.2),
    "proxgen": lambda psi: proxgen(psi, lr=0.2, weight_decay=0.1),
    "proxssi as published": lambda psi: proxssi(psi, lr=0.05, weight_decay=0.1, published=True),
    "averaged proxsgd": lambda psi: replace(proxsgd(psi, lr=0.2), averaging=ConstantAveraging(0.4)),
}
ALL_METHODS = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


@dataclass
class LeastSquares:
    """||A w - b||^2 / 2n for w: (3, 5), of which two columns matter; noise is added to the gradients."""

    noise: float = 0.3
    kind: Any = np

    @property
    def start(self) -> Array:
        return self.kind.asarray(np.random.default_rng(1).standard_normal((3, 5)))

    def exact(self, w: Array) -> Array:
        rng, xp = np.random.default_rng(0), array_namespace(w)
        a, target = rng.standard_normal((60, 15)), np.zeros((3, 5))
        target[:, :2] = 2 * rng.standard_normal((3, 2))
        hessian = xp.asarray(a.T @ a / 60)
        return xp.reshape(hessian @ xp.reshape(w - xp.asarray(target), (-1,)), (3, 5))

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        xp = array_namespace(w)
        return self.exact(w) + self.noise * xp.asarray(rng.standard_normal((3, 5)))


# With psi, and in which lr = 0 means: stay.
STAYING = {name: make for name, make in OPTIMIZERS.items() if name not in ("msgd", "adamw", "ProxSGD as published")}


def seen(monitor: ManifoldMonitor) -> Observation:
    assert monitor.last is not None
    return monitor.last


# --- the run does not depend on it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np, torch], ids=["numpy", "torch"])
@ALL_METHODS
def test_minimize_walks_alike_with_a_monitor(make: Callable[[Regularizer], ProximalMethod], kind: Any) -> None:
    problem, stages = LeastSquares(kind=kind), Stages(milestones=(7, 13))
    alone = minimize(problem, make(COLUMNS), steps=20, stages=stages)
    for every in (1, 3):
        watched = minimize(problem, make(COLUMNS), steps=20, stages=stages, callback=ManifoldMonitor(every))
        assert watched.steps == 20
        np.testing.assert_array_equal(watched.w, alone.w)
        np.testing.assert_array_equal(watched.structured, alone.structured)


@ALL_OPTIMIZERS
def test_between_observations_nothing_is_computed_and_nothing_kept(make: Make) -> None:
    class Counts(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += 1
            return func(*args, **(kwargs or {}))

    calls = []
    for every in (None, 5, 2):
        net = Net()
        optimizer, monitor = make(net.parameters()), ManifoldMonitor(every or 1)
        watch = monitor.attach(optimizer) if every else None
        gradients(net, 0)
        with Counts() as counts:
            for _ in range(3):
                optimizer.step()
        calls.append(counts.calls)
        assert watch is None or (watch.steps == 3 and not watch._before)
    assert calls[0] == calls[1]


def test_a_step_that_is_not_observed_does_not_wait_for_the_device() -> None:
    net = Net().to("meta")
    optimizer = RAMDA(groups(net))
    ManifoldMonitor(100).attach(optimizer)
    for p in net.parameters():
        p.grad = torch.empty_like(p)
    optimizer.step()


def test_it_needs_no_torch() -> None:
    code = "import sys, optkit.monitor; optkit.ManifoldMonitor(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- since and distance -----------------------------------------------------------------------------------------------


def expected(manifolds: dict[int, dict[str, Any]], last: int) -> tuple[int, int]:
    """since and distance at the last of the observed steps, from the manifolds at each of them."""
    steps = sorted(step for step in manifolds if step <= last)
    since = last
    for step in reversed(steps):
        if manifolds[step] != manifolds[last]:
            break
        since = step
    before = manifolds[steps[-2]] if len(steps) > 1 else manifolds[last]
    return since, sum(manifold.distance(before[name]) for name, manifold in manifolds[last].items())


@pytest.mark.parametrize("every", [1, 2, 7])
@ALL_METHODS
def test_arrays_since_and_distance_are_those_of_a_record_of_all_steps(
    make: Callable[[Regularizer], ProximalMethod], every: int
) -> None:
    monitor, record, sinces = ManifoldMonitor(every), dict[int, Any](), set[int]()

    def callback(progress: Progress) -> None:
        assert monitor(progress) is None
        if progress.steps % every:
            assert monitor.last is None or monitor.last.steps == progress.steps // every * every
            return
        record[progress.steps] = {"w": COLUMNS.manifold(progress.solution.point)}
        now = seen(monitor)
        assert (now.steps, dict(now.structure)) == (progress.steps, record[progress.steps])
        assert (now.since, now.distance) == expected(record, progress.steps)
        sinces.add(now.since)

    minimize(LeastSquares(), make(COLUMNS), steps=60, callback=callback)
    assert len(sinces) > 1 and any(step not in sinces for step in record)  # it has changed, and it has stayed


@pytest.mark.parametrize("every", [1, 3])
@ALL_OPTIMIZERS
def test_optimizers_since_and_distance_are_those_of_a_record_of_all_steps(make: Make, every: int) -> None:
    net = Net()
    accepts = "psi" in make([nn.Parameter(torch.ones(()))]).recipe.accepts
    optimizer = make(groups(net) if accepts else net.parameters())
    monitor, record = ManifoldMonitor(every), dict[int, Any]()
    monitor.attach(optimizer)
    for step in range(1, 31):
        train(net, optimizer, 1, first=step)
        if step == 14:
            optimizer.restart(0.5)
        if step % every == 0:
            with structured(net, optimizer):
                named = {"weight": net.weight, "late": net.late} if accepts else {}
                record[step] = {name: PSI.manifold(w.detach()) for name, w in named.items()}
            assert dict(seen(monitor).structure) == record[step] and seen(monitor).steps == step
            assert (seen(monitor).since, seen(monitor).distance) == expected(record, step)


# --- the margin -------------------------------------------------------------------------------------------------------


def by_hand(psi: Any, w: Array, g: Array) -> float:
    """Where w: (m, n) is zero: strength - |g| for l1, strength sqrt(m) - ||g|| for the group lasso on columns."""
    w, g = np.asarray(w), np.asarray(g)
    if isinstance(psi, L1):
        return float((psi.strength - np.abs(g))[w == 0].min(initial=math.inf))
    inside = psi.strength * math.sqrt(w.shape[0]) - np.linalg.norm(g, axis=0)
    return float(inside[~w.any(axis=0)].min(initial=math.inf))


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.3, axes=0)], ids=["l1", "group lasso"])
def test_the_margin_of_arrays_is_that_of_the_formulas(psi: Any) -> None:
    finite = set()
    for name in ("ramda", "rmda", "proxsgd", "averaged proxsgd", "proxgen"):
        monitor, trail = ManifoldMonitor(1), [LeastSquares().start]

        def callback(progress: Progress, name: str = name, monitor: Any = monitor, trail: Any = trail) -> None:
            monitor(progress)
            hat, state, t = progress.solution.point, progress.state, progress.state.t
            if name in ("ramda", "rmda"):
                metric = np.cbrt(state.preconditioner.sum) + 1e-6 if name == "ramda" else math.sqrt(t)
                g = (state.estimator.sum + metric * (hat - trail[0])) / state.estimator.weight
            elif name == "proxgen":
                root = np.sqrt(state.preconditioner.mean / (1 - 0.999**t)) + 1e-8
                g = state.estimator.mean / (1 - 0.9**t) + root / 0.2 * (hat - (1 - 0.2 * 0.1) * trail[-1])
            else:
                g = state.estimator.mean + (hat - trail[-1]) / 0.2
            trail.append(progress.w)
            if t == 1 and name not in ("ramda", "rmda"):
                assert seen(monitor).margin is None  # W_0 is not seen
                return
            assert seen(monitor).margin == pytest.approx(by_hand(psi, hat, g), rel=1e-9, abs=1e-12)
            if math.isfinite(seen(monitor).margin or math.inf):
                finite.add(name)

        minimize(LeastSquares(), METHODS[name](psi), steps=40, callback=callback)
    assert len(finite) == 5


@pytest.mark.parametrize("make", [METHODS["ramda"], METHODS["rmda"]], ids=["ramda", "rmda"])
def test_in_dual_averaging_it_tends_to_the_margin_of_the_solution(make: Any) -> None:
    problem, psi, monitor = LeastSquares(noise=0.0), GroupLasso(0.3, axes=0), ManifoldMonitor(4000)
    solution = minimize(problem, proxsgd(psi, lr=0.2, momentum=1.0), steps=2000).structured
    margin = by_hand(psi, solution, problem.exact(solution))
    minimize(problem, make(psi), steps=4000, callback=monitor)
    assert 0.05 < margin < math.inf and seen(monitor).structure["w"] == psi.manifold(solution)
    assert seen(monitor).margin == pytest.approx(margin, abs=0.01)


@pytest.mark.parametrize("psi", [L1(0.3), GroupLasso(0.3, axes=0)], ids=["l1", "group lasso"])
@pytest.mark.parametrize("name", ["RAMDA", "RMDA", "ProxSGD", "averaged proxsgd"])
def test_the_margin_of_optimizers_is_that_of_the_formulas(name: str, psi: Any) -> None:
    net = Net()
    optimizer, monitor = OPTIMIZERS[name](groups(net, psi)), ManifoldMonitor(1)
    monitor.attach(optimizer)
    start, margins = {"weight": net.weight.detach().clone(), "late": net.late.detach().clone()}, []
    for k in range(20):
        before = {name: getattr(net, name).detach().clone() for name in start}
        train(net, optimizer, 1, first=k)
        each = []
        with structured(net, optimizer):
            hats = {name: getattr(net, name).detach().clone() for name in start}
        for key, hat in hats.items():
            state = optimizer.state[getattr(net, key)]
            if name in ("RAMDA", "RMDA"):
                metric = state["preconditioner.sum"] ** (1 / 3) + 1e-3 if name == "RAMDA" else math.sqrt(state["t"])
                g = (state["estimator.sum"] + metric * (hat - start[key])) / state["estimator.weight"]
            else:
                g = state["estimator.mean"] + (hat - before[key]) / 0.1
            each.append(by_hand(psi, hat, g))
        assert seen(monitor).margin == pytest.approx(min(each), rel=1e-3, abs=1e-5)
        margins.append(min(each))
    assert any(map(math.isfinite, margins))


@ALL_METHODS
def test_the_margin_does_not_depend_on_how_often_it_is_seen(make: Callable[[Regularizer], ProximalMethod]) -> None:
    often, rarely = ManifoldMonitor(1), ManifoldMonitor(3)

    def callback(progress: Progress) -> None:
        often(progress)
        rarely(progress)
        assert progress.steps % 3 or (seen(rarely).margin is not None and seen(rarely).margin == seen(often).margin)

    minimize(LeastSquares(), make(COLUMNS), steps=15, callback=callback, stages=Stages(milestones=(5, 11)))


@pytest.mark.parametrize("name", ["RAMDA", "ProxSGD", "ProxGen", "ProxSSI as published", "averaged proxsgd"])
def test_the_margin_of_an_optimizer_does_not_depend_on_how_often_it_is_seen(name: str) -> None:
    net = Net()
    optimizer, often, rarely = OPTIMIZERS[name](groups(net)), ManifoldMonitor(1), ManifoldMonitor(3)
    for monitor in (often, rarely):
        monitor.attach(optimizer)
    for k in range(4):
        train(net, optimizer, 3, first=3 * k)
        assert seen(rarely).margin is not None and seen(rarely).margin == seen(often).margin


def test_multiples_and_views_have_their_margin_and_the_least_counts() -> None:
    factors = np.array([[1.0, 2.0, 0.0, 1.0, 3.0, 1.0]])
    single = {}
    parts = {"scaled": Scaled(PSI, factors), "view": OnView(NuclearNorm(0.5), axes=(1, 0)), "free": Zero()}
    for names in ([name] for name in parts):
        single[names[0]] = margin_of({name: parts[name] for name in names})
    assert 0 <= single["scaled"] < math.inf and 0 <= single["view"] < math.inf and single["free"] == math.inf
    assert margin_of(parts) == min(single.values())


def margin_of(parts: dict[str, Regularizer]) -> Any:
    """After ten steps of RAMDA on one matrix for each regularizer."""
    torch.manual_seed(0)
    weights = {name: nn.Parameter(torch.ones(4, 6)) for name in parts}
    groups = [{"params": [(name, w)], "regularizer": parts[name]} for name, w in weights.items()]
    optimizer, monitor = RAMDA(groups, lr=0.1), ManifoldMonitor(10)
    monitor.attach(optimizer)
    for k in range(10):
        for w in weights.values():
            w.grad = 0.5 * torch.randn(4, 6, generator=torch.Generator().manual_seed(k))
        optimizer.step()
    return seen(monitor).margin


@dataclass(frozen=True)
class Bare(GroupLasso):
    """A regularizer that defines no margin."""

    block_margins = Regularizer.block_margins


def test_there_may_be_no_margin() -> None:
    monitor = ManifoldMonitor(5)
    minimize(LeastSquares(), ramda(Bare(0.05, axes=0)), steps=5, callback=monitor)
    assert seen(monitor).margin is None
    unwanted = ManifoldMonitor(5, margin=False)
    minimize(LeastSquares(), ramda(COLUMNS), steps=5, callback=unwanted)
    assert seen(unwanted).margin is None and "margin" not in str(unwanted)


@pytest.mark.parametrize("make", STAYING.values(), ids=STAYING)
def test_lr_0_has_no_margin(make: Make) -> None:
    net, monitor = Net(), ManifoldMonitor(1)
    optimizer = make([{**group, "lr": 0.0} for group in groups(net)])
    monitor.attach(optimizer)
    train(net, optimizer, 2)
    assert (seen(monitor).margin, seen(monitor).distance) == (None, 0)


@pytest.mark.parametrize("make", [METHODS["ramda"], METHODS["proxsgd"]], ids=["ramda", "proxsgd"])
def test_arrays_under_lr_0_have_no_margin(make: Any) -> None:
    monitor = ManifoldMonitor(1)
    minimize(LeastSquares(), replace(make(COLUMNS), lr=0.0), steps=3, callback=monitor)
    assert seen(monitor).margin is None


@pytest.mark.parametrize("name", ["RAMDA", "ProxSGD", "ProxSSI as published", "averaged proxsgd"])
def test_half_precision_is_observed(name: str) -> None:
    net = Net(dtype=torch.bfloat16)
    optimizer, monitor = OPTIMIZERS[name](groups(net)), ManifoldMonitor(4)
    monitor.attach(optimizer)
    train(net, optimizer, 20)
    assert dict(seen(monitor).structure) == dict(optimizer.structure())
    assert seen(monitor).margin is not None and -1e-3 < (seen(monitor).margin or 0.0)


# --- restarts, parameters without a step, skipped steps ---------------------------------------------------------------


def test_a_parameter_without_a_step_has_its_own_manifold_and_no_margin() -> None:
    net = Net()
    optimizer, monitor = RAMDA([{"params": [("late", net.late)], "regularizer": PSI}]), ManifoldMonitor(1)
    monitor.attach(optimizer)
    with torch.no_grad():
        net.late[:, 2] = 0.0
    optimizer.step()
    assert dict(seen(monitor).structure) == {"late": PSI.manifold(net.late.detach())}
    assert str(seen(monitor).structure["late"]) == "1 of 6 groups zero" and seen(monitor).margin is None


@pytest.mark.parametrize("name", ["RAMDA", "ProxSGD"])
def test_a_parameter_frozen_over_a_restart_keeps_its_manifold(name: str) -> None:
    net = Net()
    optimizer, monitor = OPTIMIZERS[name](groups(net)), ManifoldMonitor(1)
    monitor.attach(optimizer)
    train(net, optimizer, 10)
    frozen = seen(monitor).structure["weight"]
    optimizer.restart()
    for k in (10, 11):
        gradients(net, k)
        net.weight.grad = net.late.grad = None
        optimizer.step()
        assert seen(monitor).structure["weight"] == frozen
        assert (seen(monitor).margin is None) == (name == "ProxSGD")  # its W_{t-1} is long gone
    train(net, optimizer, 1, first=12)
    assert seen(monitor).margin is not None


@pytest.mark.parametrize("name", ["RAMDA", "ProxSGD"])
def test_a_skipped_step_counts_and_is_observed(name: str) -> None:
    net = Net()
    optimizer, monitor = OPTIMIZERS[name](groups(net), nonfinite="skip"), ManifoldMonitor(1)
    monitor.attach(optimizer)
    train(net, optimizer, 10)
    before = seen(monitor)
    gradients(net, 10)
    net.bias.grad = torch.full((4,), torch.nan)
    optimizer.step()
    assert (seen(monitor).steps, seen(monitor).distance) == (11, 0)
    assert seen(monitor).structure == before.structure and seen(monitor).since == before.since
    assert seen(monitor).margin == (before.margin if name == "RAMDA" else None)


def test_a_refused_step_does_not_count() -> None:
    net = Net()
    optimizer, monitor = OPTIMIZERS["ProxSGD"](groups(net)), ManifoldMonitor(2)
    watch = monitor.attach(optimizer)
    train(net, optimizer, 1)
    net.bias.grad = torch.full((4,), torch.nan)
    with pytest.raises(ValueError, match="bias"):
        optimizer.step()
    assert watch.steps == 1 and monitor.last is None
    train(net, optimizer, 1)
    assert seen(monitor).steps == 2


# --- what it is attached to -------------------------------------------------------------------------------------------


class Wrapper:
    """As frameworks wrap an optimizer."""

    def __init__(self, optimizer: MethodOptimizer) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        self.optimizer.step()


def test_it_sees_through_a_wrapper() -> None:
    net = Net()
    wrapped, monitor = Wrapper(RAMDA(groups(net))), ManifoldMonitor(2)
    monitor.attach(wrapped)
    gradients(net, 0)
    wrapped.step()
    wrapped.step()
    assert seen(monitor).steps == 2


def test_it_ends_with_remove_and_with_the_block() -> None:
    net = Net()
    optimizer, monitor = RAMDA(groups(net)), ManifoldMonitor(1)
    with monitor.attach(optimizer):
        train(net, optimizer, 3)
    train(net, optimizer, 3)
    assert seen(monitor).steps == 3
    watch = monitor.attach(optimizer)
    assert monitor.last is None
    train(net, optimizer, 2)
    watch.remove()
    watch.remove()
    train(net, optimizer, 1)
    assert seen(monitor).steps == 2 and not optimizer._optimizer_step_post_hooks  # type: ignore[attr-defined]


def test_a_second_attach_ends_the_first_and_begins_anew() -> None:
    (one, first), (two, second) = [(net, RAMDA(groups(net))) for net in (Net(), Net(seed=1))]
    monitor, other = ManifoldMonitor(1), ManifoldMonitor(1)
    monitor.attach(first)
    other.attach(first)
    train(one, first, 3)
    monitor.attach(second)
    train(one, first, 2)
    assert monitor.last is None and seen(other).steps == 5
    train(two, second, 1)
    assert (seen(monitor).steps, seen(monitor).since) == (1, 1)
    with pytest.raises(TypeError):
        monitor.attach(Net())
    train(two, second, 1)
    assert seen(monitor).steps == 2  # an attach that is refused ends nothing


def test_copies_of_an_optimizer_are_not_watched() -> None:
    net = Net()
    optimizer, monitor = RAMDA(groups(net)), ManifoldMonitor(1)
    monitor.attach(optimizer)
    train(net, optimizer, 2)
    twin, copied = copy.deepcopy((net, optimizer))
    train(twin, copied, 2)
    assert seen(monitor).steps == 2
    train(net, optimizer, 1)
    assert seen(monitor).steps == 3


def test_another_run_begins_a_new_record() -> None:
    monitor = ManifoldMonitor(10)
    for _ in range(2):
        minimize(LeastSquares(), METHODS["rmda"](COLUMNS), steps=60, callback=monitor)
        first = seen(monitor)
    assert first.steps == 60 and first.since > 10
    minimize(LeastSquares(), METHODS["rmda"](COLUMNS), steps=10, callback=monitor)
    assert (seen(monitor).since, seen(monitor).distance) == (10, 0)


def test_other_arrays_begin_a_new_record() -> None:
    looks = {
        "one": {"w": Look(L1(1.0).manifold(np.ones(4)), None)},
        "other name": {"v": Look(L1(1.0).manifold(np.zeros(4)), 1.0)},
        "more": {"v": Look(L1(1.0).manifold(np.ones(4)), 2.0), "w": Look(L1(1.0).manifold(np.zeros(4)), None)},
        "other shape": {"v": Look(L1(1.0).manifold(np.zeros(3)), 2.0), "w": Look(L1(1.0).manifold(np.zeros(4)), 1.0)},
        "other kind": {"v": Look(NuclearNorm(1.0).manifold(np.ones((2, 2))), None)},
    }
    monitor = ManifoldMonitor()
    for steps, some in enumerate(looks.values(), 1):
        monitor.record(steps, some)
        assert (seen(monitor).since, seen(monitor).distance) == (steps, 0)
    net = Net()
    optimizer, monitor = RAMDA(groups(net)[1:]), ManifoldMonitor(1)
    monitor.attach(optimizer)
    train(net, optimizer, 2)
    assert (dict(seen(monitor).structure), seen(monitor).since, seen(monitor).margin) == ({}, 1, None)
    optimizer.add_param_group({"params": [("weight", net.weight)], "regularizer": PSI})
    train(net, optimizer, 1)
    assert (list(seen(monitor).structure), seen(monitor).since) == (["weight"], 3)


# --- words ------------------------------------------------------------------------------------------------------------


def test_an_observation_is_printed() -> None:
    structure = Structure({"w": L1(1.0).manifold(np.array([0.0, 1.0]))})
    table = "w  1 of 2 entries zero\nweighted group sparsity: 50.0 %"
    assert str(ManifoldMonitor(7)) == "nothing observed yet, every is 7"
    assert str(Observation(100, structure, 100, 0, 0.125)) == f"step 100: first seen, margin 0.125\n{table}"
    assert (
        str(Observation(300, structure, 100, 0, math.inf)) == f"step 300: the same since step 100, margin inf\n{table}"
    )
    assert str(Observation(300, structure, 300, 6, None)) == f"step 300: 6 entries changed\n{table}"
    assert str(Observation(300, Structure({}), 300, 0, None)) == "step 300: first seen"
    monitor = ManifoldMonitor(5)
    minimize(LeastSquares(), ramda(COLUMNS), steps=5, callback=monitor)
    assert str(monitor) == str(monitor.last)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"every": 0}, ValueError, "every must be an integer >= 1, got 0"),
        ({"every": -3}, ValueError, "every must be an integer >= 1, got -3"),
        ({"every": 2.0}, TypeError, "every must be an integer >= 1, got 2.0"),
        ({"every": True}, TypeError, "every must be an integer >= 1, got True"),
        ({"every": "all"}, TypeError, "every must be an integer >= 1, got 'all'"),
        ({"margin": 1}, TypeError, "margin must be True or False, got 1"),
        ({"margin": None}, TypeError, "margin must be True or False, got None"),
    ],
)
def test_other_values_are_refused(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        ManifoldMonitor(**options)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (lambda: torch.optim.AdamW(Net().parameters()), "AdamW"),
        (lambda: Wrapper(torch.optim.AdamW(Net().parameters())), "Wrapper"),  # type: ignore[arg-type]
        (lambda: RAMDA, "the class RAMDA"),
        (lambda: ramda(), "ProximalMethod"),
        (lambda: None, "NoneType"),
    ],
)
def test_other_optimizers_are_refused(given: Callable[[], Any], name: str) -> None:
    words = f"a monitor attaches to an optimizer of optkit.torch, got {name}; give one, for example RAMDA("
    with pytest.raises(TypeError, match=re.escape(words)):
        ManifoldMonitor().attach(given())


def test_it_is_called_with_progress_only() -> None:
    with pytest.raises(
        TypeError, match=r"progress must be a Progress, got 3 of type int; pass the monitor to minimize"
    ):
        ManifoldMonitor()(3)  # type: ignore[arg-type]


def test_the_readme_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    whole = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "StageScheduler" in block)
    code, printed = re.findall(
        r"```py\n(from optkit import ManifoldMonitor.*?)```\n\n```text\n(.*?)```", readme, re.DOTALL
    )[0]
    training, _ = whole.split("for epoch in range(300):", 1)
    loop = whole[len(training) : whole.index("with structured")]
    attach, show = code.split("...  # train\n")
    exec(compile(training + attach + loop + show, "README.md", "exec"), {})
    margin = re.compile(r"(?<=margin )\S+")  # of a float32 run: its last digits are those of the machine
    shown = capsys.readouterr().out
    assert margin.sub("", shown) == margin.sub("", printed)
    mine, theirs = (float(margin.findall(text)[0]) for text in (shown, printed))
    assert mine == pytest.approx(theirs, rel=0.02)
