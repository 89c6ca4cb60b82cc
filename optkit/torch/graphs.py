"""Steps that a CUDA graph can replay: all that they read and write is on the device and stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import MethodState, ProximalMethod, warn_uncertified
from optkit.kernels import AUTO, Taken, Task
from optkit.kernels.cuda import DeviceClock, Triton
from optkit.kernels.cuda.clock import constants
from optkit.kernels.cuda.sizes import LIMIT
from optkit.kernels.cuda.tables import upload

from .outcomes import told_late
from .repeating import kind
from .restarting import commit, restarted
from .state import NUMBERS, pack
from .stepping import with_gradient
from .updates import due, work

if TYPE_CHECKING:
    from .optimizer import MethodOptimizer


class Slot(NamedTuple):
    """A parameter that has stepped.  row: of the clock;  state: tensors only;  entry: the same, packed, with theta."""

    row: int
    state: MethodState
    entry: dict[str, Any]


class DeviceSteps:
    """The steps of all parameters of an optimizer, whose state and kernel may change from outside: that is seen. No
    tensor here is ever replaced by another.

    clock: a row for each parameter;  well: whether the gradient of each was good in the first bad step not told of yet,
    or else in the last step;  residuals: of their last subproblems;  counts: of the steps that changed nothing and of
    the solves that stopped at their iteration limit, both not told of yet;  captured: what the last graph holds of
    methods and groups, empty without a graph.

    Raises ValueError for what `refuse` refuses, and where the parameters are on several devices.
    """

    def __init__(self, optimizer: MethodOptimizer) -> None:
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        devices = {p.device for p in self.parameters}
        if len(devices) > 1:
            names = ", ".join(sorted(map(str, devices)))
            raise ValueError(f"capturable=True needs parameters on one device, got {names}; make an optimizer for each")
        (device,), count = devices, len(self.parameters)
        self.kernel, self.skips = Triton(), optimizer.nonfinite == "skip"
        self.methods = _methods(optimizer)
        for parameter, method in zip(self.parameters, self.methods, strict=True):
            refuse(optimizer.called(parameter), method, parameter)
        self.clock = DeviceClock(self.methods, device)
        self.well = torch.ones(count, dtype=torch.bool, device=device)
        self.residuals = torch.zeros(count, dtype=torch.float64, device=device)
        self.counts = torch.zeros(2, dtype=torch.int64, device=device)
        self.captured: list[Any] = []
        self._told = torch.zeros(2, dtype=torch.int64, pin_memory=device.type == "cuda")  # the counts, on their way
        self._double = upload(np.array([p.dtype == torch.float64 for p in self.parameters]), device)
        self._rows = {p: row for row, p in enumerate(self.parameters)}
        self._slots: dict[Tensor, Slot] = {}
        self._chosen: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def step(self, optimizer: MethodOptimizer) -> None:
        """One step of every parameter that has a gradient.

        Raises ValueError for sparse gradients and, while a graph is captured, unless such a step was taken before and
        nothing is new since.
        """
        parameters = with_gradient(optimizer)
        rows = tuple(self._rows[p] for p in parameters)
        held = capturing(self.well.device)
        if held:
            if rows not in self._chosen or self._outdated(optimizer):
                raise ValueError(
                    "step() in a capture needs arrays that exist and are up to date: before it take three steps of the "
                    "same parameters on a side stream, see MethodOptimizer, and call before_replay() after any change"
                )
        else:
            self._slots |= {p: self._slot(p) for p in parameters if p not in self._slots}
            self.refresh(optimizer)
        for p, one in zip(parameters, self.take(self._tasks(optimizer, parameters), rows), strict=True):
            if one.theta is not None:
                self._slots[p].entry["theta"] = one.theta
            optimizer.tally.residuals[p] = self.residuals[self._rows[p]]
        if held:
            self.captured = self._constants(optimizer)
        torch.autograd.graph.increment_version(parameters)  # autograd does not see what kernels write

    def take(self, tasks: Sequence[Task], rows: tuple[int, ...]) -> list[Taken]:
        """What a graph holds of a step.  rows: of the tasks."""
        if not tasks:
            return []
        clock, (index, chosen) = self.clock, self._choice(rows)
        clock.prepare(chosen)
        bounds = torch.where(self._double, clock.bounds(torch.float64), clock.bounds(torch.float32))
        fits = torch.ones_like(self.well).index_copy_(0, index, self.kernel.largest(tasks) < bounds[index])
        well = fits if self.skips else torch.where(self.well.all(), fits, self.well)
        ok = well.all()
        taken = self.kernel.step_on(clock, tasks, rows, ok)
        residuals = torch.stack([torch.as_tensor(one.residual) for one in taken]) / clock.scale[index]
        missed = ~torch.stack([torch.as_tensor(one.converged) for one in taken])
        self.residuals.index_copy_(0, index, torch.where(ok, residuals, self.residuals[index]))
        self.counts += torch.stack([(~ok).long(), (ok & missed).sum()])
        self.well.copy_(well)
        self._told.copy_(self.counts, non_blocking=True)
        return taken

    def refresh(self, optimizer: MethodOptimizer) -> None:
        """Bring to the device what changed on the host: hyper-parameters, a restart, states that were loaded. Raises
        what `refuse` raises, before anything changes."""
        methods = _methods(optimizer)
        if methods != self.methods:
            self._refuse_others(optimizer, methods)
            self.clock.set(methods)
            self.methods = methods
        for group in optimizer.param_groups:
            commit(optimizer.state, group)
        for p, slot in self._slots.items():
            entry = optimizer.state.get(p, {})
            if entry is not slot.entry:
                new = not entry or "stale" in entry
                source = pack(methods[slot.row].init(work(p))) if new else entry
                _copy(source, slot.entry)
                self.clock.at(slot.row, source["t"], source.get("estimator.weight", 0.0))
                optimizer.state[p] = slot.entry

    def before_replay(self, optimizer: MethodOptimizer) -> None:
        """`refresh`, for a graph: raises ValueError where something changed that it can not take up."""
        self.refresh(optimizer)
        optimizer.tally.residuals |= {p: self.residuals[slot.row] for p, slot in self._slots.items()}
        if self.captured and self.captured != self._constants(optimizer):
            raise ValueError("the regularizer or maximize of a group changed since the capture; capture the step again")

    def learn(self, optimizer: MethodOptimizer, wait: bool) -> None:
        """Take note of how steps went: of all or, without waiting for the device, of those that are known to be lost.
        Raises ValueError, once, for lost steps that are not to be skipped."""
        if not wait:
            if self.skips or not self._told.numpy()[0]:
                return
            if capturing(self.well.device):
                raise ValueError(
                    "a step before this capture was lost, and a capture cannot wait to learn more; before_replay() "
                    "says why: call it before you capture again"
                )
        (lost, uncertified), tally = self.counts.tolist(), optimizer.tally
        if not lost and not uncertified:
            return
        well = self.well.tolist()
        self.counts.zero_()
        self.well.fill_(True)
        self._told.zero_()
        if uncertified and not tally.uncertified:
            warn_uncertified("one of the last steps", LIMIT, self.residuals.max())
        tally.uncertified += uncertified
        if self.skips:
            tally.skipped += lost
        elif lost:
            raise ValueError(told_late(optimizer.described(self.parameters[well.index(False)]), lost))

    def _refuse_others(self, optimizer: MethodOptimizer, methods: list[ProximalMethod]) -> None:
        """`refuse` where more than numbers changed."""
        pairs = {(id(old), id(new)): (old, new) for old, new in zip(self.methods, methods, strict=True)}
        others = {id(new) for old, new in pairs.values() if kind(old) != kind(new)}
        for parameter, method in zip(self.parameters, methods, strict=True):
            if id(method) in others:
                refuse(optimizer.called(parameter), method, parameter)

    def _outdated(self, optimizer: MethodOptimizer) -> bool:
        """Whether `refresh` has something to do."""
        states = any(optimizer.state.get(p) is not slot.entry for p, slot in self._slots.items())
        pending = any(group["pending_restart"] for group in optimizer.param_groups)
        return states or pending or _methods(optimizer) != self.methods

    def _constants(self, optimizer: MethodOptimizer) -> list[Any]:
        """What the tables of a graph hold of the methods and groups."""
        return [(m.psi, g["maximize"]) for m, g in zip(self.methods, _group_of_each(optimizer), strict=True)]

    def _tasks(self, optimizer: MethodOptimizer, parameters: Sequence[Tensor]) -> list[Task]:
        groups = _group_of_each(optimizer)
        tasks = []
        for p in parameters:
            row, state, entry = self._slots[p]
            assert p.grad is not None
            tasks.append(Task(self.methods[row], p, p.grad, state, entry.get("theta"), groups[row]["maximize"]))
        return tasks

    def _slot(self, parameter: Tensor) -> Slot:
        """Arrays that lie in memory as the parameter does, yet to be filled."""
        row = self._rows[parameter]
        method = self.methods[row]
        aligned = due(Task(method, parameter, parameter, method.init(work(parameter))), self.kernel).task.state
        state = self.clock.dated(aligned, row)
        return Slot(row, state, pack(state))

    def _choice(self, rows: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The rows, and a flag for each row of the clock, on the device."""
        if rows not in self._chosen:
            device = self.well.device
            flags = np.isin(np.arange(len(self.parameters)), rows)
            self._chosen[rows] = upload(np.array(rows, np.int64), device), upload(flags, device)
        return self._chosen[rows]


def capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is being captured, and nothing may wait for the device."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def refuse(name: str, method: ProximalMethod, w: Tensor) -> None:
    """Raise ValueError, with the remedy, where no CUDA graph can hold the steps of the method on w."""
    reason = Triton().objection(method, w)
    if reason is None:
        try:
            constants([method])
        except ValueError as error:
            reason = str(error)
    if reason is not None:
        raise ValueError(
            f"capturable=True needs the kernel 'triton', which cannot take the steps of {name} (shape "
            f"{tuple(w.shape)}, {w.dtype}, on {w.device}): {reason}; or use capturable=False"
        )


def refuse_tensors(group: dict[str, Any]) -> None:
    """Raise ValueError for a hyper-parameter that lies on a device."""
    for key, value in group.items():
        if isinstance(value, Tensor) and value.device.type != "cpu":
            raise ValueError(
                f"capturable=True needs a number as {key}, got a tensor on {value.device}: a step would wait for it; "
                "before_replay() brings a changed number to the device"
            )


def refuse_kernel(kernel: str) -> None:
    """Raise ValueError for a kernel whose steps no CUDA graph can hold."""
    if kernel not in (AUTO, Triton.name):
        raise ValueError(f"capturable=True needs the kernel 'triton', got kernel={kernel!r}; use kernel='auto'")


def _group_of_each(optimizer: MethodOptimizer) -> list[dict[str, Any]]:
    return [group for group in optimizer.param_groups for _ in group["params"]]


def _methods(optimizer: MethodOptimizer) -> list[ProximalMethod]:
    """The method of each parameter's next step."""
    methods = [optimizer.method(restarted(optimizer.state, group)) for group in optimizer.param_groups]
    return [m for m, group in zip(methods, optimizer.param_groups, strict=True) for _ in group["params"]]


def _copy(source: dict[str, Any], target: dict[str, Any]) -> None:
    """Fill the arrays of an entry of the state with those of another."""
    for key, value in target.items():
        given = source.get(key)
        if not isinstance(value, Tensor) or key in NUMBERS:
            continue
        if isinstance(given, Tensor) and given.shape == value.shape:
            value.copy_(given)
        else:  # no theta, or that of other groups
            value.zero_()
