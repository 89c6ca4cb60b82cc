"""What a launch needs to know of its tensors, in tables on the device: they stay as they are while addresses do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optkit.core import Regularizer
from optkit.kernels.base import Task
from optkit.kernels.layout import Layout, layout
from optkit.kernels.plan import Plan, penalty

from . import sizes


@dataclass(frozen=True, eq=False)
class Form:
    """psi on arrays of one shape.  kind: of the Penalty;  sparse, bent: whether it has a level, a concavity;  penalty:
    (first, second, level, concavity);  layout, tile: of the groups, else None."""

    kind: str
    sparse: bool
    bent: bool
    penalty: tuple[float, float, float, float]
    layout: Layout | None
    tile: sizes.Tile | None


@lru_cache(4096)
def form(psi: Regularizer, shape: tuple[int, ...], strides: tuple[int, ...]) -> Form:
    """psi on dense arrays of this shape and these strides."""
    unit = penalty(psi, shape)
    at = layout(shape, strides, unit.axes) if unit.kind == "groups" else None
    assert (at is not None) == (unit.kind == "groups"), "see `Kernel.objection`"
    values = unit.first, unit.second, unit.level, unit.concavity
    return Form(unit.kind, unit.level > 0, unit.concavity > 0, values, at, None if at is None else sizes.tile(at))


class Job(NamedTuple):
    """One task, as a key of the tables: all that they hold of it. row: of the table of plans."""

    addresses: tuple[int, ...]
    length: int
    dtypes: tuple[torch.dtype, torch.dtype, torch.dtype]
    form: Form
    root: str
    anchored: bool
    sign: float
    row: int

    @classmethod
    def of(cls, task: Task, form: Form, plan: Plan, row: int) -> Job:
        """The job of a task whose arrays all lie in memory as w does."""
        w, grad, state = task.w, task.grad, task.state
        mean, anchor, theta = state.estimator[0], state.anchor, task.theta
        square, top = (*state.preconditioner, None, None)[:2]
        addresses = (
            w.data_ptr(),
            0 if anchor is None else anchor.data_ptr(),
            grad.data_ptr(),
            mean.data_ptr(),
            0 if square is None else square.data_ptr(),
            0 if top is None else top.data_ptr(),
            0 if theta is None else theta.data_ptr(),
        )
        dtypes, sign = (w.dtype, grad.dtype, mean.dtype), -1.0 if task.maximize else 1.0
        return cls(addresses, w.numel(), dtypes, form, plan.root, plan.anchored, sign, row)

    @property
    def variant(self) -> Variant:
        """The compiled kernel that it needs."""
        form, at = self.form, self.form.layout
        wide = self.length if at is None else at.groups if at.run == 1 else at.run
        even = wide % sizes.ALIGNED == 0 and all(address % sizes.ALIGNED == 0 for address in self.addresses[:-1])
        single = at is not None and at.run == 1
        return Variant(
            *self.dtypes, self.root, self.anchored, form.kind, form.sparse, form.bent, form.tile, single, even
        )

    @property
    def blocks(self) -> int:
        """How many programs it takes."""
        at, tile = self.form.layout, self.form.tile
        if self.length == 0:
            return 0
        return -(-self.length // sizes.ENTRIES) if at is None or tile is None else tile.count(at)


class Variant(NamedTuple):
    """What is a constant of a compiled kernel.  even: see sizes.ALIGNED;  single: run 1."""

    weight: torch.dtype
    gradient: torch.dtype
    state: torch.dtype
    root: str
    anchored: bool
    kind: str
    sparse: bool
    bent: bool
    tile: sizes.Tile | None
    single: bool
    even: bool


@dataclass(frozen=True)
class Launch:
    """variant: the kernel;  blocks: (programs, 2), the task and the tile of each;  first: the place of its reports."""

    variant: Variant
    blocks: Tensor
    first: int


@dataclass(frozen=True)
class Tables:
    """addresses: (tasks, 7), see functions.py;  lengths, rows: (tasks,);  layouts: (tasks, 4);  penalties: (tasks, 5),
    first, second, level, concavity and sign;  bounds: (tasks, 2), the reports of each;  reports: how many there are."""

    addresses: Tensor
    lengths: Tensor
    rows: Tensor
    layouts: Tensor
    penalties: Tensor
    bounds: Tensor
    launches: tuple[Launch, ...]
    reports: int

    @classmethod
    def of(cls, jobs: Sequence[Job], device: torch.device) -> Tables:
        """The tables of these jobs, on their way to the device."""
        shares: dict[Variant, list[int]] = {}
        for i, job in enumerate(jobs):
            if job.blocks:
                shares.setdefault(job.variant, []).append(i)
        bounds, launches, reports = np.zeros((len(jobs), 2), np.int64), [], 0
        for variant, places in shares.items():
            counts = [jobs[i].blocks for i in places]
            launches.append(Launch(variant, upload(_blocks(places, counts), device), reports))
            if variant.tile is not None:
                ends = reports + np.cumsum(counts)
                bounds[places] = np.stack([ends - counts, ends], 1)
                reports = int(ends[-1])
        at = [job.form.layout or Layout(1, 1, 1, 1) for job in jobs]
        penalties = [(*job.form.penalty, job.sign) for job in jobs]
        return cls(
            upload(np.array([job.addresses for job in jobs], np.int64), device),
            upload(np.array([job.length for job in jobs], np.int64), device),
            upload(np.array([job.row for job in jobs], np.int64), device),
            upload(np.array(at, np.int64), device),
            upload(np.array(penalties), device),
            upload(bounds, device),
            tuple(launches),
            reports,
        )


@dataclass(frozen=True)
class Gradients:
    """The tables of a search for the largest entries."""

    addresses: Tensor
    lengths: Tensor
    bounds: Tensor
    launches: tuple[tuple[torch.dtype, bool, Tensor, int], ...]
    parts: int

    @classmethod
    def of(cls, grads: Iterable[tuple[int, int, torch.dtype]], device: torch.device) -> Gradients:
        """grads: (address, length, dtype) of each."""
        rows = list(grads)
        shares: dict[tuple[torch.dtype, bool], list[int]] = {}
        for i, (address, length, dtype) in enumerate(rows):
            if length:
                even = address % sizes.ALIGNED == 0 and length % sizes.ALIGNED == 0
                shares.setdefault((dtype, even), []).append(i)
        bounds, launches, parts = np.zeros((len(rows), 2), np.int64), [], 0
        for (dtype, even), places in shares.items():
            counts = [-(-rows[i][1] // sizes.LARGEST) for i in places]
            launches.append((dtype, even, upload(_blocks(places, counts), device), parts))
            ends = parts + np.cumsum(counts)
            bounds[places] = np.stack([ends - counts, ends], 1)
            parts = int(ends[-1])
        addresses = np.zeros((len(rows), 7), np.int64)
        addresses[:, 2] = [address for address, _, _ in rows]
        lengths = np.array([length for _, length, _ in rows], np.int64)
        return cls(upload(addresses, device), upload(lengths, device), upload(bounds, device), tuple(launches), parts)


def _blocks(places: list[int], counts: list[int]) -> np.ndarray:
    """(task, tile) of each program."""
    tiles = [np.arange(count) for count in counts]
    return np.stack([np.repeat(places, counts), np.concatenate(tiles)], 1).astype(np.int64)


def upload(values: np.ndarray, device: torch.device) -> Tensor:
    """The values on the device, copied from pinned memory: nothing waits for it."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor
    pinned = tensor.pin_memory()
    if torch.cuda.is_current_stream_capturing():
        CAPTURED.append(pinned)
    return pinned.to(device, non_blocking=True)


CAPTURED: list[Tensor] = []
"""What CUDA graphs copy from at every replay: it must not be used for anything else as long as they live."""
