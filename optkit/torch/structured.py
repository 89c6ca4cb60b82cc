"""The structured weights What_t inside a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .optimizer import MethodOptimizer, unwrapped


@contextmanager
def structured(model: nn.Module, optimizer: MethodOptimizer) -> Iterator[nn.Module]:
    """Inside the block the model holds What_t, exact zeros and all: evaluate, save or export it there.

    Running statistics of BatchNorm layers stay those of the training weights, which come to What_t as the averaging
    ramps up to 1. Afterwards the training weights are back, also after an exception; changes made inside are lost, and
    the optimizer takes no step there.
    The optimizer may be wrapped, as accelerate and Lightning do it.
    Raises ValueError when the optimizer has no parameter of the model, TypeError for another kind of optimizer.
    """
    optimizer = unwrapped(optimizer)
    if not isinstance(optimizer, MethodOptimizer):
        raise TypeError(f"structured needs an optimizer of optkit.torch, got {type(optimizer).__name__}")
    members = set(model.parameters())
    pairs = [(p, group) for group in optimizer.param_groups for p in group["params"] if p in members]
    if not pairs:
        raise ValueError("the optimizer has no parameter of this model; give the model that it trains")
    with torch.no_grad():
        solutions = [optimizer.structured_value(p, group) for p, group in pairs]
        training = [p.detach().clone() for p, _ in pairs]
        for (p, _), solution in zip(pairs, solutions, strict=True):
            p.copy_(solution)
    optimizer._lent += 1
    try:
        yield model
    finally:
        optimizer._lent -= 1
        with torch.no_grad():
            for (p, _), weight in zip(pairs, training, strict=True):
                p.copy_(weight)
