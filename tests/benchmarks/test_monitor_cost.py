"""What a monitor costs: pytest tests/benchmarks/test_monitor_cost.py --benchmark-only -m slow

The same 200 steps of an optimizer without a monitor and with one that observes every 100 steps. It is marked
slow, so that the other benchmarks run without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from optkit import ManifoldMonitor
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, RMDA, MethodOptimizer, regularize

STEPS, EVERY = 200, 100
MAKES = {"RAMDA": partial(RAMDA, lr=1e-2, averaging=0.1), "RMDA": partial(RMDA, lr=1e-1, averaging=0.1)}


def network() -> nn.Module:
    """Two convolutions and two linear layers, 310,000 weights; its gradients are drawn, and stay."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(2304, 124), nn.ReLU(), nn.Linear(124, 10))
    for p in model.parameters():
        rows = torch.linspace(0, 1, p.shape[1] if p.ndim > 1 else 1)  # of the groups, from quiet to loud
        p.grad = 0.1 * torch.randn_like(p) * rows.reshape(-1, *[1] * (p.ndim - 2))
    return model


def walk(optimizer: MethodOptimizer) -> None:
    """STEPS steps with the gradients that are there."""
    for _ in range(STEPS):
        optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("monitored", [False, True], ids=["alone", "monitored"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_monitor_cost(benchmark: Any, make: Callable[..., MethodOptimizer], monitored: bool) -> None:
    """Every round walks the same steps, a new optimizer from the same weights."""
    monitor = ManifoldMonitor(EVERY)

    def begin() -> tuple[tuple[MethodOptimizer], dict[str, Any]]:
        optimizer = make(regularize(network(), GroupLasso(2e-2)))
        if monitored:
            monitor.attach(optimizer)
        return (optimizer,), {}

    benchmark.pedantic(walk, setup=begin, rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(steps=STEPS, every=EVERY if monitored else None, observed=str(monitor))
    if monitored:
        assert monitor.last is not None and monitor.last.steps == STEPS
        assert 0.1 < (monitor.last.structure.sparsity or 0.0) < 0.9
