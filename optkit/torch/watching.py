"""The hooks by which a ManifoldMonitor watches an optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optkit.monitor import Look, look

from .optimizer import MethodOptimizer, unwrapped
from .state import plain, unpack

if TYPE_CHECKING:
    from optkit.monitor import ManifoldMonitor


class Watch:
    """A monitor attached to an optimizer, until `remove()` or the end of a `with` block.

    optimizer: of optkit.torch, may be wrapped. Raises TypeError for another kind.
    """

    def __init__(self, optimizer: Any, monitor: ManifoldMonitor) -> None:
        optimizer = unwrapped(optimizer)
        if not isinstance(optimizer, MethodOptimizer):
            given = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else type(optimizer).__name__
            raise TypeError(
                f"a monitor attaches to an optimizer of optkit.torch, got {given}; give one, for example "
                "RAMDA(model.parameters()); with arrays: minimize(..., callback=monitor)"
            )
        self.steps, self._monitor = 0, monitor
        self._before: dict[Tensor, tuple[Any, Tensor]] = {}  # the mark of the state before the step, and W_{t-1}
        self._handles = (
            optimizer.register_step_pre_hook(self._begin),
            optimizer.register_step_post_hook(self._end),
        )

    def remove(self) -> None:
        """End it; the monitor keeps its last observation."""
        for handle in self._handles:
            handle.remove()
        self._before.clear()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _begin(self, optimizer: Any, *_: Any) -> None:
        """Keep what a step that is observed overwrites, W_{t-1}, where a method is anchored there."""
        if self._monitor.margin and self._monitor.observes(self.steps + 1):
            self._before = {
                parameter: (_mark(optimizer.state.get(parameter)), parameter.detach().clone())
                for _, parameter, group in optimizer.regularized()
                if optimizer.method(group).anchor == "previous"
            }

    def _end(self, optimizer: Any, *_: Any) -> None:
        self.steps += 1
        if self._monitor.observes(self.steps):
            with torch.no_grad():
                self._monitor.record(self.steps, dict(self._looks(optimizer)))
            self._before.clear()

    def _looks(self, optimizer: MethodOptimizer) -> Iterator[tuple[str, Look]]:
        """The name of each regularized parameter and what is seen of it, after one solve."""
        for name, parameter, group in optimizer.regularized():
            point, method = optimizer.structured_value(parameter, group), optimizer.method_of(parameter, group)
            data = optimizer.state.get(parameter)
            state = unpack(data, method) if data else None
            before = self._anchor(parameter, data, point)
            yield name, look(method, point, state, before, self._monitor.margin)

    def _anchor(self, parameter: Tensor, data: Any, point: Tensor) -> Tensor | None:
        """W_{t-1} in the dtype of What_t, where it was kept and the step has moved on from it."""
        old, before = self._before.get(parameter, (None, None))
        stepped = before is not None and _mark(data) != old and "stale" not in data
        return before.to(point.dtype) if stepped and before is not None else None


def _mark(entry: dict[str, Any] | None) -> tuple[int, Any]:
    """Another one after every step: a step puts a new entry into the state, or counts on in the old one."""
    return id(entry), plain(entry).get("t") if entry else None
