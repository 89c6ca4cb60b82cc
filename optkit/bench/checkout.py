"""Published implementations in the user's own checkout: what is there, how it is made, and its subproblems.

Known are github.com/ismoptgroup/ramda_exp and github.com/ismoptgroup/RAMDA (a package `Core`), and
github.com/tristandeleu/pytorch-structured-sparsity (a package `proxssi`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from optkit import registry
from optkit.core import Subproblem
from optkit.regularizers import GroupLasso

from . import lists
from .checking import Check, Solved, conclude
from .contestants import CLASSES, FUSED, STRENGTH, adamw
from .timing import Effort, compare
from .workload import Steps, Workload

HOMES = {"Core": "Core/optimizer.py", "proxssi": "proxssi/optimizers/__init__.py"}

WEAKER = 0.1  # of the strength of ProxSSI, whose metric, without bias correction, is as much too small in early steps


def home(folder: Path) -> str:
    """Which of HOMES a checkout has; DataError where it has none."""
    for name, path in HOMES.items():
        if (folder / path).is_file():
            return name
    raise registry.DataError(
        f"--reference: {folder} has no {' and no '.join(HOMES.values())}; give a checkout of ismoptgroup/ramda_exp, "
        "ismoptgroup/RAMDA or tristandeleu/pytorch-structured-sparsity"
    )


def answer(folder: str, name: str, optimizers: list[str], effort: dict[str, Any]) -> list[dict[str, Any]]:
    """The measurements of what the checkout has of these optimizers."""
    sys.path.insert(0, folder)
    workload = Workload(lists.entries(name), "cpu")
    found = []
    for optimizer, (label, make, solved) in _published(home(Path(folder))).items():
        if optimizer in optimizers:
            found.append({"optimizer": optimizer, "class": label, **_measure(make, solved, workload, Effort(**effort))})
    return found


Make = Callable[[Workload, list[Tensor]], Optimizer]
Find = Callable[[dict[str, Any], dict[str, Any], Tensor], tuple[Tensor, Tensor, Tensor, float]]
"""From a group, a parameter's state and the weights before the step: linear, anchor, metric and weight."""


def _published(home: str) -> dict[str, tuple[str, Make, Find | None]]:
    """By optkit's name: their class, how it is made, and where its subproblems are."""
    try:
        module: Any = importlib.import_module("Core.optimizer" if home == "Core" else "proxssi.optimizers")
    except Exception as error:  # whatever goes wrong in code that is not ours
        raise registry.DataError(f"the checkout can not be imported: {type(error).__name__}: {error}") from error
    finds: dict[str, Find | None] = {"RAMDA": _ramda, "ProxAdamW": _proxgen, "RMDA": None, "ProxSGD": None}
    found: dict[str, tuple[str, Make, Find | None]] = {}
    for label, find in finds.items():
        if hasattr(module, label):
            name = "ProxGen" if label == "ProxAdamW" else label
            found[name] = label, _core(getattr(module, label), CLASSES[name][1]), find
    if hasattr(module, "AdamW"):
        found["ProxSSI"] = "AdamW", _proxssi(module.AdamW), _ssi
    return found


def _core(kind: Any, options: dict[str, Any]) -> Make:
    renamed = {{"averaging": "momentum"}.get(key, key): value for key, value in options.items()}

    def make(workload: Workload, weights: list[Tensor]) -> Optimizer:
        groups: dict[Any, dict[str, Any]] = {}
        for entry, weight in zip(workload.entries, weights, strict=True):
            dim = entry.axes[0] if entry.axes is not None and len(entry.axes) == 1 else entry.axes
            own: dict[str, Any] = {"params": [], "dim": dim, "dim_": None if dim is None else 1}
            own["lambda_"] = 0.0 if dim is None else STRENGTH
            groups.setdefault(dim, own)["params"].append(weight)
        return kind(list(groups.values()), **renamed)

    return make


def _proxssi(kind: Any) -> Make:
    def groups_fn(params: list[Tensor]) -> list[Tensor]:
        return [p.flatten(2).transpose(1, 2) if p.ndim > 2 else p.unsqueeze(0) for p in params]

    def make(workload: Workload, weights: list[Tensor]) -> Optimizer:
        pairs = list(zip(workload.entries, weights, strict=True))
        own: dict[str, Any] = {
            "groups_fn": groups_fn,
            "penalty": "l1_l2",
            "prox_kwargs": {"lambda_": WEAKER * STRENGTH},
        }
        regularized = [w for entry, w in pairs if entry.axes is not None]
        free = [w for entry, w in pairs if entry.axes is None]
        groups = [{"params": regularized, **own}, *([{"params": free}] if free else [])]
        return kind(groups, lr=CLASSES["ProxSSI"][1]["lr"])

    return make


def _ramda(group: dict[str, Any], state: dict[str, Any], before: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    metric = state["grad_sum_sq"].double() ** (1 / 3) + group["epsilon"]
    return state["grad_sum"], state["initial_point"], metric, state["alpha"]


def _proxgen(group: dict[str, Any], state: dict[str, Any], before: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    corrections = [1 - beta ** state["step"] for beta in group["betas"]]
    metric = (state["exp_avg_sq"].double() / corrections[1]).sqrt() + group["epsilon"]
    return state["exp_avg"].double() * group["lr"] / corrections[0], before, metric, group["lr"]


def _ssi(group: dict[str, Any], state: dict[str, Any], before: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    corrections = [1 - beta ** state["step"] for beta in group["betas"]]
    metric = state["exp_avg_sq"].double().sqrt() + group["eps"]
    return (
        state["exp_avg"].double() * group["lr"] * corrections[1] ** 0.5 / corrections[0],
        before,
        metric,
        WEAKER * group["lr"],
    )


def _measure(make: Make, find: Find | None, workload: Workload, effort: Effort) -> dict[str, Any]:
    weights, others = workload.weights(), workload.weights()
    steps = Steps(make(workload, weights), weights, workload)
    times = compare({"own": steps, FUSED: Steps(adamw(FUSED, others), others, workload)}, effort, "cpu")
    check = None if find is None else _check(steps, find)
    return {
        "seconds": times["own"].median,
        "fused": times[FUSED].median,
        "rounds": len(times["own"].seconds),
        "warmup": times["own"].warmup,
        "residual": None if check is None else check.residual,
        "condition": None if check is None else check.condition,
        "zeros": None if check is None else check.zeros,
    }


def _check(steps: Steps, find: Find) -> Check:
    """One step more, without averaging, so that the weights are the solution."""
    for group in steps.optimizer.param_groups:
        group.update({"momentum": 1.0} if "momentum" in group else {})
    before = {w: w.detach().clone() for w in steps.parameters}
    steps.prepare()
    steps.run()
    axes = dict(zip(steps.parameters, (entry.axes for entry in steps.workload.entries), strict=True))
    return conclude(
        _solved(find, group, steps.optimizer.state[w], w, before[w], axes[w])
        for group in steps.optimizer.param_groups
        for w in group["params"]
        if axes[w] is not None
    )


def _solved(
    find: Find, group: dict[str, Any], state: dict[str, Any], w: Tensor, before: Tensor, axes: tuple[int, ...] | None
) -> Solved:
    *arrays, weight = find(group, state, before)
    linear, anchor, metric = (array.double().reshape(w.shape) for array in arrays)
    problem = Subproblem(linear, anchor, metric, float(weight))
    return problem, GroupLasso(STRENGTH, axes=axes), w.detach().double()
