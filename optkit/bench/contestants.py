"""The optimizers that are timed: those of optkit, and torch's AdamW as the yardstick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import AdamW, Optimizer

from optkit.core import Regularizer
from optkit.regularizers import L1, GroupLasso
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, ProxSSI

from .lists import Entry

FUSED, FOREACH = "AdamW(fused=True)", "AdamW(foreach=True)"
STRENGTH = 4.2e-3  # RAMDA sets 30 % of the weights to zero, with the gradients of a Workload
CLASSES: dict[str, tuple[type[MethodOptimizer], dict[str, Any]]] = {
    "RAMDA": (RAMDA, {"lr": 1e-2, "averaging": 0.01}),
    "ProxGen": (ProxGen, {"lr": 1e-3}),
    "ProxSSI": (ProxSSI, {"lr": 1e-3}),
    "RMDA": (RMDA, {"lr": 1.0, "averaging": 0.01}),
    "ProxSGD": (ProxSGD, {"lr": 0.1}),
}
"""With the learning rates of the RAMDA paper's ImageNet experiments, where RAMDA reached that sparsity, too."""


def adamw(name: str, parameters: Sequence[Tensor], **options: Any) -> Optimizer:
    """FUSED or FOREACH."""
    return AdamW(parameters, lr=1e-3, fused=name == FUSED or None, foreach=name == FOREACH or None, **options)


def make(name: str, groups: Sequence[dict[str, Any]], kernel: str) -> MethodOptimizer:
    """The optimizer of this name.  groups: see `grouped`;  kernel: which of optkit's kernels takes its steps."""
    kind, options = CLASSES[name]
    return kind(groups, **options, kernel=kernel)


def regularizer(kind: str, axes: tuple[int, ...] | None) -> Regularizer | None:
    """kind: the name of a regularizer, or "none";  axes: those of a group, None for a parameter that is free."""
    if axes is None or kind == "none":
        return None
    return GroupLasso(STRENGTH, axes=axes) if kind == "GroupLasso" else L1(STRENGTH)


def grouped(entries: Sequence[Entry], parameters: Sequence[Tensor], kind: str) -> list[dict[str, Any]]:
    """Parameter groups as `regularize` makes them: one for each choice of axes, the free parameters last."""
    groups: dict[tuple[int, ...] | None, dict[str, Any]] = {}
    for entry, parameter in zip(entries, parameters, strict=True):
        group = groups.setdefault(entry.axes, {"params": [], "regularizer": regularizer(kind, entry.axes)})
        group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: group["regularizer"] is None)
