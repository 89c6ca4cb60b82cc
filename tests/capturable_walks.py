"""Walks of capturable optimizers, collected by test_torch_capturable.py in a process of their own.

With TRITON_INTERPRET=1, which must be set before triton is first imported, they run on tensors in main memory, and what
a graph would replay is called again with the same objects. On a GPU there are graphs.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from optkit.algorithms import Stages, ramda
from optkit.core import ConvergenceWarning, Weighting
from optkit.kernels.cuda import Triton, sizes
from optkit.kernels.cuda.kernel import interpreted
from optkit.kernels.cuda.tables import form
from optkit.monitor import ManifoldMonitor
from optkit.regularizers import L1, GroupLasso, NuclearNorm
from optkit.solvers import ProximalGradient, SubgradientNorm
from optkit.torch import (
    RAMDA,
    RMDA,
    MethodOptimizer,
    ProxGen,
    ProxSGD,
    ProxSSI,
    StageScheduler,
    graphs,
    regularize,
    structured,
)
from optkit.torch.graphs import DeviceSteps

from .test_torch_waiting import Asking

INTERPRETED = interpreted()
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter's numpy, for denormal numbers
needs_gpu = pytest.mark.skipif(INTERPRETED, reason="it needs a CUDA device: it captures a graph")
Make = Callable[..., MethodOptimizer]
OPTIMIZERS: dict[str, Make] = {
    "RAMDA": lambda params, **given: RAMDA(params, lr=0.1, averaging=0.3, epsilon=1e-2, **given),
    "RMDA": lambda params, **given: RMDA(params, lr=0.1, averaging=0.3, **given),
    "ProxGen": lambda params, **given: ProxGen(params, lr=0.03, weight_decay=0.1, amsgrad=True, **given),
    "ProxSGD": lambda params, **given: ProxSGD(params, lr=0.03, maximize=True, **given),
}
EACH = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
REFERENCE: dict[str, Any] = {"kernel": "reference"}
CAPTURABLE: dict[str, Any] = {"capturable": True}


class Run:
    """An optimizer with a group of each kind: groups, entries, and nothing regularized."""

    def __init__(self, make: Make, dtype: torch.dtype = torch.float64, **given: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        shapes = {"a": (5, 4), "b": (3, 2), "c": (6,)}
        self.named = {
            name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(DEVICE, dtype))
            for name, shape in shapes.items()
        }
        psis = GroupLasso(1.0, axes=0), L1(0.3), None
        groups = [{"params": [pair], "regularizer": psi} for pair, psi in zip(self.named.items(), psis, strict=True)]
        self.optimizer = make(groups, **given)

    def gradients(self, k: int, without: str = "", bad: str = "") -> None:
        """Those of step k, in the arrays of the earlier ones where there are any."""
        generator = torch.Generator().manual_seed(k)
        for name, p in self.named.items():
            values = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
            if name == bad:
                values.view(-1)[0] = torch.nan
            if name == without:
                p.grad = None
            elif p.grad is None:
                p.grad = values
            else:
                p.grad.copy_(values)

    def step(self, k: int, **given: str) -> None:
        self.gradients(k, **given)
        self.optimizer.step()

    def steps(self) -> DeviceSteps:
        steps = self.optimizer._steps
        assert isinstance(steps, DeviceSteps)
        return steps

    def replay(self) -> Callable[[], None]:
        """What a graph would do if it held the last step."""
        if not INTERPRETED:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.optimizer.step()
            return graph.replay
        steps, parameters = self.steps(), list(self.named.values())
        tasks = steps._tasks(self.optimizer, parameters)
        steps.captured = steps._constants(self.optimizer)
        return lambda: no_grad(lambda: steps.take(tasks, tuple(range(len(tasks)))))

    def values(self) -> list[Tensor]:
        """Copies of all weights and of all that is in the state, without asking how steps went."""
        states = [self.optimizer.state.get(p, {}) for p in self.named.values()]
        numbers = [torch.as_tensor(v, dtype=torch.float64) for s in states for v in s.values() if v is not None]
        return [value.detach().cpu().clone() for value in [*self.named.values(), *numbers]]


@torch.no_grad()
def no_grad(call: Callable[[], Any]) -> None:
    call()


def same(one: Run, other: Run) -> None:
    """The same weights, What_t, structure, certificate and state."""
    for (name, p), q in zip(one.named.items(), other.named.values(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-10)
        mine, theirs = ({**run.optimizer.state_dict()["state"]} for run in (one, other))
        assert mine.keys() == theirs.keys()
        for i in mine:
            assert type(mine[i]["t"]) is int and mine[i]["t"] == theirs[i]["t"], name
            for key in mine[i].keys() & theirs[i].keys():
                torch.testing.assert_close(mine[i][key], theirs[i][key], rtol=1e-10, atol=1e-10, msg=key)
    for (_, p, group), (_, q, twin) in zip(one.optimizer.regularized(), other.optimizer.regularized(), strict=True):
        ours, hats = one.optimizer.structured_value(p, group), other.optimizer.structured_value(q, twin)
        torch.testing.assert_close(ours, hats, rtol=1e-10, atol=1e-10)
    assert str(one.optimizer.structure()) == str(other.optimizer.structure())
    mine, theirs = one.optimizer.certificate(), other.optimizer.certificate()
    assert mine.residual == pytest.approx(theirs.residual, abs=1e-9) and mine.uncertified == theirs.uncertified


def change(optimizer: MethodOptimizer, k: int) -> None:
    """Another lr and two restarts on the way, and another ramp."""
    if k == 4:
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    averages = "averaging" in optimizer.defaults
    if k in (6, 10):
        optimizer.restart(0.5, ramp=averages and k == 6)
    if k == 8 and averages:
        optimizer.ramp()


@EACH
def test_steps_are_those_of_the_reference(make: Make) -> None:
    run, reference = Run(make, capturable=True), Run(make, **REFERENCE)
    for k in range(12):
        for one in (run, reference):
            change(one.optimizer, k)
            one.step(k, without="b" if k in (3, 10) else "")
        if k in (0, 6, 11):
            same(run, reference)
    assert run.optimizer.state[run.named["a"]]["t"].device.type == DEVICE


@EACH
def test_what_a_graph_replays_goes_on_with_everything_that_changes(make: Make) -> None:
    run, reference = Run(make, capturable=True), Run(make, **REFERENCE)
    for k in range(3):
        run.step(k)
        reference.step(k)
    saved = copy.deepcopy(reference.optimizer.state_dict())
    replay = run.replay()
    for k in range(3, 12):
        for one in (run, reference):
            change(one.optimizer, k)
            if k == 7:
                one.optimizer.load_state_dict(copy.deepcopy(saved))
        run.gradients(k)
        run.optimizer.before_replay()
        replay()
        reference.step(k)
        if k in (3, 6, 7, 11):
            same(run, reference)


def test_a_graph_without_changes_needs_no_word_between_replays() -> None:
    run, reference = Run(OPTIMIZERS["RAMDA"], capturable=True), Run(OPTIMIZERS["RAMDA"], **REFERENCE)
    run.step(0)
    reference.step(0)
    replay = run.replay()
    for k in range(1, 4):
        run.gradients(k)
        replay()
        reference.step(k)
    same(run, reference)
    assert run.optimizer.state_dict()["state"][0]["t"] == 4


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts what would wait for a GPU, but for what the interpreter does, and for tables on their way there."""
    from optkit.kernels.cuda import launches

    for module, name in ((launches, "steps"), (launches, "largest"), (torch, "from_numpy")):
        call = getattr(module, name)

        def unseen(*args: Any, call: Any = call) -> Any:
            with _disable_current_modes():
                return call(*args)

        monkeypatch.setattr(module, name, unseen)
    with Asking() as asking:
        yield asking


