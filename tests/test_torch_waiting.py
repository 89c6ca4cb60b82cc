"""A step waits for no device: on "meta", where no number is known, and where the host learns later how it went.

The deferred path of CUDA is taken here on the CPU, with outcomes that arrive when the test lets them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from optkit.core import ConvergenceWarning
from optkit.regularizers import L1, GroupLasso, SparseGroupLasso
from optkit.solvers import SecularNewton
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, regularize, structured
from optkit.torch.outcomes import DEFERRED, Outcome
from optkit.torch.stepping import HostSteps

OPTIMIZERS: dict[str, Callable[..., MethodOptimizer]] = {
    "RAMDA": lambda params, **given: RAMDA(params, lr=0.1, averaging=0.1, epsilon=1e-2, **given),
    "RMDA": lambda params, **given: RMDA(params, lr=0.1, averaging=0.1, **given),
    "ProxSGD": ProxSGD,
    "ProxSGD, published": lambda params, **given: ProxSGD(params, published=True, **given),
    "ProxGen": lambda params, **given: ProxGen(params, weight_decay=0.1, amsgrad=True, **given),
}
EACH = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def network(device: str = "cpu") -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, device=device), nn.Flatten(), nn.Linear(16, 3, device=device))


def set_gradients(model: nn.Module, k: int, bad: str = "") -> None:
    generator = torch.Generator().manual_seed(k)
    for name, p in model.named_parameters():
        p.grad = torch.randn(p.shape, generator=generator).to(p.device)
        if name == bad:
            p.grad.view(-1)[0] = torch.nan


class Asking(TorchDispatchMode):
    """Counts the operations that would wait for a GPU, or copy to it, which waits too."""

    count = 0
    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal.default", "lift_fresh")

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += any(name in str(function) for name in self.waiting)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "psi", [GroupLasso(0.05), SparseGroupLasso(0.05), L1(0.05)], ids=lambda psi: type(psi).__name__
)
@EACH
def test_a_step_asks_for_no_number(make: Callable[..., MethodOptimizer], psi: Any) -> None:
    model = network("meta")
    optimizer = make(regularize(model, psi))
    for k in range(3):
        set_gradients(model, k)
        with Asking() as asking:
            optimizer.step()
        assert asking.count == 0
    assert all(optimizer.state[p]["t"] == 3 for p in model.parameters())
    assert isinstance(optimizer._steps, HostSteps) and optimizer._steps.outcomes == []


class Line:
    """Holds outcomes back."""

    open = True


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Line]]:
    """The CPU is a device that tells late: when the line is open."""
    DEFERRED.add("cpu")
    Line.open = True
    monkeypatch.setattr(Outcome, "ready", lambda self: Line.open)
    yield Line
    DEFERRED.remove("cpu")


def snapshot(model: nn.Module, optimizer: MethodOptimizer) -> Any:
    """Everything, without asking how steps went."""
    state = {p: dict(optimizer.state[p]) for p in model.parameters() if p in optimizer.state}
    groups = [{key: value for key, value in g.items() if key != "params"} for g in optimizer.param_groups]
    return copy.deepcopy(([p.detach() for p in model.parameters()], list(state.values()), groups))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@EACH
def test_what_is_learnt_late_walks_as_what_is_known_at_once(
    make: Callable[..., MethodOptimizer], line: type[Line]
) -> None:
    late, known = network(), network()
    late_optimizer, optimizer = make(regularize(late, GroupLasso(0.05))), make(regularize(known, GroupLasso(0.05)))
    for k in range(8):
        line.open = k % 3 == 0
        set_gradients(late, k)
        late_optimizer.step()
        DEFERRED.remove("cpu")
        set_gradients(known, k)
        optimizer.step()
        DEFERRED.add("cpu")
        if k == 4 and "averaging" in optimizer.defaults:
            late_optimizer.restart(0.5, ramp=True)
            optimizer.restart(0.5, ramp=True)
    assert same(snapshot(late, late_optimizer), snapshot(known, optimizer))
    with structured(late, late_optimizer), structured(known, optimizer):
        assert all(map(torch.equal, late.parameters(), known.parameters()))


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after restart"])
@pytest.mark.parametrize("first", [False, True], ids=["later", "at the first step"])
@EACH
def test_from_a_bad_gradient_on_nothing_changes_and_the_error_comes_later(
    make: Callable[..., MethodOptimizer], first: bool, restarted: bool, line: type[Line]
) -> None:
    model, twin = network(), network()
    optimizer, second = make(regularize(model, GroupLasso(0.05))), make(regularize(twin, GroupLasso(0.05)))
    for m, o in ((model, optimizer), (twin, second)):
        for k in range(0 if first else 3):
            set_gradients(m, k)
            o.step()
        if restarted:
            o.restart(ramp="averaging" in o.defaults)
    before = snapshot(model, optimizer)
    line.open = False
    set_gradients(model, 3, bad="2.weight")
    optimizer.step()
    weights = [p.detach().clone() for p in model.parameters()]
    assert same(weights, before[0])
    for k in (4, 5):
        set_gradients(model, k)
        optimizer.step()
        assert same([p.detach() for p in model.parameters()], weights)
    line.open = True
    with pytest.raises(
        ValueError, match=r"gradient of 2\.weight \(shape \(3, 16\)\) held NaN .* 3 steps ago; since then"
    ):
        optimizer.step()
    assert same(snapshot(model, optimizer), before)
    for m, o in ((model, optimizer), (twin, second)):
        for k in (6, 7):
            set_gradients(m, k)
            o.step()
    assert same(snapshot(model, optimizer), snapshot(twin, second))


@pytest.mark.parametrize(
    "ask",
    [
        lambda o: o.state_dict(),
        lambda o: o.certificate(),
        lambda o: o.structure(),
        lambda o: o.uncertified,
        lambda o: o.restart(),
        lambda o: copy.deepcopy(o),
    ],
    ids=["state_dict", "certificate", "structure", "uncertified", "restart", "deepcopy"],
)
def test_whoever_asks_for_the_state_learns_of_a_bad_gradient_once(
    ask: Callable[[MethodOptimizer], Any], line: type[Line]
) -> None:
    model = network()
    optimizer = RAMDA(regularize(model, GroupLasso(0.05)))
    line.open = False
    set_gradients(model, 0, bad="0.bias")
    optimizer.step()
    with pytest.raises(ValueError, match=r"0\.bias .* 1 steps ago"):
        ask(optimizer)
    assert not optimizer.state
    ask(optimizer)


def test_solves_that_do_not_converge_are_counted_when_they_are_known(line: type[Line]) -> None:
    model = network()
    optimizer = ProxGen(regularize(model, GroupLasso(0.05)), solver=SecularNewton(max_iterations=1))
    line.open = False
    for k in range(3):
        set_gradients(model, k)
        optimizer.step()
    with pytest.warns(ConvergenceWarning, match="^step 1: .* limit of 1 iterations"):
        count = optimizer.uncertified
    assert 1 <= count <= 6 and optimizer.certificate().uncertified == count


def test_steps_that_skip_wait() -> None:
    DEFERRED.add("cpu")
    try:
        model = network()
        optimizer = RAMDA(model.named_parameters(), nonfinite="skip")
        set_gradients(model, 0, bad="0.bias")
        optimizer.step()
        assert optimizer.skipped == 1 and not optimizer.state
    finally:
        DEFERRED.remove("cpu")
