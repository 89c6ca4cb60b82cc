"""The optimizers are torch.optim optimizers in every respect that a training stack relies on, and refuse in words.

They keep plain data, resume bit by bit, change all parameters or none, and hand out What_t with its exact zeros.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optkit.algorithms import ConstantAveraging, ProximalMethod, SquareRootRamp, adamw, proxgen, proxsgd, ramda
from optkit.core import ConvergenceWarning, Regularizer
from optkit.regularizers import L1, GroupLasso, Zero
from optkit.solvers import ClosedForm, FixedIterations, ProximalGradient, SecularNewton, SubgradientNorm
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, structured

PSI = GroupLasso(0.3, axes=0)


def averaged(psi: Regularizer, lr: float = 0.1, averaging: float = 0.3) -> ProximalMethod:
    """A method of one's own: its last solution can not be computed again and is part of the state."""
    return replace(proxsgd(psi, lr), averaging=ConstantAveraging(averaging))


Make = Callable[[Iterable[Any]], MethodOptimizer]
OPTIMIZERS: dict[str, Make] = {
    "RAMDA": lambda params: RAMDA(params, lr=0.1, averaging=0.1, epsilon=1e-3),
    "RAMDA, c = 1": lambda params: RAMDA(params, lr=0.1, averaging=1.0),
    "RMDA": lambda params: RMDA(params, lr=0.1, averaging=0.1),
    "ProxSGD": lambda params: ProxSGD(params, lr=0.1),
    "ProxGen": lambda params: ProxGen(params, lr=0.02, weight_decay=0.1),
    "a method of one's own": lambda params: MethodOptimizer(params, averaged, lr=0.1),
}
ALL_OPTIMIZERS = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Net(nn.Module):
    """A weight to regularize with columns from large to small, a free bias, and a weight whose gradient comes late."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = torch.linspace(1, 0.1, 6)
        self.weight = nn.Parameter((sizes * torch.randn(4, 6, generator=generator)).to(dtype))
        self.bias = nn.Parameter(torch.randn(4, generator=generator).to(dtype))
        self.late = nn.Parameter((sizes * torch.randn(3, 6, generator=generator)).to(dtype))


def groups(net: Net, psi: Regularizer = PSI) -> list[dict[str, Any]]:
    named = dict(net.named_parameters())
    regularized = [(name, named[name]) for name in ("weight", "late")]
    return [{"params": regularized, "regularizer": psi}, {"params": [("bias", net.bias)]}]


def gradients(net: nn.Module, k: int, late_from: int = 0) -> None:
    """Put the gradients of step k into the net: a drift in the first columns and noise; late's only later."""
    generator = torch.Generator().manual_seed(1000 + k)
    for name, p in net.named_parameters():
        noise = 0.1 * torch.randn(p.shape, generator=generator)
        drift = torch.linspace(1, 0, p.shape[-1]) if p.ndim > 1 else torch.zeros(())
        p.grad = None if name == "late" and k < late_from else (drift + noise).to(p.dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    for k in range(first, first + steps):
        gradients(net, k)
        optimizer.step()


def values(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def assert_same(a: Any, b: Any) -> None:
    """Two nests of plain data and tensors are equal bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    elif isinstance(a, (dict, list, tuple)):
        pairs = [(a[key], b[key]) for key in a] if isinstance(a, dict) else zip(a, b, strict=True)
        assert len(a) == len(b)
        for pair in pairs:
            assert_same(*pair)
    else:
        assert a == b


def through_a_file(data: Any) -> Any:
    file = io.BytesIO()
    torch.save(data, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# --- plain data -------------------------------------------------------------------------------------------------------


def odd(data: Any, tensors: bool) -> list[Any]:
    """What in the data is neither dict, list, tuple, str, number, bool nor None (nor a tensor, where these may be)."""
    if type(data) is dict:
        return [found for key, item in data.items() for found in (*odd(key, False), *odd(item, tensors))]
    if type(data) in (list, tuple):
        return [found for item in data for found in odd(item, tensors)]
    allowed = (str, int, float, bool, type(None), *((Tensor,) if tensors else ()))
    return [] if type(data) in allowed else [data]


@ALL_OPTIMIZERS
def test_it_is_a_torch_optimizer_that_keeps_plain_data(make: Make) -> None:
    net = Net()
    optimizer = make([{**groups(net)[0], "stopping": SubgradientNorm(1e-9), "solver": ProximalGradient()}])
    assert isinstance(optimizer, torch.optim.Optimizer)
    train(net, optimizer, 3)
    optimizer.restart(0.5)
    assert odd(optimizer.state_dict(), tensors=True) == []
    assert odd([{**group, "params": None} for group in optimizer.param_groups], tensors=False) == []
    assert odd(optimizer.defaults, tensors=False) == []


def test_numbers_of_numpy_become_plain_ones() -> None:
    net = Net()
    optimizer = RAMDA([{"params": [net.bias], "lr": np.float64(0.2)}], lr=np.float64(0.1), averaging=np.float64(0.5))
    assert odd(optimizer.state_dict(), tensors=True) == []
    assert optimizer.param_groups[0]["lr"] == 0.2


def test_the_groups_say_what_is_in_force() -> None:
    net = Net()
    optimizer = RAMDA(groups(net, GroupLasso(1e-4, axes=(0,))), lr=0.1)
    first, second = optimizer.param_groups
    assert first["regularizer"] == {"name": "GroupLasso", "strength": 1e-4, "axes": [0], "scale_by_size": True}
    assert (second["regularizer"], second["stopping"], second["solver"]) == (None, None, None)
    assert optimizer.method(first) == ramda(GroupLasso(1e-4, axes=(0,)), 0.1)
    assert optimizer.method(second) == ramda(Zero(), 0.1)


# --- resuming ---------------------------------------------------------------------------------------------------------

LAST, RESTART, LATE = 12, 6, 9


def long_run(net: Net, optimizer: MethodOptimizer, first: int, last: int) -> None:
    """Steps first + 1 to last of a run of LAST steps, with a restart after RESTART and gradients for late from LATE."""
    for k in range(first, last):
        gradients(net, k, LATE)
        optimizer.step()
        if k + 1 == RESTART:
            optimizer.restart(0.5, ramp="averaging" in optimizer.defaults)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("stop", [0, 3, RESTART, 8, 10], ids="after {} steps".format)
@ALL_OPTIMIZERS
def test_a_run_resumes_bit_by_bit(make: Make, stop: int, dtype: torch.dtype) -> None:
    """Mid-stage, right after restart(), and while a parameter has had no gradient yet."""
    whole, half, resumed = Net(dtype), Net(dtype), Net(dtype, seed=1)
    one = make(groups(whole))
    long_run(whole, one, 0, LAST)

    two = make(groups(half))
    long_run(half, two, 0, stop)
    checkpoint = through_a_file({"net": half.state_dict(), "optimizer": two.state_dict()})

    three = make([{**group, "lr": 9.0} for group in groups(resumed)])
    resumed.load_state_dict(checkpoint["net"])
    three.load_state_dict(checkpoint["optimizer"])
    long_run(resumed, three, stop, LAST)

    assert_same(values(resumed), values(whole))
    assert_same(three.state_dict(), one.state_dict())
    with structured(whole, one), structured(resumed, three):
        assert_same(values(resumed), values(whole))


@ALL_OPTIMIZERS
def test_loading_leaves_the_checkpoint_alone(make: Make) -> None:
    net, other = Net(), Net()
    optimizer, second = make(groups(net)), make(groups(other))
    train(net, optimizer, 2)
    checkpoint = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(checkpoint)
    second.load_state_dict(checkpoint)
    train(other, second, 3)
    second.restart()
    assert_same(checkpoint, before)


@ALL_OPTIMIZERS
def test_what_was_loaded_is_a_copy(make: Make) -> None:
    net, other = Net(), Net()
    optimizer, second = make(groups(net)), make(groups(other))
    train(net, optimizer, 2)
    checkpoint = copy.deepcopy(optimizer.state_dict())
    second.load_state_dict(checkpoint)
    for state in checkpoint["state"].values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.fill_(math.nan)
    assert_same(second.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
@ALL_OPTIMIZERS
def test_a_copy_walks_on_alike_and_apart(make: Make, copied: Callable[[Any], Any]) -> None:
    net = Net()
    optimizer = make(groups(net))
    optimizer.nonfinite = "skip"
    train(net, optimizer, 3)
    optimizer.restart()
    twin, second = copied((net, optimizer))
    here = values(net)
    train(twin, second, 3, first=3)
    assert_same(values(net), here)
    train(net, optimizer, 3, first=3)
    assert_same(values(twin), values(net))
    assert (type(second), second.nonfinite, second.uncertified) == (type(optimizer), "skip", optimizer.uncertified)


def other_version(optimizer: MethodOptimizer) -> dict[str, Any]:
    state = optimizer.state_dict()
    return {**state, "optkit": {**state["optkit"], "version": 99}}


def test_a_checkpoint_of_another_kind_is_refused_and_nothing_changes() -> None:
    net = Net()
    optimizer, before = ProxGen(groups(net)), values(net)
    others = {
        "group 0 has the method 'ramda', this optimizer's 'proxgen'": RAMDA(groups(net)).state_dict(),
        "group 0 has the method None": torch.optim.AdamW(net.parameters()).state_dict(),
        "group 0 has the regularizer .*9.0.*, this optimizer's": ProxGen(groups(net, L1(9.0))).state_dict(),
        "format version 99, this optkit reads 1; load it with": other_version(optimizer),
    }
    for words, state in others.items():
        with pytest.raises(ValueError, match=words):
            optimizer.load_state_dict(state)
    assert_same(values(net), before)
    assert len(optimizer.param_groups) == 2 and not optimizer.state


# --- dtypes and layouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@ALL_OPTIMIZERS
def test_half_precision_parameters_have_float32_state(make: Make, dtype: torch.dtype) -> None:
    net, loaded = Net(dtype), Net(dtype)
    optimizer, second = make(groups(net)), make(groups(loaded))
    train(net, optimizer, 2)
    second.load_state_dict(through_a_file(optimizer.state_dict()))
    for some in (optimizer, second):
        tensors = [value for state in some.state.values() for value in state.values() if isinstance(value, Tensor)]
        assert tensors and {tensor.dtype for tensor in tensors} == {torch.float32}
    assert {p.dtype for p in net.parameters()} == {dtype}
    with structured(net, optimizer):
        assert {p.dtype for p in net.parameters()} == {dtype}


def test_a_bf16_dual_sum_does_not_stop_growing() -> None:
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = RMDA([parameter], lr=1.0, averaging=1.0)
    parameter.grad = torch.ones(1, dtype=torch.bfloat16)
    for _ in range(300):
        optimizer.step()
    expected = sum(math.sqrt(t) for t in range(1, 301))
    assert float(optimizer.state[parameter]["estimator.sum"]) == pytest.approx(expected, rel=1e-4)


@ALL_OPTIMIZERS
def test_channels_last_weights_stay_so_and_walk_as_others(make: Make) -> None:
    start = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    plain, last = nn.Parameter(start.clone()), nn.Parameter(start.clone(memory_format=torch.channels_last))
    for p in (plain, last):
        optimizer = make([{"params": [p], "regularizer": GroupLasso(0.05, axes=(0, 2, 3))}])
        for k in range(4):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
            optimizer.step()
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@ALL_OPTIMIZERS
def test_a_step_leaves_the_gradients_as_they_are(make: Make, dtype: torch.dtype) -> None:
    net = Net(dtype)
    optimizer = make(groups(net))
    gradients(net, 0)
    held = {name: (p.grad, p.grad.clone()) for name, p in net.named_parameters() if p.grad is not None}
    optimizer.step()
    optimizer.step()
    for name, p in net.named_parameters():
        assert p.grad is held[name][0]
        assert_same(p.grad, held[name][1])


@ALL_OPTIMIZERS
def test_tensors_without_entries_are_stepped(make: Make) -> None:
    empty = nn.Parameter(torch.zeros(3, 0))
    optimizer = make([{"params": [empty], "regularizer": PSI}])
    empty.grad = torch.zeros(3, 0)
    for _ in range(2):
        optimizer.step()
    assert empty.shape == (3, 0) and optimizer.uncertified == 0


# --- the step ---------------------------------------------------------------------------------------------------------


@ALL_OPTIMIZERS
def test_parameters_without_a_gradient_are_left_out(make: Make) -> None:
    net = Net()
    net.bias.requires_grad_(False)
    optimizer, before = make(groups(net)), values(net)
    gradients(net, 0)
    net.bias.grad = net.late.grad = None
    optimizer.step()
    assert_same((net.bias.detach(), net.late.detach()), (before["bias"], before["late"]))
    assert set(optimizer.state) == {net.weight}
    assert not torch.equal(net.weight, before["weight"])


@ALL_OPTIMIZERS
def test_a_step_without_any_gradient_changes_nothing(make: Make) -> None:
    net = Net()
    optimizer, before = make(groups(net)), values(net)
    optimizer.step()
    assert_same(values(net), before)
    assert not optimizer.state


@ALL_OPTIMIZERS
def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned(make: Make) -> None:
    net, twin = Net(), Net()
    optimizer, second = make(groups(net)), make(groups(twin))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in net.parameters())
        assert isinstance(loss, Tensor)
        loss.backward()
        return loss

    expected = sum(float((p.detach() ** 2).sum()) for p in net.parameters())
    loss = optimizer.step(closure)
    assert loss.requires_grad and float(loss.detach()) == pytest.approx(expected)
    for p in twin.parameters():
        p.grad = 2 * p.detach()
    assert second.step() is None
    assert_same(values(net), values(twin))


def test_hooks_of_torch_are_called() -> None:
    net, called = Net(), []
    optimizer = RAMDA(groups(net))
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    train(net, optimizer, 2)
    assert called == ["before", "after"] * 2


def test_method_optimizer_of_adamw_is_adamw() -> None:
    net, twin = Net(torch.float64), Net(torch.float64)
    ours = MethodOptimizer(net.parameters(), adamw, lr=0.01, weight_decay=0.1)
    theirs = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    train(net, ours, 50)
    train(twin, theirs, 50)
    torch.testing.assert_close(values(net), values(twin), rtol=0, atol=1e-10)


@ALL_OPTIMIZERS
def test_groups_have_their_own_regularizer_and_lr(make: Make) -> None:
    """Two groups of one optimizer walk as two optimizers."""
    net, alone, free = Net(), Net(), Net()
    together = make([{"params": [net.weight], "regularizer": PSI, "lr": 0.05}, {"params": [net.bias, net.late]}])
    first = make([{"params": [alone.weight], "regularizer": PSI}])
    first.param_groups[0]["lr"] = 0.05
    second = make([free.bias, free.late])
    for some, optimizer in ((net, together), (alone, first), (free, second)):
        train(some, optimizer, 4)
    assert_same((net.weight, net.bias, net.late), (alone.weight, free.bias, free.late))
    assert not torch.equal(net.weight, free.weight)


@ALL_OPTIMIZERS
def test_a_group_can_be_added_later(make: Make) -> None:
    net, twin = Net(), Net()
    optimizer, second = make([{"params": [net.weight], "regularizer": PSI}]), make(groups(twin))
    train(net, optimizer, 2)
    optimizer.add_param_group({"params": [net.late], "regularizer": PSI})
    train(net, optimizer, 2, first=2)
    assert odd(optimizer.state_dict(), tensors=True) == []
    for k in range(4):
        gradients(twin, k, late_from=2)
        second.step()
    assert_same((net.weight, net.late), (twin.weight, twin.late))


def schedulers() -> dict[str, Callable[[torch.optim.Optimizer], Any]]:
    of = torch.optim.lr_scheduler
    return {
        "StepLR": lambda optimizer: of.StepLR(optimizer, 3, 0.5),
        "CosineAnnealingLR": lambda optimizer: of.CosineAnnealingLR(optimizer, 8),
        "OneCycleLR": lambda optimizer: of.OneCycleLR(optimizer, 0.3, total_steps=9, cycle_momentum=False),
        "LambdaLR with a warm-up from 0": lambda optimizer: of.LambdaLR(optimizer, lambda epoch: min(epoch / 3, 1.0)),
        "ReduceLROnPlateau": lambda optimizer: of.ReduceLROnPlateau(optimizer, patience=1),
    }


@pytest.mark.parametrize("name", schedulers())
@ALL_OPTIMIZERS
def test_lr_schedulers_set_the_lr_in_force(make: Make, name: str) -> None:
    net = Net()
    optimizer = make(groups(net))
    scheduler = schedulers()[name](optimizer)
    rates = []
    for k in range(8):
        before, lr = values(net), optimizer.param_groups[0]["lr"]
        train(net, optimizer, 1, first=k)
        rates.append(optimizer.method(optimizer.param_groups[0]).lr)
        assert rates[-1] == lr
        if lr == 0:
            torch.testing.assert_close(values(net), before, rtol=1e-6, atol=0)
        scheduler.step(*((1.0,) if name == "ReduceLROnPlateau" else ()))
    assert len(set(rates)) > 1 and all(torch.isfinite(p).all() for p in net.parameters())
    assert odd(through_a_file(optimizer.state_dict()), tensors=True) == []


@ALL_OPTIMIZERS
def test_an_lr_that_is_a_tensor_is_the_number_in_it(make: Make) -> None:
    """And schedulers write into it, as in torch.optim."""
    one, two = Net(), Net()
    with_tensor = make([{**group, "lr": torch.tensor(0.25)} for group in groups(one)])
    with_number = make([{**group, "lr": 0.25} for group in groups(two)])
    for net, optimizer in ((one, with_tensor), (two, with_number)):
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        for k in range(5):
            gradients(net, k)
            optimizer.step()
            scheduler.step()
    assert_same(values(one), values(two))
    assert isinstance(with_tensor.param_groups[0]["lr"], Tensor) and float(with_tensor.param_groups[0]["lr"]) == 0.0625


@pytest.mark.parametrize("make", [RAMDA, RMDA])
def test_what_t_does_not_depend_on_what_a_scheduler_does_next(make: Callable[..., MethodOptimizer]) -> None:
    net = Net()
    optimizer = make(groups(net), lr=0.1)
    train(net, optimizer, 3)
    before = optimizer.structured_value(net.weight, optimizer.param_groups[0])
    optimizer.param_groups[0]["lr"] = 1e-5
    assert_same(optimizer.structured_value(net.weight, optimizer.param_groups[0]), before)


def test_solves_that_do_not_converge_are_counted_and_the_first_one_is_told() -> None:
    net = Net()
    optimizer = RAMDA(groups(net), solver=ProximalGradient(), stopping=SubgradientNorm(0.0, max_iterations=1))
    with pytest.warns(ConvergenceWarning, match="^step 1: .* limit of 1 iterations with residual ") as told:
        train(net, optimizer, 3)
    assert optimizer.uncertified == 3 * 2, "the bias has a closed form"
    assert len(told) == 1


def test_solver_and_stopping_can_be_those_of_a_group() -> None:
    net, twin = Net(), Net()
    rule = {"solver": ProximalGradient(), "stopping": FixedIterations(1)}
    optimizer = RAMDA([{**groups(net)[0], **rule}, {"params": [("bias", net.bias)]}], lr=0.1)
    method = optimizer.method(optimizer.param_groups[0])
    assert (method.solver, method.stopping) == (ProximalGradient(), FixedIterations(1))
    assert optimizer.method(optimizer.param_groups[1]).stopping is None
    train(net, optimizer, 3)
    train(twin, RAMDA(groups(twin), lr=0.1), 3)
    assert not torch.equal(net.weight, twin.weight)
    assert_same(net.bias.detach(), twin.bias.detach())


def test_a_solver_for_all_groups_is_not_asked_where_nothing_is_regularized() -> None:
    net, twin = Net(), Net()
    train(net, RAMDA(groups(net), solver=SecularNewton()), 3)
    train(twin, RAMDA(groups(twin)), 3)
    assert_same(values(net), values(twin))


# --- gradients that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@ALL_OPTIMIZERS
def test_a_gradient_that_is_not_finite_changes_nothing(make: Make, bad: float) -> None:
    net = Net()
    optimizer = make(groups(net))
    train(net, optimizer, 2)
    optimizer.restart()
    before = copy.deepcopy((values(net), optimizer.state_dict()))
    gradients(net, 2)
    assert net.late.grad is not None
    net.late.grad[1, 1] = bad
    with pytest.raises(ValueError, match=r"the gradient of late \(shape \(3, 6\)\) holds NaN or infinity"):
        optimizer.step()
    assert_same((values(net), optimizer.state_dict()), before)


@ALL_OPTIMIZERS
def test_steps_with_gradients_that_are_not_finite_can_be_skipped(make: Make) -> None:
    net, twin = Net(), Net()
    optimizer, second = make(groups(net)), make(groups(twin))
    optimizer.nonfinite = "skip"
    train(net, optimizer, 2)
    net.bias.grad = torch.full((4,), math.nan)
    assert optimizer.step(lambda: 3.5) == 3.5
    train(net, optimizer, 2, first=2)
    train(twin, second, 4)
    assert_same(values(net), values(twin))
    assert (optimizer.skipped, second.skipped) == (1, 0)


def test_nonfinite_is_an_argument() -> None:
    net = Net()
    assert RAMDA(net.parameters(), nonfinite="skip").nonfinite == "skip"
    with pytest.raises(ValueError, match="nonfinite must be one of 'raise', 'skip', got 'ignore'"):
        RAMDA(net.parameters(), nonfinite="ignore")


def test_without_names_the_place_of_a_parameter_is_said() -> None:
    net = Net()
    optimizer = RAMDA([{"params": [net.weight, net.late]}, {"params": [net.bias]}])
    gradients(net, 0)
    net.bias.grad = torch.full((4,), math.nan)
    with pytest.raises(ValueError, match="the gradient of parameter 0 of group 1"):
        optimizer.step()


def test_a_sparse_gradient_is_refused_by_name() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    optimizer, before = RAMDA(table.named_parameters()), table.weight.detach().clone()
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match="weight.*sparse gradients are not supported.*sparse=False"):
        optimizer.step()
    assert_same(table.weight.detach(), before)


def test_a_pairing_that_does_not_work_changes_nothing() -> None:
    net = Net()
    good, bad = {"params": [net.bias]}, {"params": [net.weight], "regularizer": PSI, "solver": ClosedForm()}
    optimizer, before = RAMDA([good, bad]), values(net)
    gradients(net, 0)
    with pytest.raises(ValueError, match="ClosedForm needs a metric constant on the blocks of GroupLasso; use Secular"):
        optimizer.step()
    assert_same(values(net), before)
    assert not optimizer.state


# --- arguments that are refused ---------------------------------------------------------------------------------------

WEIGHT, BIAS = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(4))
CONV_AXES = GroupLasso(0.1, axes=(0, 2, 3))
INTEGER = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
COMPLEX = nn.Parameter(torch.ones(2, dtype=torch.complex64))


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ([], ValueError, "params is empty"),
    (iter(()), ValueError, "params is empty"),
    (WEIGHT, TypeError, "params must be a list of tensors or groups, got one "),
    ({"params": [WEIGHT]}, TypeError, "params must be a list of tensors or groups, got one dict"),
    ([{"params": {WEIGHT, BIAS}}], TypeError, "ordered"),
    ([{"lr": 0.1}], ValueError, "a parameter group needs the key 'params'"),
    ([INTEGER], TypeError, r"parameter 0 of the group \(shape \(2,\)\) must .* floating-point .* torch.int64"),
    ([("phase", COMPLEX)], TypeError, r"phase \(shape \(2,\)\) must .* floating-point numbers, got .*complex64"),
    ([1.0], TypeError, "can only optimize Tensors"),
    ([WEIGHT * 2], ValueError, "non-leaf"),
    ([{"params": [WEIGHT]}, {"params": [WEIGHT]}], ValueError, "more than one parameter group"),
    (
        [{"params": [("bias", BIAS)], "regularizer": CONV_AXES}],
        ValueError,
        r"bias \(shape \(4,\)\): GroupLasso: axes \(0, 2, 3\) do not exist",
    ),
    ([{"params": [WEIGHT], "regularizer": GroupLasso(0.1)}], ValueError, "GroupLasso has axes=None; say which"),
    (
        [{"params": [WEIGHT], "regulariser": PSI}],
        ValueError,
        "unknown key 'regulariser'.*did you mean 'regularizer'",
    ),
    ([{"params": [WEIGHT], "averageing": 0.1}], ValueError, "unknown key 'averageing'.*did you mean 'averaging'"),
    ([{"params": [WEIGHT], "regularizer": 0.1}], TypeError, "regularizer must be a Regularizer, got 0.1 of type float"),
    (
        [{"params": [WEIGHT], "regularizer": {"name": "L3"}}],
        ValueError,
        "regularizer.name: there is no Regularizer",
    ),
    ([{"params": [WEIGHT], "solver": "newton"}], TypeError, "solver must be a SubproblemSolver, got 'newton'"),
    ([{"params": [WEIGHT], "eps": 1e-3}], ValueError, "unknown key 'eps' .*allowed: regularizer, .*epsilon"),
    ([{"params": [WEIGHT], "weight_decay": 0.1}], ValueError, "unknown key 'weight_decay'"),
    ([{"params": [WEIGHT], "lr": torch.ones(2)}], TypeError, "lr: .*give a number"),
    ([{"params": [WEIGHT], "lr": -0.1}], ValueError, "lr must be a finite number >= 0, got -0.1"),
    ([{"params": [WEIGHT], "averaging": 2}], ValueError, r"averaging must be a number in \(0, 1\], got 2"),
]


@pytest.mark.parametrize(("params", "error", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_parameters_and_groups_that_are_refused(params: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        RAMDA(params)


BAD_LR = [
    ({"lr": lr}, ValueError, f"lr must be a finite number >= 0, got {lr!r}") for lr in (-1e-3, math.nan, math.inf)
]


@pytest.mark.parametrize("make", [RAMDA, RMDA, ProxSGD, ProxGen])
@pytest.mark.parametrize(
    ("given", "error", "words"), [*BAD_LR, ({"lr": "1e-3"}, TypeError, "lr must be .*, got '1e-3'")]
)
def test_an_lr_that_is_refused(make: Any, given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make([WEIGHT], **given)


@pytest.mark.parametrize(
    ("make", "given", "error", "words"),
    [
        (RAMDA, {"averaging": 0.0}, ValueError, r"averaging must be a number in \(0, 1\], got 0.0"),
        (RAMDA, {"epsilon": 0.0}, ValueError, "epsilon must be a finite number > 0, got 0.0"),
        (RMDA, {"averaging": 1.5}, ValueError, r"averaging must be a number in \(0, 1\], got 1.5"),
        (ProxSGD, {"momentum": 0.0}, ValueError, r"momentum must be a number in \(0, 1\], got 0.0"),
        (ProxGen, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be a number in \[0, 1\), got 1.0"),
        (ProxGen, {"betas": 0.9}, TypeError, "betas must be a pair"),
        (ProxGen, {"weight_decay": -0.1}, ValueError, "weight_decay must be a finite number >= 0, got -0.1"),
        (RAMDA, {"moment": 0.9}, TypeError, "moment is no hyper-parameter of ramda; .*allowed: lr, averaging, epsilon"),
        (ProxGen, {"beta": 0.9}, TypeError, "beta is no hyper-parameter of proxgen; did you mean 'betas'"),
        (RAMDA, {"regularizer": GroupLasso}, TypeError, "regularizer must be a Regularizer, got the class GroupLasso"),
    ],
)
def test_hyper_parameters_that_are_refused(make: Any, given: dict[str, Any], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make([WEIGHT], **given)


def test_a_method_without_psi_refuses_a_regularizer() -> None:
    with pytest.raises(ValueError, match="adamw takes no regularizer; leave it out or use ProxGen"):
        MethodOptimizer([WEIGHT], adamw, regularizer=PSI)


def test_a_method_that_needs_a_value_says_so() -> None:
    def needy(psi: Regularizer, lr: float) -> ProximalMethod:
        return proxsgd(psi, lr)

    with pytest.raises(TypeError, match="needy needs a value for lr"):
        MethodOptimizer([WEIGHT], needy)
    assert MethodOptimizer([WEIGHT], needy, lr=0.1).param_groups[0]["lr"] == 0.1


def test_an_lr_that_a_schedule_spoils_changes_nothing() -> None:
    net = Net()
    optimizer, before = RAMDA(groups(net)), values(net)
    optimizer.param_groups[1]["lr"] = math.nan
    gradients(net, 0)
    with pytest.raises(ValueError, match="lr must be a finite number >= 0, got nan"):
        optimizer.step()
    assert_same(values(net), before)


# --- restarts ---------------------------------------------------------------------------------------------------------


@ALL_OPTIMIZERS
def test_restart_begins_anew_at_the_present_weights(make: Make) -> None:
    net, twin = Net(), Net()
    optimizer = make(groups(net))
    train(net, optimizer, 3)
    twin.load_state_dict(net.state_dict())
    optimizer.restart()
    fresh = make(groups(twin))
    train(net, optimizer, 3, first=3)
    train(twin, fresh, 3, first=3)
    assert_same(values(net), values(twin))


@ALL_OPTIMIZERS
def test_after_a_restart_a_parameter_begins_anew_when_its_next_gradient_comes(make: Make) -> None:
    net = Net()
    optimizer = make(groups(net))
    train(net, optimizer, 3)
    optimizer.restart()
    gradients(net, 3, late_from=4)
    optimizer.step()
    assert "stale" in optimizer.state[net.late]
    gradients(net, 4)
    optimizer.step()
    assert [optimizer.state[p]["t"] for p in (net.weight, net.bias, net.late)] == [2, 2, 1]


def test_restart_scales_epsilon_and_ramps_the_averaging_from_the_next_step_on() -> None:
    net = Net()
    optimizer = RAMDA(groups(net), averaging=0.4, epsilon=1e-2)
    train(net, optimizer, 2)
    optimizer.restart(epsilon_scale=0.5)
    optimizer.restart(epsilon_scale=0.5, ramp=True)
    assert [optimizer.method(group) for group in optimizer.param_groups] == [
        ramda(PSI, averaging=0.4, epsilon=1e-2),
        ramda(averaging=0.4, epsilon=1e-2),
    ]
    twin = Net()
    twin.load_state_dict(net.state_dict())
    w, state = twin.weight.detach(), None
    for k in range(8):
        train(net, optimizer, 1, first=2 + k)
        method = optimizer.method(optimizer.param_groups[0])
        assert method.preconditioner == ramda(epsilon=2.5e-3).preconditioner
        assert method.averaging.weight(k + 1) == min(0.4 * math.sqrt(k + 1), 1.0)
        gradients(twin, 2 + k)
        w, state, _ = method.step(w, twin.weight.grad, state or method.init(w))
        assert_same(net.weight.detach(), w)
    with structured(net, optimizer):
        inside = values(net)
    assert_same(values(net), inside)
    assert (net.weight == 0).any()


@pytest.mark.parametrize("make", [ProxSGD, ProxGen])
def test_a_ramp_of_nothing_is_refused(make: Callable[..., MethodOptimizer]) -> None:
    with pytest.raises(ValueError, match="has no averaging to ramp up; call restart\\(\\) without ramp"):
        make([WEIGHT]).restart(ramp=True)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_an_epsilon_scale_out_of_range_is_refused(scale: float) -> None:
    optimizer = RAMDA([WEIGHT])
    with pytest.raises(ValueError, match="epsilon_scale must be a finite number > 0, got "):
        optimizer.restart(scale)
    assert optimizer.param_groups[0]["pending_restart"] is None


# --- structured -------------------------------------------------------------------------------------------------------


@ALL_OPTIMIZERS
def test_inside_structured_the_model_holds_what_t_and_afterwards_its_weights(make: Make) -> None:
    net = Net()
    optimizer = make(groups(net))
    train(net, optimizer, 20)
    before = values(net)
    with structured(net, optimizer) as inside:
        assert inside is net
        assert 0 < int((net.weight == 0).all(dim=0).sum()) < 6
        for group in optimizer.param_groups:
            for p in group["params"]:
                assert_same(p.detach(), optimizer.structured_value(p, group))
        with structured(net, optimizer):
            assert (net.weight == 0).any()
        assert (net.weight == 0).any()
    assert_same(values(net), before)


@pytest.mark.parametrize("name", ["RAMDA", "RMDA", "a method of one's own"])
def test_the_training_weights_of_averaging_methods_have_no_zeros(name: str) -> None:
    net = Net()
    optimizer = OPTIMIZERS[name](groups(net))
    train(net, optimizer, 20)
    assert (net.weight != 0).all()
    assert "groups zero" in str(optimizer.structure()["weight"]) and not str(optimizer.structure()["weight"])[0] == "0"


@ALL_OPTIMIZERS
def test_the_training_weights_are_back_after_an_exception(make: Make) -> None:
    net = Net()
    optimizer = make(groups(net))
    train(net, optimizer, 5)
    before = values(net)
    with pytest.raises(KeyError, match="lost"), structured(net, optimizer):
        raise KeyError("lost")
    assert_same(values(net), before)


@ALL_OPTIMIZERS
def test_before_a_step_what_t_is_the_weights(make: Make) -> None:
    net = Net()
    before = values(net)
    with structured(net, make(groups(net))):
        assert_same(values(net), before)


@ALL_OPTIMIZERS
def test_right_after_restart_what_t_is_that_of_the_stage_that_ended(make: Make) -> None:
    net = Net()
    optimizer = make(groups(net))
    train(net, optimizer, 20)
    with structured(net, optimizer):
        before = values(net)
    optimizer.restart(0.1, ramp="averaging" in optimizer.defaults)
    with structured(net, optimizer):
        assert_same(values(net), before)
        assert (net.weight == 0).any()


def test_structured_of_a_part_of_the_model_leaves_the_rest() -> None:
    net = Net()
    optimizer = RAMDA([{"params": [net.weight], "regularizer": PSI}], lr=0.1, averaging=0.1)
    train(net, optimizer, 20)
    bias = net.bias.detach().clone()
    with structured(net, optimizer):
        assert (net.weight == 0).any()
        assert_same(net.bias.detach(), bias)


def test_structured_refuses_what_does_not_belong_together() -> None:
    net = Net()
    with pytest.raises(ValueError, match="the optimizer has no parameter of this model"):
        structured(Net(), RAMDA(groups(net))).__enter__()
    with pytest.raises(TypeError, match="structured needs an optimizer of optkit.torch, got AdamW"):
        structured(net, torch.optim.AdamW(net.parameters())).__enter__()  # type: ignore[arg-type]


def test_structure_is_that_of_what_t_by_name() -> None:
    net = Net()
    optimizer = RAMDA(groups(net), lr=0.1, averaging=0.1)
    train(net, optimizer, 20)
    structure = optimizer.structure()
    assert list(structure) == ["weight", "late"]
    for name, manifold in structure.items():
        hat = optimizer.structured_value(getattr(net, name), optimizer.param_groups[0])
        assert manifold == PSI.manifold(hat) and manifold.contains(hat) and 0 < manifold.dimension < manifold.ambient
    unnamed = RAMDA([net.bias, net.weight], regularizer=L1(0.1)).structure()
    assert list(unnamed) == ["0.0", "0.1"]


@pytest.mark.parametrize("betas", [(0.5, 0.9), [0.5, 0.9]], ids=str)
def test_betas_are_kept_as_a_list(betas: Any) -> None:
    for optimizer in (ProxGen([WEIGHT], betas=betas), ProxGen([{"params": [WEIGHT], "betas": betas}])):
        assert optimizer.param_groups[0]["betas"] == [0.5, 0.9]
        assert optimizer.method(optimizer.param_groups[0]) == proxgen(betas=(0.5, 0.9))


def test_averaging_may_be_a_part() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = RAMDA([parameter], averaging=SquareRootRamp(0.5))
    assert optimizer.param_groups[0]["averaging"] == {"name": "SquareRootRamp", "value": 0.5, "begin": 0}
    assert optimizer.method(optimizer.param_groups[0]).averaging == SquareRootRamp(0.5)


def test_a_parameter_frozen_over_a_restart_keeps_its_structure() -> None:
    net = Net()
    optimizer = RAMDA(groups(net, GroupLasso(0.2, axes=(0,))), lr=0.1, averaging=0.1)
    train(net, optimizer, 5)
    group = next(g for g in optimizer.param_groups if any(p is net.weight for p in g["params"]))
    before = optimizer.structured_value(net.weight, group)
    net.weight.requires_grad_(False)
    net.weight.grad = None
    optimizer.restart()
    net.bias.grad = torch.ones_like(net.bias)
    optimizer.step()
    assert torch.equal(optimizer.structured_value(net.weight, group), before)


@pytest.mark.parametrize("regularizer", [None, GroupLasso(0.1, axes=0)], ids=["free", "group lasso"])
def test_a_finite_gradient_that_overflows_changes_nothing(regularizer: Any) -> None:
    parameter = nn.Parameter(torch.ones(3, 3))
    optimizer = RAMDA([{"params": [("w", parameter)], "regularizer": regularizer}], lr=1.0)
    parameter.grad = torch.full((3, 3), 1e22)
    with pytest.raises(ValueError, match=r"the step of w \(shape \(3, 3\)\) overflows; nothing was changed"):
        optimizer.step()
    assert torch.equal(parameter, torch.ones(3, 3)) and not optimizer.state
    optimizer.nonfinite = "skip"
    optimizer.step()
    assert torch.equal(parameter, torch.ones(3, 3)) and optimizer.skipped == 1


def test_the_state_of_another_shape_is_refused() -> None:
    big, small = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
    saved = RMDA([small, big])
    small.grad = torch.ones(4)
    saved.step()
    with pytest.raises(ValueError, match=r"anchor for parameter 0 of group 0 has shape \(4,\), the parameter \(4, 4\)"):
        RMDA([big, small]).load_state_dict(saved.state_dict())


@pytest.mark.parametrize("key", ["penalty", "regularization"])
def test_a_part_under_another_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"unknown key '{key}'"):
        RAMDA([{"params": [nn.Parameter(torch.ones(2, 2))], key: GroupLasso(1.0, axes=0)}])


def test_the_strength_beside_no_regularizer_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown key 'strength' in a parameter group; allowed: regularizer"):
        RAMDA([{"params": [nn.Parameter(torch.ones(2, 2))], "strength": 1.0}])


# --- maximize, certificates -------------------------------------------------------------------------------------------


@ALL_OPTIMIZERS
def test_maximize_goes_down_the_negative_loss(make: Make) -> None:
    up, down = Net(), Net()
    one, two = make([{**group, "maximize": True} for group in groups(up)]), make(groups(down))
    for k in range(3):
        gradients(up, k)
        gradients(down, k)
        for parameter in down.parameters():
            if parameter.grad is not None:
                parameter.grad.neg_()
        one.step()
        two.step()
    assert_same(values(up), values(down))


def test_a_certificate_says_what_is_known() -> None:
    net = Net()
    rule = SubgradientNorm(0.1, max_iterations=1000, power=0.6)
    optimizer = RAMDA(groups(net), solver=ProximalGradient(), stopping=rule)
    assert optimizer.certificate() == (None, 0, 0.0)
    train(net, optimizer, 4)
    residual, uncertified, squares = optimizer.certificate()
    assert residual is not None and 0 < residual <= 0.1 * 4**-0.6 * len(list(net.parameters())) ** 0.5
    assert uncertified == 0 and squares == pytest.approx(sum(0.01 * t**-1.2 for t in (1, 2, 3, 4)))
    assert RAMDA(groups(net)).certificate().sum_of_squares is None


def test_the_counts_are_saved_and_loaded() -> None:
    net = Net()
    optimizer = RAMDA(groups(net), nonfinite="skip")
    next(net.parameters()).grad = torch.full_like(next(net.parameters()), float("nan"))
    optimizer.step()
    other = RAMDA(groups(net))
    other.load_state_dict(optimizer.state_dict())
    assert other.skipped == optimizer.skipped == 1
