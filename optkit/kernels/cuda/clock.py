"""The numbers of a step, worked out on the device: for CUDA graphs, which replay a step without asking the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import (
    AdamRoot,
    Constant,
    ConstantAveraging,
    ConstantWeighting,
    CubeRoot,
    DecayingAverage,
    DecayingAveraging,
    DualAveraging,
    MethodState,
    PowerWeighting,
    ProximalMethod,
    SqrtCount,
    SqrtWeighting,
    SquareRootRamp,
    UncorrectedAdamAverage,
)
from optkit.core import Averaging, Weighting
from optkit.kernels.plan import LIMIT, plan

from .tables import upload

NUMBERS = (
    "keep",
    "gain",
    "out",
    "keep_square",
    "gain_square",
    "correction",
    "epsilon",
    "decay",
    "average",
    "weight",
)
"""The numbers of a Plan, in the order of the table of plans that the kernels read."""


class DeviceClock:
    """t and the weight of psi of a few methods, and the numbers of their next step, in tensors of float64.

    t, weight: (methods,), steps so far and the weight after them;  numbers: (methods, 10), in the order of NUMBERS;
    scale: (methods,), `subproblem_scale` of the prepared step, 1 where that is 0.
    These tensors are changed in place and never replaced. Known are SqrtWeighting, ConstantWeighting and
    PowerWeighting, and ConstantAveraging, SquareRootRamp and DecayingAveraging; raises ValueError for others.
    """

    def __init__(self, methods: Sequence[ProximalMethod], device: torch.device | str) -> None:
        device, count = torch.device(device), len(methods)
        self.plans = [plan(method, 1, 0.0) for method in methods]
        self._constants = upload(constants(methods), device)
        self.t = torch.zeros(count, dtype=torch.float64, device=device)
        self.weight = torch.zeros(count, dtype=torch.float64, device=device)
        self.scale = torch.ones(count, dtype=torch.float64, device=device)
        self._next = torch.zeros(count, dtype=torch.float64, device=device)
        self._all = self._due = torch.ones(count, dtype=torch.bool, device=device)
        self.numbers = torch.zeros((count, len(NUMBERS)), dtype=torch.float64, device=device)
        self._ts, self._weights = self.t.unbind(), self.weight.unbind()

    def set(self, methods: Sequence[ProximalMethod]) -> None:
        """Go on with other hyper-parameters, such as another lr: to be called between replays. Raises ValueError where
        the parts differ from those that the graph was captured with."""
        plans = [plan(method, 1, 0.0) for method in methods]
        if [(p.root, p.anchored, p.dual is None) for p in plans] != [
            (p.root, p.anchored, p.dual is None) for p in self.plans
        ]:
            raise ValueError("the methods have other parts than those that the clock was made for; make a new one")
        self._constants.copy_(upload(constants(methods), self.t.device), non_blocking=True)

    def at(self, row: int, t: float | Tensor, weight: float | Tensor = 0.0) -> None:
        """Put a method to step t, for example after loading a checkpoint; 0 after a restart."""
        self._ts[row].fill_(t)
        self._weights[row].fill_(weight)

    def prepare(self, due: Tensor | None = None) -> None:
        """Work out the numbers of the step after t, a few launches for all methods together.  due: (methods,), flags on
        the device: which of them take it; None: all."""
        self._due = self._all if due is None else due
        lr, power, value, begin, ramp, dual, rho, offset, fall, bias, square_decay, after, *rest = self._constants
        keep_square, by_gain, gain_square, square_bias, epsilon, root_t, decay, anchored = rest
        t = self.t + 1
        gain, averaged = lr * t**power, dual == 0
        rho = torch.clamp(rho * (t + offset) ** -fall, max=1.0)
        out = gain / (1 - bias * (1 - rho) ** t) * torch.sqrt(1 - square_decay**t) * after
        self.scale.copy_(torch.where((anchored == 1) | (gain == 0), 1.0, gain))
        self._next.copy_(torch.where(averaged, gain, self.weight + gain))
        values = (
            torch.where(averaged, 1 - rho, 1.0),
            torch.where(averaged, rho, gain),
            torch.where(averaged, out, 1.0),
            keep_square,
            gain_square + by_gain * gain,
            1 / torch.sqrt(1 - square_bias * keep_square**t),
            epsilon + root_t * torch.sqrt(t),
            decay,
            torch.clamp(value * torch.clamp(t - begin, min=1.0) ** ramp, max=1.0),
            self._next,
        )
        self.numbers.copy_(torch.stack(values, 1))

    def bounds(self, dtype: torch.dtype) -> Tensor:
        """`Plan.bound` of each method's next step, after `prepare`.  dtype: of the state."""
        gain, out, square = self.numbers[:, 1], self.numbers[:, 2], self.numbers[:, 4]
        move = torch.clamp(torch.maximum(gain.abs(), (out * gain).abs()), min=1.0)
        return torch.minimum(LIMIT[dtype] / move, torch.sqrt(LIMIT[dtype] / torch.clamp(square, min=1.0)))

    def advance(self, ok: Tensor | None = None) -> None:
        """The prepared step is taken (where ok)."""
        taken = self._due if ok is None else self._due & ok
        self.t += taken
        self.weight.copy_(torch.where(taken, self._next, self.weight))

    def dated(self, state: MethodState, row: int) -> MethodState:
        """The state with this clock's t, and weight for dual averaging: 0-d views of its tensors."""
        estimator = state.estimator
        if self.plans[row].dual is not None:
            estimator = estimator._replace(weight=self._weights[row])
        t: Any = self._ts[row]  # a number, on the device
        return state._replace(t=t, estimator=estimator)


