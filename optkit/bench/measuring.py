"""The steps of several optimizers on one list, timed in turns with AdamW and with a copy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .checking import Check, check
from .contestants import FOREACH, FUSED, adamw, grouped, make
from .lists import Entries
from .settings import Settings
from .timing import Runner, Times, compare
from .workload import Copy, Steps, Workload

ARRAYS_EACH = 6  # at most: weights, three of state, two that come and go
SHARED = 10  # both AdamW with state, both sets of gradients, the copy


@dataclass(frozen=True)
class Measured:
    """An optimizer on a list.

    times; fused, foreach: those of the two forms of AdamW in the same rounds;  copy: seconds that one array of the
    list's size takes at the speed of a copy in these rounds;  parameters: how many;  arrays: the fewest arrays of this
    size that a step can move;  state: bytes of state for each parameter;  check: None for AdamW and without psi.
    """

    optimizer: str
    times: Times
    fused: Times
    foreach: Times
    copy: float
    parameters: int
    arrays: float
    state: float
    check: Check | None = None

    @property
    def ratio(self) -> float:
        """The median time divided by that of fused AdamW."""
        return self.times.median / self.fused.median

    @property
    def moved(self) -> float:
        """How many arrays a copy moves in the time of a step."""
        return self.times.median / self.copy

    @property
    def bandwidth(self) -> float:
        """Bytes of the arrays that a step has to move, for each second."""
        return 4 * self.parameters * self.arrays / self.times.median


def measure(entries: Entries, optimizers: Sequence[str], kind: str, settings: Settings) -> list[Measured]:
    """Both forms of AdamW first, then the optimizers.  kind: the regularizer, see contestants.regularizer."""
    workload = Workload(entries, settings.device)
    found: list[Measured] = []
    for batch in _batches(workload, optimizers):
        some = _together(workload, batch, kind, settings)
        found += some if not found else some[2:]
    return found


def _together(workload: Workload, optimizers: Sequence[str], kind: str, settings: Settings) -> list[Measured]:
    """All of them in the same rounds."""
    names = (FUSED, FOREACH, *optimizers)
    steps = {name: prepared(name, workload, kind, settings.kernel) for name in names}
    copy = Copy(workload.size, settings.device)
    runners: dict[str, Runner] = {**steps, "copy": copy}
    times = compare(runners, settings.effort, settings.device)
    unit = times["copy"].median / 2 * workload.size / copy.size
    common: dict[str, Any] = {
        "fused": times[FUSED],
        "foreach": times[FOREACH],
        "copy": unit,
        "parameters": workload.size,
    }
    return [
        Measured(
            name,
            times[name],
            arrays=arrays(each.optimizer, each.parameters),
            state=state_bytes(each.optimizer, each.parameters),
            check=check(each) if name in optimizers else None,
            **common,
        )
        for name, each in steps.items()
    ]


def prepared(name: str, workload: Workload, kind: str, kernel: str) -> Steps:
    """The steps of an optimizer, or of FUSED or FOREACH, from the workload's weights."""
    weights = workload.weights()
    if name in (FUSED, FOREACH):
        return Steps(adamw(name, weights), weights, workload)
    return Steps(make(name, grouped(workload.entries, weights, kind), kernel), weights, workload)


def _batches(workload: Workload, optimizers: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as fit into memory; never none."""
    each = max(together(workload.size, workload.device), 1)
    for i in range(0, max(len(optimizers), 1), each):
        yield optimizers[i : i + each]


def together(parameters: int, device: str) -> int:
    """How many optimizers of so many parameters fit into three quarters of the memory."""
    fit = _memory(device) * 3 // 4 // max(4 * parameters, 1)
    return (fit - SHARED) // ARRAYS_EACH


def _memory(device: str) -> int:
    """Free bytes."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 8 * 2**30


def arrays(optimizer: Optimizer, parameters: Sequence[Tensor]) -> float:
    """The fewest arrays of all parameters' size that a step can move: weights, gradients and state in, weights and
    state out. W_0 never changes and does not go out."""
    moved = 3 * sum(p.numel() for p in parameters)
    for p in parameters:
        for key, value in optimizer.state[p].items():
            if isinstance(value, Tensor) and value.numel() == p.numel() > 1:
                moved += value.numel() * (1 if key == "anchor" else 2)
    return moved / sum(p.numel() for p in parameters)


def state_bytes(optimizer: Optimizer, parameters: Sequence[Tensor]) -> float:
    """Bytes of the tensors of the state for each parameter, memory that several share counted once."""
    storages = {p.untyped_storage().data_ptr() for p in parameters}
    total = 0
    for p in parameters:
        for value in optimizer.state[p].values():
            if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in storages:
                storages.add(value.untyped_storage().data_ptr())
                total += value.untyped_storage().nbytes()
    return total / sum(p.numel() for p in parameters)
