"""The optimizers that the laws are tried on, and a small model for the tests of what is particular to single ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optkit.algorithms import (
    AdamRoot,
    ConstantAveraging,
    DualAveraging,
    ProximalMethod,
    SqrtWeighting,
    adamw,
    msgd,
    proxsgd,
    rda,
)
from optkit.core import Regularizer
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, ProxSSI

PSI = GroupLasso(0.3, axes=0)


def averaged(psi: Regularizer, lr: float = 0.1, averaging: float = 0.3) -> ProximalMethod:
    """A method of one's own: its last solution can not be computed again and is part of the state."""
    return replace(proxsgd(psi, lr), averaging=ConstantAveraging(averaging))


def dual_adam(psi: Regularizer, lr: float = 0.1) -> ProximalMethod:
    """A method of one's own: dual averaging in Adam's metric."""
    return ProximalMethod(
        psi, DualAveraging(), AdamRoot(0.9), SqrtWeighting(), "initial", lr, averaging=ConstantAveraging(0.2)
    )


Make = Callable[..., MethodOptimizer]
OPTIMIZERS: dict[str, Make] = {
    "RAMDA": partial(RAMDA, lr=0.1, averaging=0.1, epsilon=1e-3),
    "RAMDA, c = 1": partial(RAMDA, lr=0.1, averaging=1.0),
    "RMDA": partial(RMDA, lr=0.1, averaging=0.1),
    "ProxSGD": partial(ProxSGD, lr=0.1),
    "ProxSGD as published": partial(ProxSGD, lr=0.1, published=True),
    "ProxGen": partial(ProxGen, lr=0.02, weight_decay=0.1),
    "ProxGen with amsgrad": partial(ProxGen, lr=0.02, amsgrad=True),
    "ProxSSI": partial(ProxSSI, lr=0.02),
    "ProxSSI as published": partial(ProxSSI, lr=0.02, weight_decay=0.1, published=True),
    "rda": partial(MethodOptimizer, factory=rda),
    "msgd": partial(MethodOptimizer, factory=msgd),
    "adamw": partial(MethodOptimizer, factory=adamw, lr=0.02),
    "averaged proxsgd": partial(MethodOptimizer, factory=averaged),
    "dual averaging in Adam's metric": partial(MethodOptimizer, factory=dual_adam),
}
ALL_OPTIMIZERS = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Net(nn.Module):
    """A weight to regularize with columns from large to small, a free bias, and another weight."""

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = torch.linspace(1, 0.1, 6)
        self.weight = nn.Parameter((sizes * torch.randn(4, 6, generator=generator)).to(dtype))
        self.bias = nn.Parameter(torch.randn(4, generator=generator).to(dtype))
        self.late = nn.Parameter((sizes * torch.randn(3, 6, generator=generator)).to(dtype))


def groups(net: Net, psi: Regularizer = PSI) -> list[dict[str, Any]]:
    """Two groups of named parameters: the weights, and the bias without a regularizer."""
    named = dict(net.named_parameters())
    regularized = [(name, named[name]) for name in ("weight", "late")]
    return [{"params": regularized, "regularizer": psi}, {"params": [("bias", net.bias)]}]


def gradients(net: nn.Module, k: int) -> None:
    """Put the gradients of step k into the net: a drift in the first columns and noise."""
    generator = torch.Generator().manual_seed(1000 + k)
    for p in net.parameters():
        noise = 0.1 * torch.randn(p.shape, generator=generator)
        drift = torch.linspace(1, 0, p.shape[-1]) if p.ndim > 1 else torch.zeros(())
        p.grad = (drift + noise).to(p.dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    """So many steps, from step first on."""
    for k in range(first, first + steps):
        gradients(net, k)
        optimizer.step()


def values(net: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters."""
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def assert_same(a: Any, b: Any) -> None:
    """Two tensors, or dictionaries or tuples of tensors, are equal bit by bit."""
    torch.testing.assert_close(a, b, rtol=0, atol=0)
