"""What is particular to single optimizers and settings: solvers, checkpoints, certificates, and words of refusal.

What holds for every optimizer is a law of optkit.testing.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from optkit.algorithms import adamw
from optkit.core import ConvergenceWarning
from optkit.regularizers import L1, GroupLasso
from optkit.solvers import ClosedForm, FixedIterations, ProximalGradient, SecularNewton, SubgradientNorm
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen

from .torch_cases import PSI, Net, assert_same, gradients, groups, train, values

# --- steps ------------------------------------------------------------------------------------------------------------


def test_method_optimizer_of_adamw_is_adamw() -> None:
    net, twin = Net(torch.float64), Net(torch.float64)
    ours = MethodOptimizer(net.parameters(), adamw, lr=0.01, weight_decay=0.1)
    theirs = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    train(net, ours, 50)
    train(twin, theirs, 50)
    torch.testing.assert_close(values(net), values(twin), rtol=0, atol=1e-10)


def test_a_bf16_dual_sum_does_not_stop_growing() -> None:
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = RMDA([parameter], lr=1.0, averaging=1.0)
    parameter.grad = torch.ones(1, dtype=torch.bfloat16)
    for _ in range(300):
        optimizer.step()
    expected = sum(math.sqrt(t) for t in range(1, 301))
    assert float(optimizer.state[parameter]["estimator.sum"]) == pytest.approx(expected, rel=1e-4)


# --- solvers and certificates -----------------------------------------------------------------------------------------


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


def test_a_pairing_that_does_not_work_changes_nothing() -> None:
    net = Net()
    good, bad = {"params": [net.bias]}, {"params": [net.weight], "regularizer": PSI, "solver": ClosedForm()}
    optimizer, before = RAMDA([good, bad]), values(net)
    gradients(net, 0)
    with pytest.raises(ValueError, match="ClosedForm needs a metric constant on the blocks of GroupLasso; use Secular"):
        optimizer.step()
    assert_same(values(net), before)
    assert not optimizer.state


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


# --- checkpoints ------------------------------------------------------------------------------------------------------


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
        "format version 99, this optkit reads 3; load it with": other_version(optimizer),
    }
    for words, state in others.items():
        with pytest.raises(ValueError, match=words):
            optimizer.load_state_dict(state)
    assert_same(values(net), before)
    assert len(optimizer.param_groups) == 2 and not optimizer.state


def test_the_state_of_another_shape_is_refused() -> None:
    big, small = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
    saved = RMDA([small, big])
    small.grad = torch.ones(4)
    saved.step()
    with pytest.raises(ValueError, match=r"anchor for parameter 0 of group 0 has shape \(4,\), the parameter \(4, 4\)"):
        RMDA([big, small]).load_state_dict(saved.state_dict())


# --- gradients that are refused ---------------------------------------------------------------------------------------


def test_a_refused_gradient_is_told_with_name_shape_and_remedy() -> None:
    net = Net()
    optimizer = RAMDA(groups(net))
    gradients(net, 0)
    assert net.late.grad is not None
    net.late.grad[1, 1] = math.nan
    words = r"the gradient of late \(shape \(3, 6\)\) holds NaN or infinity; nothing was changed. .* nonfinite=\"skip\""
    with pytest.raises(ValueError, match=words):
        optimizer.step()


def test_a_sparse_gradient_is_refused_by_name() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    optimizer, before = RAMDA(table.named_parameters()), table.weight.detach().clone()
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match="weight.*sparse gradients are not supported.*sparse=False"):
        optimizer.step()
    assert_same(table.weight.detach(), before)


def test_an_lr_that_a_schedule_spoils_changes_nothing() -> None:
    net = Net()
    optimizer, before = RAMDA(groups(net)), values(net)
    optimizer.param_groups[1]["lr"] = math.nan
    gradients(net, 0)
    with pytest.raises(ValueError, match="lr must be a finite number >= 0, got nan"):
        optimizer.step()
    assert_same(values(net), before)


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
