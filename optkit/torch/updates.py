"""From gradients to updates: the reference computes them, a fused kernel takes them in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit.algorithms import Constant, MethodState, ProximalMethod, SqrtCount
from optkit.kernels import Kernel, Taken, Task
from optkit.kernels.plan import bound

HALF = (torch.bfloat16, torch.float16)


class Due(NamedTuple):
    """A step that is to be taken.  kernel: by which; None: by the reference."""

    task: Task
    kernel: Kernel | None


class Update(NamedTuple):
    """The step of one parameter.  w: W_t where the parameter does not hold it yet, else None;  theta: for the next
    step of a kernel;  iterations, residual, converged: of the subproblem."""

    parameter: Tensor
    method: ProximalMethod
    kernel: Kernel | None
    w: Tensor | None
    state: MethodState
    theta: Tensor | None
    iterations: int
    residual: Any
    converged: Any

    def finite(self) -> Tensor:
        """Whether all numbers that are to be taken are finite, the weights also in the dtype of the parameter."""
        w, state = self.w, self.state
        assert w is not None
        arrays = [a for a in (*state.estimator, *state.preconditioner) if isinstance(a, Tensor)]
        return torch.stack([torch.isfinite(a).all() for a in (w, w.to(self.parameter.dtype), *arrays)]).all()


def due(task: Task, kernel: Kernel | None) -> Due:
    """The step; for a kernel, arrays that do not lie in memory as the parameter does are copied first. A state of
    another shape or dtype than the kernel expects, or with other arrays, is left to the reference."""
    if kernel is None:
        return Due(task, None)
    w, state, strides = task.w, task.state, task.w.stride()
    dtype = torch.float32 if w.dtype in HALF else w.dtype
    arrays = [a for a in (state.anchor, *state.estimator, *state.preconditioner) if isinstance(a, Tensor)]
    other = any(a.dtype != dtype or a.shape != w.shape or a.device != w.device for a in arrays)
    if other or len(arrays) != expected(task.method):
        return Due(task, None)

    def as_w(array: Any) -> Any:
        if not isinstance(array, Tensor) or array.stride() == strides:
            return array
        return torch.empty_like(w, dtype=array.dtype).copy_(array)

    estimator, preconditioner = (type(part)(*map(as_w, part)) for part in (state.estimator, state.preconditioner))
    state = MethodState(state.t, as_w(state.anchor), None, estimator, preconditioner)
    return Due(task._replace(grad=as_w(task.grad), state=state), kernel)


def expected(method: ProximalMethod) -> int:
    """How many arrays the state of a method that kernels know has."""
    part = method.preconditioner
    squares = 2 if getattr(part, "amsgrad", False) else 0 if type(part) in (Constant, SqrtCount) else 1
    return (method.anchor == "initial") + 1 + squares


def sizes(dues: Sequence[Due]) -> list[Any]:
    """The largest |entry| of each gradient, NaN or infinite where it holds such an entry: 0-d tensors, or numbers."""
    found: list[Any] = [None if each.kernel else _largest(each.task.grad) for each in dues]
    for kernel, places in _by_kernel(dues):
        entries = kernel.largest([dues[i].task for i in places])
        listed: Sequence[Any] = entries.tolist() if entries.device.type == "cpu" else entries.unbind()
        for i, size in zip(places, listed, strict=True):
            found[i] = size
    return found


def known(found: list[Any]) -> list[float]:
    """The same as numbers; waits once for each device."""
    numbers = [math.nan if isinstance(size, Tensor) else size for size in found]
    tensors = [i for i, size in enumerate(found) if isinstance(size, Tensor)]
    for device in {found[i].device for i in tensors}:
        places = [i for i in tensors if found[i].device == device]
        for i, size in zip(places, torch.stack([found[i].double() for i in places]).tolist(), strict=True):
            numbers[i] = size
    return numbers


def bounds(dues: Sequence[Due]) -> list[float]:
    """How large the entries of the gradients may be for their kernels."""
    cache: dict[Any, float] = {}
    return [bound(each.task.method, each.task.state, cache) if each.kernel else math.inf for each in dues]


def computed(dues: Sequence[Due]) -> list[Update]:
    """The steps by the reference, of which nothing is taken yet."""
    updates: list[Update] = []
    for method in {id(each.task.method): each.task.method for each in dues}.values():
        tasks = [each.task for each in dues if each.task.method is method]
        gradients = [-work(task.grad) if task.maximize else work(task.grad) for task in tasks]
        steps = method.step_all([work(task.w) for task in tasks], gradients, [task.state for task in tasks])
        for task, (w, state, solution) in zip(tasks, steps, strict=True):
            facts = solution.iterations, solution.residual, solution.converged
            updates.append(Update(task.w, method, None, w, state, None, *facts))
    return updates


def fused(dues: Sequence[Due], ok: Tensor | None) -> list[Update]:
    """Take the steps by kernels, in place.  ok: on the device; where it is false nothing changes."""
    updates: list[Update] = []
    for kernel, places in _by_kernel(dues):
        tasks = [dues[i].task for i in places]
        taken: list[Taken] = kernel.step(tasks, ok)
        updates += [Update(task.w, task.method, kernel, None, *facts) for task, facts in zip(tasks, taken, strict=True)]
    return updates


def _by_kernel(dues: Sequence[Due]) -> list[tuple[Kernel, list[int]]]:
    kernels = {id(each.kernel): each.kernel for each in dues if each.kernel}
    return [(kernel, [i for i, each in enumerate(dues) if each.kernel is kernel]) for kernel in kernels.values()]


def _largest(gradient: Tensor) -> Tensor:
    return gradient.abs().max() if gradient.numel() else torch.zeros((), device=gradient.device)


def work(tensor: Tensor) -> Tensor:
    """The tensor to compute with: float32 for bf16 and fp16."""
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in HALF else tensor
