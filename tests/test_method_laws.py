"""Every method obeys all laws of optkit.testing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from optkit.algorithms import (
    ConstantAveraging,
    DecayingAveraging,
    PowerWeighting,
    ProximalMethod,
    SquareRootRamp,
    named,
    ramda,
)
from optkit.core import Regularizer
from optkit.regularizers import L1, GroupLasso
from optkit.testing import BACKENDS, METHOD_LAWS, check_method

from .torch_cases import averaged, dual_adam

NAMED = {
    name: make
    for name, make in vars(named).items()
    if getattr(make, "__module__", "") == named.__name__ and not name.startswith("_")
}


def powers(psi: Regularizer, lr: float) -> ProximalMethod:
    """RAMDA with the schedules of the theory checks."""
    averaging = DecayingAveraging(3.0, power=1.0, offset=0.0)
    return replace(ramda(psi, lr, averaging), weighting=PowerWeighting(-0.55))


METHODS: dict[str, Callable[..., ProximalMethod]] = {
    **NAMED,
    "ramda, c = 1": partial(named.ramda, averaging=1.0),
    "rmda with a ramp": partial(named.rmda, averaging=SquareRootRamp(0.6)),
    "proxsgd as published": partial(named.proxsgd, published=True),
    "proxgen with weight decay": partial(named.proxgen, weight_decay=0.1),
    "proxgen with amsgrad": partial(named.proxgen, amsgrad=True),
    "proxssi as published": partial(named.proxssi, betas=(0.9, 0.9), weight_decay=0.1, published=True),
    "averaged proxsgd": averaged,
    "ramda with powers of t": powers,
    "dual averaging in Adam's metric": dual_adam,
}
OTHERS = [name for name in BACKENDS if name != "numpy64"]


@pytest.mark.parametrize("law", METHOD_LAWS)
@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_the_laws_hold(make: Callable[..., ProximalMethod], law: str) -> None:
    check_method(make, laws=[law], backends=["numpy64"], examples=3)
    check_method(make, laws=[law], backends=OTHERS, examples=1)


@pytest.mark.parametrize("law", METHOD_LAWS)
def test_other_regularizers_may_be_tried(law: str) -> None:
    for penalty in (L1, lambda strength: GroupLasso(strength, axes=1)):
        check_method(ramda, laws=[law], penalty=penalty, backends=["numpy64"], examples=2)


def test_all_named_methods_are_tried() -> None:
    assert {"ramda", "rmda", "rda", "proxsgd", "proxgen", "proxssi", "madgrad", "mda", "msgd", "adamw"} <= set(NAMED)


def test_a_composition_of_ones_own_goes_through_in_one_line() -> None:
    def mine(psi: Regularizer, lr: float) -> ProximalMethod:
        return replace(ramda(psi, lr), averaging=ConstantAveraging(0.5), anchor="previous")

    check_method(mine, examples=1, backends=["numpy64", "torch32"])
