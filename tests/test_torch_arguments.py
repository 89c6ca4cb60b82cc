"""What the optimizers take: parameters, groups and hyper-parameters, kept as plain data or refused in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optkit.algorithms import ProximalMethod, SquareRootRamp, adamw, proxgen, proxsgd, ramda
from optkit.core import Regularizer
from optkit.regularizers import GroupLasso, Zero
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD

from .torch_cases import PSI, Net, groups

WEIGHT, BIAS = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(4))
CONV_AXES = GroupLasso(0.1, axes=(0, 2, 3))
INTEGER = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
COMPLEX = nn.Parameter(torch.ones(2, dtype=torch.complex64))


# --- plain data -------------------------------------------------------------------------------------------------------


def test_numbers_of_numpy_become_plain_ones() -> None:
    net = Net()
    optimizer = RAMDA([{"params": [net.bias], "lr": np.float64(0.2)}], lr=np.float64(0.1), averaging=np.float64(0.5))
    group = optimizer.param_groups[0]
    assert (type(group["lr"]), group["lr"], type(group["averaging"])) == (float, 0.2, float)
    assert {type(optimizer.defaults[key]) for key in ("lr", "averaging")} == {float}


def test_the_groups_say_what_is_in_force() -> None:
    net = Net()
    optimizer = RAMDA(groups(net, GroupLasso(1e-4, axes=(0,))), lr=0.1)
    first, second = optimizer.param_groups
    assert first["regularizer"] == {"name": "GroupLasso", "strength": 1e-4, "axes": [0], "scale_by_size": True}
    assert (second["regularizer"], second["stopping"], second["solver"]) == (None, None, None)
    assert optimizer.method(first) == ramda(GroupLasso(1e-4, axes=(0,)), 0.1)
    assert optimizer.method(second) == ramda(Zero(), 0.1)


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


# --- refusals ---------------------------------------------------------------------------------------------------------


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


def test_nonfinite_is_an_argument() -> None:
    net = Net()
    assert RAMDA(net.parameters(), nonfinite="skip").nonfinite == "skip"
    with pytest.raises(ValueError, match="nonfinite must be one of 'raise', 'skip', got 'ignore'"):
        RAMDA(net.parameters(), nonfinite="ignore")


def test_a_method_without_psi_refuses_a_regularizer() -> None:
    with pytest.raises(ValueError, match="adamw takes no regularizer; leave it out or use ProxGen"):
        MethodOptimizer([WEIGHT], adamw, regularizer=PSI)


def test_a_method_that_needs_a_value_says_so() -> None:
    def needy(psi: Regularizer, lr: float) -> ProximalMethod:
        return proxsgd(psi, lr)

    with pytest.raises(TypeError, match="needy needs a value for lr"):
        MethodOptimizer([WEIGHT], needy)
    assert MethodOptimizer([WEIGHT], needy, lr=0.1).param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("key", ["penalty", "regularization"])
def test_a_part_under_another_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"unknown key '{key}'"):
        RAMDA([{"params": [nn.Parameter(torch.ones(2, 2))], key: GroupLasso(1.0, axes=0)}])


def test_the_strength_beside_no_regularizer_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown key 'strength' in a parameter group; allowed: regularizer"):
        RAMDA([{"params": [nn.Parameter(torch.ones(2, 2))], "strength": 1.0}])


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