def constants(methods: Sequence[ProximalMethod]) -> np.ndarray:
    """What `prepare` needs to know of each method, (constants, methods). Raises ValueError for parts unknown to it."""
    return np.array([_row(method) for method in methods], np.float64).T.copy()


def _row(method: ProximalMethod) -> list[float]:
    estimator, preconditioner = method.estimator, method.preconditioner
    after = 1 - method.lr * method.weight_decay if method.decay == "after" else 1.0
    return [
        method.lr,
        _power(method.weighting),
        *_averaging(method.averaging),
        *_estimator(estimator),
        after,
        *_metric(preconditioner),
        1 - method.lr * method.weight_decay,
        float(method.anchor == "initial"),
    ]


def _power(part: Weighting) -> float:
    """The gain is lr t^power."""
    match part:
        case SqrtWeighting():
            return 0.5
        case ConstantWeighting():
            return 0.0
        case PowerWeighting():
            return part.power
    raise ValueError(f"a step in a CUDA graph knows no {type(part).__name__}; use PowerWeighting, or no graph")


def _averaging(part: Averaging) -> tuple[float, float, float]:
    """The weight of the new point is min(value max(t - begin, 1)^power, 1)."""
    match part:
        case ConstantAveraging():
            return part.value, 0.0, 0.0
        case SquareRootRamp():
            return part.value, part.begin, 0.5
        case DecayingAveraging():
            return part.value, -part.offset, -part.power
    raise ValueError(f"a step in a CUDA graph knows no {type(part).__name__}; use ConstantAveraging, or no graph")


def _estimator(part: Any) -> tuple[float, ...]:
    """(dual, rho, offset, power, bias, square_decay): rho_t = min(rho / (t + offset)^power, 1)."""
    if isinstance(part, DualAveraging):
        return 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if isinstance(part, DecayingAverage):
        return 0.0, part.rho, part.offset, part.power, 0.0, 0.0
    square_decay = part.square_decay if isinstance(part, UncorrectedAdamAverage) else 0.0
    return 0.0, part.momentum, 0.0, 0.0, float(part.bias_correction), square_decay


def _metric(part: Any) -> tuple[float, ...]:
    """(keep_square, whether the square enters with the gain, else its weight, bias, epsilon, whether sqrt(t))."""
    match part:
        case Constant():
            return 0.0, 0.0, 0.0, 0.0, part.value, 0.0
        case SqrtCount():
            return 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
        case CubeRoot():
            return 1.0, 1.0, 0.0, 0.0, part.epsilon, 0.0
        case AdamRoot():
            return part.beta, 0.0, 1 - part.beta, float(part.bias_correction), part.epsilon, 0.0
    raise ValueError(f"a step in a CUDA graph knows no {type(part).__name__}")
