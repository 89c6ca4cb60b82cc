"""Steps whose t, and whatever follows from it, is counted on the host."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optkit.kernels import Task, choose

from .outcomes import DEFERRED, NOTHING_CHANGED, Outcome, Snapshot, masked, told_late
from .repeating import Repeat
from .restarting import commit, restarted
from .state import pack, unpack
from .updates import Due, Update, bounds, computed, due, fused, known, sizes, work

if TYPE_CHECKING:
    from .optimizer import MethodOptimizer


class HostSteps:
    """The steps of an optimizer, until its groups, state or kernel change from outside: then others take their place.

    outcomes: of those steps that it is not yet known of how they went.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._ok: Tensor | None = None  # on the device: whether all steps went well that it has not told of yet
        self._repeat: Repeat | None = None

    def step(self, optimizer: MethodOptimizer) -> None:
        """One step of every parameter that has a gradient. Raises ValueError for a gradient that `MethodOptimizer.step`
        refuses."""
        if self._repeated(optimizer):
            return
        listed = with_gradient(optimizer)
        dues = [each for group in optimizer.param_groups for each in _dues(optimizer, group)]
        if _deferred(optimizer, listed):
            self._step_deferred(optimizer, dues)
        else:
            self._step(optimizer, dues)

    def learn(self, optimizer: MethodOptimizer, wait: bool) -> None:
        """Take note of how steps went: of all, or of those that are known without waiting for the device. Raises
        ValueError, with everything as before it, for a step that went wrong."""
        if wait and self._repeat is not None:
            self._note(optimizer, self._repeat)
        while self.outcomes and (wait or self.outcomes[0].ready()):
            outcome = self.outcomes.pop(0)
            finite, converged = outcome.read()
            if not all(finite):
                later = len(self.outcomes)
                outcome.before.restore(optimizer.state)
                self.outcomes, self._ok, self._repeat = [], None, None
                optimizer.tally.residuals.clear()
                raise ValueError(told_late(outcome.names[finite.index(False)], later + 1))
            for solve, flag in zip(outcome.solves, converged, strict=True):
                optimizer.tally.count(*solve, flag)

    def _repeated(self, optimizer: MethodOptimizer) -> bool:
        """Take a step like the last one, if it is one."""
        repeat, groups = self._repeat, optimizer.param_groups
        if repeat is None:
            return False
        due = sum(p.grad is not None for group in groups for p in group["params"])
        same = due == len(repeat.parameters) and not any(group["pending_restart"] for group in groups)
        gradients = repeat.gradients(optimizer.state) if same else None
        solved = None if gradients is None else repeat.step(gradients, groups, optimizer.method)
        if solved is None:
            self._note(optimizer, repeat)
            self._repeat = None
            return False
        if not solved:
            for entry, residual, n, flag in zip(repeat.entries, *self._note(optimizer, repeat), strict=True):
                optimizer.tally.count(entry["t"], n, residual, flag)
        return True

    def _note(self, optimizer: MethodOptimizer, repeat: Repeat) -> Any:
        """Take note of the residuals of the last repeated step: only when they are asked for, or about to be lost."""
        outcome = repeat.outcome()
        if outcome is not None:
            optimizer.tally.residuals.update(zip(repeat.parameters, outcome[0], strict=True))
        return outcome

    def _remember(self, optimizer: MethodOptimizer, updates: list[Update]) -> None:
        """Prepare for another step like this one."""
        parameters, kernels = [update.parameter for update in updates], {update.kernel for update in updates}
        (kernel,) = kernels if len(kernels) == 1 else (None,)
        if kernel is None or _deferred(optimizer, parameters):
            return
        group_of = {p: i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
        entries = [optimizer.state[p] for p in parameters]
        methods = [optimizer.method(group) for group in optimizer.param_groups]
        self._repeat = Repeat.of(kernel, parameters, entries, [group_of[p] for p in parameters], methods)

    def _step(self, optimizer: MethodOptimizer, dues: list[Due]) -> None:
        """Take the steps when it is known that all go well."""
        found = known(sizes(dues))
        bad = [each.task.w for each, size in zip(dues, found, strict=True) if not math.isfinite(size)]
        if _refused(optimizer, bad, "gradient", "holds NaN or infinity"):
            return
        allowed = bounds(dues)
        if not all(map(operator.lt, found, allowed)):
            fits = map(operator.lt, found, allowed)
            dues = [each if fit else each._replace(kernel=None) for each, fit in zip(dues, fits, strict=True)]
        updates = computed([each for each in dues if not each.kernel])
        if _refused(optimizer, [update.parameter for update in updates if not update.finite()], "step", "overflows"):
            return
        updates += fused(dues, None)
        self._take(optimizer, updates, None)
        self._remember(optimizer, updates)

    def _step_deferred(self, optimizer: MethodOptimizer, dues: list[Due]) -> None:
        """Take the steps where a flag on the device says that all go well, and nothing did not before."""
        sized = zip(dues, sizes(dues), bounds(dues), strict=True)
        well = {each.task.w: _flag(size, each.task.w) < allowed for each, size, allowed in sized}
        updates = computed([each for each in dues if not each.kernel])
        well |= {update.parameter: well[update.parameter] & update.finite() for update in updates}
        ok = torch.stack(list(well.values())).all() if well else None
        if ok is not None and self._ok is not None:
            ok = ok & self._ok
        updates += fused(dues, ok)
        self._take(optimizer, updates, torch.stack([well[update.parameter] for update in updates]) if updates else None)

    def _take(self, optimizer: MethodOptimizer, updates: list[Update], finite: Tensor | None) -> None:
        """Change parameters, state and groups; finite: on the device, one flag for each update, where not yet known."""
        ok, before = None, None
        if finite is not None:
            ok = finite.all() if self._ok is None else finite.all() & self._ok
            before = Snapshot.of(optimizer.param_groups, optimizer.state)
        for group in optimizer.param_groups:
            commit(optimizer.state, group)
        for update in updates:
            _enter(optimizer, update, ok)
        self._ok = ok
        if finite is None or before is None:
            for update in updates:
                optimizer.tally.count(update.state.t, update.iterations, update.residual, update.converged)
        elif finite.device.type != "meta":
            names = [optimizer.described(update.parameter) for update in updates]
            self.outcomes.append(Outcome(names, updates, finite, before))


def with_gradient(optimizer: MethodOptimizer) -> list[Tensor]:
    """The parameters that have a gradient. Raises ValueError, naming the parameter, for one that is sparse."""
    listed = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    for parameter in listed:
        if _gradient(parameter).layout != torch.strided:
            raise ValueError(
                f"the gradient of {optimizer.called(parameter)} is sparse; sparse gradients are not supported: every "
                "entry enters the metric; use sparse=False in Embedding"
            )
    return listed


def _deferred(optimizer: MethodOptimizer, parameters: list[Tensor]) -> bool:
    """Whether the step must not wait for the device to say how it went."""
    devices = {parameter.device for parameter in parameters}
    return optimizer.nonfinite == "raise" and len(devices) == 1 and {device.type for device in devices} <= DEFERRED


def _refused(optimizer: MethodOptimizer, bad: list[Tensor], what: str, wrong: str) -> bool:
    """Whether the step is to be skipped, which then is counted; raises ValueError unless it may be."""
    if not bad:
        return False
    if optimizer.nonfinite == "skip":
        optimizer.tally.skipped += 1
        return True
    raise ValueError(f"the {what} of {optimizer.described(bad[0])} {wrong}; {NOTHING_CHANGED}")


def _dues(optimizer: MethodOptimizer, group: dict[str, Any]) -> list[Due]:
    """The steps that the parameters of one group are to take, those that have a gradient."""
    params = [parameter for parameter in group["params"] if parameter.grad is not None]
    restart, maximize = group["pending_restart"], group["maximize"]
    method = optimizer.method(restarted(optimizer.state, group))
    dues: list[Due] = []
    for parameter in params:
        entry = optimizer.state.get(parameter)
        new = restart or not entry or "stale" in entry
        state = method.init(work(parameter)) if new or not entry else unpack(entry, method)
        theta = None if new or not entry else entry.get("theta")
        kernel = choose(optimizer.kernel, method, parameter)
        dues.append(due(Task(method, parameter, _gradient(parameter), state, theta, maximize), kernel))
    return dues


def _enter(optimizer: MethodOptimizer, update: Update, ok: Tensor | None) -> None:
    """Put the update into the parameter and its entry in `state`; ok: on the device, whether it may be."""
    parameter, method, kernel, w, state, theta, _, residual, _ = update
    entry = pack(state) if theta is None else {**pack(state), "theta": theta}
    if ok is not None:
        entry = masked(ok, entry, optimizer.state.get(parameter, {}))
    if w is not None:
        parameter.copy_(w if ok is None else torch.where(ok, w, parameter))
    optimizer.state[parameter] = entry
    optimizer.tally.residuals[parameter] = residual / (method.subproblem_scale(state) or 1.0)
    if kernel is not None:  # which wrote where autograd does not look
        torch.autograd.graph.increment_version(parameter)


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    return gradient


def _flag(size: Tensor | float, parameter: Tensor) -> Tensor:
    """A size on the device of its parameter."""
    return size if isinstance(size, Tensor) else torch.full((), size, device=parameter.device)
