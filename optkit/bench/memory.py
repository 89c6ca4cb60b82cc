"""Bytes of state and of the peak for each parameter, every optimizer in a process of its own."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from . import lists
from .contestants import FOREACH, FUSED
from .measuring import prepared, state_bytes
from .settings import Settings
from .table import Column, Table
from .worker import ask
from .workload import Steps, Workload

COLUMNS = (
    Column("optimizer"),
    Column("state, bytes a parameter", ".2f"),
    Column("peak, bytes a parameter", ".2f"),
    Column("peak, MB", ",.0f"),
)
STEPS = 4
TEXT = """\
Of {list} with the group lasso. State: the tensors that an optimizer keeps, 4 bytes for one float32 array. Peak: the
most memory that {steps} steps take beyond weights and gradients (8 bytes), which is the state and what comes and goes;
{how}.
"""


def tables(settings: Settings) -> Iterator[Table]:
    """For the first of the lists."""
    name, rows = settings.lists[0], []
    for optimizer in (FUSED, *settings.optimizers[:1]) if settings.quick else (FUSED, FOREACH, *settings.optimizers):
        rows.append(_row(optimizer, name, settings))
    how = "what CUDA allocates" if settings.device == "cuda" else "what the process occupies"
    yield Table("Memory", TEXT.format(list=name, steps=STEPS, how=how), COLUMNS, tuple(rows))


def _row(optimizer: str, name: str, settings: Settings) -> tuple[str, float, float, float]:
    found = ask("memory", optimizer=optimizer, name=name, device=settings.device, kernel=settings.kernel)
    return optimizer, found["state"], found["peak"] / found["parameters"], found["peak"] / 1e6


def answer(optimizer: str, name: str, device: str, kernel: str) -> dict[str, float]:
    """In its own process: bytes of state for each parameter, and of the peak beyond weights and gradients."""
    _steps(optimizer, "tiny", device, kernel)  # compiles, and takes what libraries take once
    steps = _steps(optimizer, name, device, kernel, taken=0)
    gc.collect()
    before = _reset(device)
    for _ in range(STEPS):
        steps.prepare()
        steps.run()
    return {
        "state": state_bytes(steps.optimizer, steps.parameters),
        "peak": max(_peak(device) - before, 0),
        "parameters": steps.workload.size,
    }


def _steps(optimizer: str, name: str, device: str, kernel: str, taken: int = 2) -> Steps:
    steps = prepared(optimizer, Workload(lists.entries(name), device), "GroupLasso", kernel)
    for _ in range(taken):
        steps.prepare()
        steps.run()
    return steps


def _reset(device: str) -> int:
    """Forget the peak so far, where the system can; returns the bytes that are in use."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        return _status("VmRSS")
    except OSError:
        return _peak(device)


def _peak(device: str) -> int:
    """The most bytes that were in use."""
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    try:
        return _status("VmHWM")
    except OSError:
        import resource  # not on every system

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(key: str) -> int:
    """A number of bytes of /proc/self/status."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