@EACH
def test_a_step_asks_for_no_number(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even at the first one, or where lr changed or a restart begins."""
    run = Run(make, capturable=True)
    for k in range(3):
        run.gradients(k)
        if k == 2:
            run.optimizer.restart()
            run.optimizer.param_groups[0]["lr"] *= 0.5
        with monkeypatch.context() as patch, watched(patch) as asking:
            run.optimizer.step()
            run.optimizer.before_replay()
        assert asking.count == 0


def test_the_watch_sees_a_step_of_the_host_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(OPTIMIZERS["RAMDA"], **REFERENCE)
    run.gradients(0)
    with watched(monkeypatch) as asking:
        run.optimizer.step()
    assert asking.count


@pytest.mark.parametrize("there", [False, True], ids=["from capturable", "to capturable"])
def test_checkpoints_go_both_ways(there: bool) -> None:
    make = OPTIMIZERS["RAMDA"]
    first, second = (REFERENCE, CAPTURABLE) if there else (CAPTURABLE, REFERENCE)
    run, reference, other = Run(make, **first), Run(make, **REFERENCE), Run(make, **second)
    for k in range(6):
        if k == 3:
            file = io.BytesIO()
            torch.save(run.optimizer.state_dict(), file)
            file.seek(0)
            other.step(100)
            other.optimizer.load_state_dict(torch.load(file))
            for p, q in zip(run.named.values(), other.named.values(), strict=True):
                q.data.copy_(p.detach())
            run = other
        for one in (run, reference):
            one.step(k)
    same(run, reference)


def test_a_copy_walks_on_alike_and_apart() -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.step(0)
    twin = copy.deepcopy(run)
    before = twin.values()
    run.step(1)
    assert all(map(torch.equal, before, twin.values()))
    twin.step(1)
    same(run, twin)


@pytest.mark.parametrize("ask", [lambda o: o.state_dict(), lambda o: o.structure(), lambda o: o.step()])
def test_from_a_bad_gradient_on_nothing_changes_and_the_error_comes_later(ask: Callable[[Any], Any]) -> None:
    run, reference = Run(OPTIMIZERS["RAMDA"], capturable=True), Run(OPTIMIZERS["RAMDA"], **REFERENCE)
    run.step(0)
    reference.step(0)
    replay, before = run.replay(), run.values()
    for k in (1, 2, 3):
        run.gradients(k, bad="b" if k == 1 else "a" if k == 3 else "")
        replay()
        assert all(map(torch.equal, before, run.values()))
    if not INTERPRETED:
        torch.cuda.synchronize()
    with pytest.raises(ValueError, match=r"gradient of b \(shape \(3, 2\)\) held NaN .* 3 steps ago; since then noth"):
        ask(run.optimizer)
    assert all(map(torch.equal, before, run.values()))
    for one in (run, reference):
        one.step(5)
    same(run, reference)


def test_a_bad_gradient_is_skipped_alone() -> None:
    given: dict[str, Any] = {"nonfinite": "skip"}
    run = Run(OPTIMIZERS["ProxGen"], capturable=True, **given)
    reference = Run(OPTIMIZERS["ProxGen"], **{**REFERENCE, **given})
    for k in range(6):
        for one in (run, reference):
            one.step(k, bad={1: "a", 2: "b", 4: "c"}.get(k, ""))
    same(run, reference)
    assert run.optimizer.skipped == reference.optimizer.skipped == 3
    assert run.optimizer.state_dict()["optkit"]["skipped"] == 3


def test_what_could_overflow_is_lost_in_float32_and_taken_in_float64() -> None:
    single, double = (Run(OPTIMIZERS["RAMDA"], dtype, capturable=True) for dtype in (torch.float32, torch.float64))
    for run in (single, double):
        run.gradients(0)
        run.named["a"].grad = torch.full_like(run.named["a"], 1e25)
        run.optimizer.step()
    assert double.optimizer.state_dict()["state"][0]["t"] == 1
    with pytest.raises(ValueError, match="its step overflowed, 1 steps ago"):
        single.optimizer.state_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_walk_as_the_same_kernel_does(dtype: torch.dtype) -> None:
    run = Run(OPTIMIZERS["RAMDA"], dtype, capturable=True)
    other = Run(OPTIMIZERS["RAMDA"], dtype, kernel="triton")
    for k in range(3):
        for one in (run, other):
            one.step(k)
    for p, q in zip(run.named.values(), other.named.values(), strict=True):
        torch.testing.assert_close(p, q)


def test_proxssi_walks_as_its_published_solver() -> None:
    """Which stops at a tolerance."""
    ws = [nn.Parameter(torch.linspace(-1, 1, 20, dtype=torch.float64, device=DEVICE).view(5, 4)) for _ in range(2)]
    for w, given in zip(ws, (CAPTURABLE, REFERENCE), strict=True):
        optimizer = ProxSSI([w], lr=0.03, regularizer=GroupLasso(0.3, axes=0), **given)
        for k in range(5):
            w.grad = torch.cos(k + torch.arange(20, dtype=torch.float64, device=DEVICE)).view(5, 4)
            optimizer.step()
    torch.testing.assert_close(*ws, rtol=1e-6, atol=1e-6)


def test_groups_larger_than_a_tile_keep_their_theta(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ON_CHIP": 4, "STREAM": 8, "SEGMENT": 1}.items():
        monkeypatch.setattr(sizes, name, value)
    form.cache_clear()
    run, reference = Run(OPTIMIZERS["RAMDA"], capturable=True), Run(OPTIMIZERS["RAMDA"], **REFERENCE)
    run.step(0)
    reference.step(0)
    theta, replay = run.optimizer.state[run.named["a"]]["theta"], run.replay()
    for k in range(1, 5):
        for one in (run, reference):
            if k == 3:
                one.optimizer.restart()
        run.gradients(k)
        run.optimizer.before_replay()
        assert bool(theta.any()) == (k != 3)
        replay()
        reference.step(k)
    same(run, reference)
    assert run.optimizer.state[run.named["a"]]["theta"] is theta
    form.cache_clear()


def test_solves_that_do_not_converge_are_counted_where_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "LIMIT", 0)
    run, other = Run(OPTIMIZERS["ProxGen"], capturable=True), Run(OPTIMIZERS["ProxGen"], kernel="triton")
    with pytest.warns(ConvergenceWarning, match="^step 1: "):
        for k in range(3):
            run.step(k)
            other.step(k)
    with pytest.warns(ConvergenceWarning, match="^one of the last steps: .* residual"):
        mine, theirs = run.optimizer.certificate(), other.optimizer.certificate()
    assert 1 <= mine.uncertified == theirs.uncertified <= 3
    assert mine.residual == pytest.approx(theirs.residual, rel=1e-10) and theirs.residual


@pytest.mark.parametrize("name", ["RAMDA", "ProxGen"])
def test_structured_stages_and_a_monitor_work_as_ever(name: str) -> None:
    seen = []
    for given in (CAPTURABLE, REFERENCE):
        run = Run(OPTIMIZERS[name], **given)
        model, monitor, observed = nn.ParameterDict(run.named), ManifoldMonitor(every=2), []
        stages = StageScheduler(run.optimizer, Stages(milestones=(2, 4), lr_factor=0.1))
        with monitor.attach(run.optimizer):
            for k in range(5):
                run.step(k)
                stages.step()
                observed.append(str(monitor))
        with structured(model, run.optimizer):
            hats = [p.detach().clone() for p in run.named.values()]
        seen.append((run, hats, observed))
    (run, ours, mine), (reference, theirs, others) = seen
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert mine == others
    same(run, reference)


def test_a_group_may_be_added_until_a_graph_holds_the_steps() -> None:
    run, reference = Run(OPTIMIZERS["RAMDA"], capturable=True), Run(OPTIMIZERS["RAMDA"], **REFERENCE)
    for one in (run, reference):
        one.step(0)
        one.named["d"] = nn.Parameter(torch.ones(4, dtype=torch.float64, device=DEVICE))
        one.optimizer.add_param_group({"params": [("d", one.named["d"])], "regularizer": L1(0.1)})
        one.step(1)
        one.step(2)
    same(run, reference)
    run.replay()
    with pytest.raises(ValueError, match="a CUDA graph holds the steps of this optimizer; add all groups before"):
        run.optimizer.add_param_group({"params": [("e", nn.Parameter(torch.ones(2, device=DEVICE)))]})
    assert len(run.optimizer.param_groups) == 4


def odd(psi: Any = None, lr: float = 0.1) -> Any:
    """RAMDA with a schedule of its own."""

    class Odd(Weighting):
        def gain(self, lr: float, t: int) -> float:
            return lr

    return replace(ramda(psi, lr) if psi else ramda(lr=lr), weighting=Odd())


PARAMETER = [("weight", nn.Parameter(torch.ones(4, 3, device=DEVICE)))]
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "solver": (
        lambda: RAMDA(PARAMETER, regularizer=GroupLasso(0.1, axes=0), solver=ProximalGradient(), capturable=True),
        r"the kernel 'triton', .* of weight \(shape \(4, 3\).*does not imitate ProximalGradient.*capturable=False",
    ),
    "stopping": (
        lambda: RAMDA(PARAMETER, regularizer=GroupLasso(0.1, axes=0), stopping=SubgradientNorm(1e-6), capturable=True),
        "takes no stopping rule.*capturable=False",
    ),
    "regularizer": (
        lambda: RAMDA(PARAMETER, regularizer=NuclearNorm(0.1), solver=ProximalGradient(), capturable=True),
        "knows no NuclearNorm.*capturable=False",
    ),
    "schedule": (lambda: MethodOptimizer(PARAMETER, odd, capturable=True), "knows no Odd"),
    "elsewhere": (
        lambda: RAMDA([torch.ones(3, device="meta", requires_grad=True)], capturable=True),
        "parameter 0 of the group .* on meta.*capturable=False",
    ),
    "lr on a device": (
        lambda: RAMDA(PARAMETER, lr=torch.ones((), device="meta"), capturable=True),  # type: ignore[arg-type]
        "needs a number as lr, got a tensor on meta",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_graph_can_hold_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_solver_that_comes_later_is_refused_before_anything_changes() -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.step(0)
    run.optimizer.restart()
    before = run.values()
    run.optimizer.param_groups[0]["solver"] = {"name": "ProximalGradient"}
    run.gradients(1)
    with pytest.raises(ValueError, match=r"steps of a \(shape \(5, 4\).*does not imitate ProximalGradient"):
        run.optimizer.step()
    assert all(map(torch.equal, before, run.values()))
    run.optimizer.param_groups[0]["solver"] = None
    run.optimizer.step()
    assert run.optimizer.state_dict()["state"][0]["t"] == 1


def test_a_graph_does_not_take_up_another_regularizer() -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.step(0)
    run.replay()
    run.optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(ValueError, match="maximize of a group changed since the capture; capture the step again"):
        run.optimizer.before_replay()
    run.step(1)
    run.replay()
    run.optimizer.before_replay()


def test_a_sparse_gradient_is_refused_by_name() -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.gradients(0)
    run.named["c"].grad = torch.ones(6, dtype=torch.float64, device=DEVICE).to_sparse()
    with pytest.raises(ValueError, match="gradient of c is sparse"):
        run.optimizer.step()
    assert not run.optimizer.state


@pytest.mark.parametrize("held", [False, True], ids=["failed", "done"])
def test_only_a_capture_that_came_to_its_end_holds_the_steps(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.step(0)
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "capturing", lambda device: True)
        if held:
            run.optimizer.step()
        else:
            patch.setattr(Triton, "step_on", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run.optimizer.step()
    group = {"params": [("d", nn.Parameter(torch.ones(2, device=DEVICE)))]}
    if held:
        with pytest.raises(ValueError, match="a CUDA graph holds the steps"):
            run.optimizer.add_param_group(group)
    else:
        run.optimizer.add_param_group(group)
    assert len(run.optimizer.param_groups) == 3 + (not held)


def test_a_capture_after_a_lost_step_is_refused_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever asks afterwards is told of the step as ever."""
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.step(0)
    run.step(1, bad="a")
    before = run.values()
    with monkeypatch.context() as patch, Asking() as asking:
        patch.setattr(graphs, "capturing", lambda device: True)
        with pytest.raises(ValueError, match=r"a step before this capture was lost.*before_replay\(\) says why"):
            run.optimizer.step()
    assert asking.count == 0 and all(map(torch.equal, before, run.values()))
    with pytest.raises(ValueError, match="gradient of a .* held NaN"):
        run.optimizer.before_replay()


@needs_gpu
def test_a_capture_comes_after_the_first_steps_and_after_every_change() -> None:
    run = Run(OPTIMIZERS["RAMDA"], capturable=True)
    run.gradients(0)
    with pytest.raises(ValueError, match="before it take three steps of the same parameters on a side stream"):
        run.replay()
    run.step(0)
    run.optimizer.restart()
    with pytest.raises(ValueError, match=r"call before_replay\(\) after any change"):
        run.replay()
    run.optimizer.before_replay()
    run.replay()()


@needs_gpu
def test_training_in_a_graph_is_training_without() -> None:
    """As the docstring of MethodOptimizer has it: forward, backward and step."""
    weights = []
    for capturable in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 2)).to(DEVICE, torch.float64)
        optimizer = RAMDA(regularize(model, GroupLasso(0.01)), lr=0.1, averaging=0.5, capturable=capturable)
        static, batches = torch.zeros(32, 10, dtype=torch.float64, device=DEVICE), torch.Generator().manual_seed(1)

        def train(model: nn.Module = model, optimizer: Any = optimizer, static: Tensor = static) -> None:
            optimizer.zero_grad(set_to_none=False)
            model(static).square().sum().backward()
            optimizer.step()

        replay: Callable[[], None] = train
        if capturable:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    train()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                train()
            replay = graph.replay
        else:
            for _ in range(3):
                train()
        for k in range(10):
            static.copy_(torch.randn(32, 10, dtype=torch.float64, generator=batches))
            if k == 5:
                optimizer.restart()
                optimizer.param_groups[0]["lr"] = 0.01
            if capturable:
                optimizer.before_replay()
            replay()
        weights.append([p.detach().clone() for p in model.parameters()])
        assert optimizer.state_dict()["state"][0]["t"] == 5
    for p, q in zip(*weights, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


@needs_gpu
@EACH
def test_a_step_on_the_device_waits_for_nothing(make: Make) -> None:
    run = Run(make, capturable=True)
    for k in range(3):
        run.gradients(k)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if k else "default")
        try:
            run.optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
