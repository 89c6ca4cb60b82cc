"""Structure and restarts of single optimizers: zeros in What_t and not in the weights, ramps, parts of a model."""

from __future__ import annotations

import math

import pytest
import torch

from optkit.algorithms import ramda
from optkit.regularizers import L1, GroupLasso
from optkit.torch import RAMDA, structured

from .torch_cases import OPTIMIZERS, PSI, Net, assert_same, gradients, groups, train, values

# --- structured -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RAMDA", "RMDA", "averaged proxsgd"])
def test_the_training_weights_of_averaging_methods_have_no_zeros(name: str) -> None:
    net = Net()
    optimizer = OPTIMIZERS[name](groups(net))
    train(net, optimizer, 20)
    assert (net.weight != 0).all()
    assert "groups zero" in str(optimizer.structure()["weight"]) and not str(optimizer.structure()["weight"])[0] == "0"


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


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_restart_scales_epsilon_and_ramps_the_averaging_from_the_next_step_on() -> None:
    net = Net()
    optimizer = RAMDA(groups(net), averaging=0.4, epsilon=1e-2, kernel="reference")
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


@pytest.mark.parametrize("epsilon_scale", [1.0, 0.1])
def test_a_parameter_frozen_over_restarts_keeps_its_structure(epsilon_scale: float) -> None:
    net = Net()
    optimizer = RAMDA(groups(net, GroupLasso(0.2, axes=(0,))), lr=0.1, averaging=0.1, epsilon=0.5)
    train(net, optimizer, 5)
    group = next(g for g in optimizer.param_groups if any(p is net.weight for p in g["params"]))
    before = optimizer.structured_value(net.weight, group)
    net.weight.requires_grad_(False)
    net.weight.grad = None
    for _ in range(2):
        optimizer.restart(epsilon_scale)
        net.bias.grad = torch.ones_like(net.bias)
        optimizer.step()
        assert torch.equal(optimizer.structured_value(net.weight, group), before)
