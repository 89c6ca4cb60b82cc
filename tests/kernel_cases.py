"""What fused kernels are tried on: methods, regularizers and arrays that between them reach every branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optkit.algorithms import (
    AdamRoot,
    DecayingAverage,
    DualAveraging,
    MovingAverage,
    ProximalMethod,
    SqrtWeighting,
    SquareRootRamp,
    proxgen,
    proxsgd,
    proxssi,
    ramda,
    rda,
    rmda,
)
from optkit.core import Regularizer
from optkit.regularizers import L1, MCP, Binary, ElasticNet, GroupLasso, GroupMCP, SparseGroupLasso, SquaredL2, Zero
from optkit.solvers import Automatic

LONGEST = 16
"""Steps between two restarts."""


@dataclass(frozen=True)
class Place:
    """An array of a model: its shape, the order of its axes in memory from the outermost, and the axes of a group."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: tuple[int, ...] | None = None

    def empty(self, dtype: torch.dtype, device: str) -> Tensor:
        order = self.order or tuple(range(len(self.shape)))
        inner = torch.empty([self.shape[axis] for axis in order], dtype=dtype, device=device)
        return inner.permute([order.index(axis) for axis in range(len(order))])


PLACES = {
    "linear by input": Place((6, 37), (0,)),  # wider than what the loops take at a time, and some more
    "linear by output": Place((6, 5), (1,)),
    "linear transposed": Place((6, 5), (0,), (1, 0)),
    "long runs": Place((3, 40), (1,)),
    "conv by input": Place((4, 3, 2, 2), (0, 2, 3)),
    "conv by input, channels last": Place((4, 3, 2, 2), (0, 2, 3), (0, 2, 3, 1)),
    "conv by output": Place((4, 3, 2, 2), (1, 2, 3)),
    "conv by output, channels last": Place((4, 3, 2, 2), (1, 2, 3), (0, 2, 3, 1)),
    "batches": Place((2, 3, 4), (1,)),
    "vector": Place((7,), (0,)),
    "singles": Place((6, 1), (1,)),
    "everything": Place((4, 5), (0, 1)),
    "one entry": Place((1, 1, 1, 1), (0, 2, 3)),
    "one row": Place((1, 5), (0,)),
    "no rows": Place((0, 5), (0,)),
    "no groups": Place((5, 0), (0,)),
}

METHODS: dict[str, Callable[..., ProximalMethod]] = {
    "ramda": partial(ramda, averaging=1.0),
    "ramda averaged": partial(ramda, averaging=0.3),
    "ramda ramp": partial(ramda, averaging=SquareRootRamp(0.3, begin=2)),
    "rmda": lambda psi, epsilon: rmda(psi, averaging=1.0),
    "rmda averaged": lambda psi, epsilon: rmda(psi, averaging=0.1),
    "rda": lambda psi, epsilon: rda(psi),
    "proxgen": partial(proxgen, lr=1e-2),
    "proxgen decay": partial(proxgen, lr=1e-2, weight_decay=0.5),
    "proxgen amsgrad": partial(proxgen, lr=1e-2, betas=(0.8, 0.9), amsgrad=True),
    "proxssi": lambda psi, epsilon: proxssi(psi, 1e-2, epsilon=epsilon, solver=newton_where(psi)),
    "proxssi published": lambda psi, epsilon: proxssi(
        psi, 1e-2, epsilon=epsilon, weight_decay=0.5, published=True, solver=newton_where(psi)
    ),
    "proxsgd": lambda psi, epsilon: proxsgd(psi),
    "proxsgd decaying": lambda psi, epsilon: replace(proxsgd(psi), estimator=DecayingAverage()),
    "dual adam": lambda psi, epsilon: ProximalMethod(
        psi, DualAveraging(), AdamRoot(0.9, epsilon), SqrtWeighting(), "initial", 1e-2
    ),
    "momentum": lambda psi, epsilon: replace(proxsgd(psi), estimator=MovingAverage(0.5), weight_decay=0.1),
}


def newton_where(psi: Regularizer) -> Any:
    """proxssi's own solver where it can be had."""
    return proxssi(GroupLasso(0.0, axes=0)).solver if isinstance(psi, (GroupLasso, SparseGroupLasso)) else Automatic()


@dataclass(frozen=True)
class Units:
    """The natural sizes of a case.  gradient: of an entry;  gain: s_1;  metric: after one such gradient;  weight: the
    largest of psi;  epsilon: of the metric."""

    gradient: float
    gain: float
    metric: float
    weight: float
    epsilon: float

    @property
    def move(self) -> float:
        """How far one step goes."""
        return self.gain * self.gradient / self.metric


SHARP = "GroupMCP of hard thresholds"
"""It makes the subproblem concave after a few steps, which only a metric that is one number allows."""
PENALTIES: dict[str, Callable[[Units, tuple[int, ...]], Regularizer]] = {
    "Zero": lambda units, axes: Zero(),
    "L1": lambda units, axes: L1(0.3 * units.gradient),
    "L1 of strength 0": lambda units, axes: L1(0.0),
    "ElasticNet": lambda units, axes: ElasticNet(0.4 * units.gradient, 0.7),
    "SquaredL2": lambda units, axes: SquaredL2(0.1 * units.metric / units.gain),
    "MCP": lambda units, axes: MCP(0.3 * units.gradient, 10 * units.gain / units.metric),
    "Binary": lambda units, axes: Binary(0.3 * units.gradient, 2.0 ** round(np.log2(2 * units.move))),
    "GroupLasso": lambda units, axes: GroupLasso(0.4 * units.gradient, axes),
    "GroupLasso of strength 0": lambda units, axes: GroupLasso(0.0, axes),
    "SparseGroupLasso": lambda units, axes: SparseGroupLasso(0.5 * units.gradient, axes, l1_ratio=0.3),
    "GroupMCP": lambda units, axes: GroupMCP(0.3 * units.gradient, axes, gamma=3 * units.weight / units.epsilon),
    SHARP: lambda units, axes: GroupMCP(0.3 * units.gradient, axes, gamma=2 * units.gain / units.metric),
}

RANGES = {
    "": {torch.float32: 1.0, torch.float64: 1.0},
    "huge": {torch.float32: 1e12, torch.float64: 1e100},
    "tiny": {torch.float32: 1e-40, torch.float64: 1e-290},  # the reference itself divides by such norms in float64
}
DENORMAL = {torch.float32: 1e-40, torch.float64: 1e-310}


@dataclass(frozen=True)
class Case:
    """One walk. name: what pytest shows;  method, psi, range: keys of METHODS, PENALTIES and RANGES."""

    method: str
    psi: str
    place: Place
    where: str
    range: str = ""

    @property
    def name(self) -> str:
        return ", ".join(filter(None, (self.method, self.psi, self.where, self.range)))

    def build(self, dtype: torch.dtype) -> tuple[ProximalMethod, Units]:
        """The method for states of this dtype."""
        gradient = RANGES[self.range][dtype]
        epsilon = 1e-6
        if self.psi == "GroupMCP":  # so that the subproblem is convex on entries without a gradient, too
            epsilon = float(_metric(METHODS[self.method](Zero(), epsilon=1e-6), gradient)) / 2
        dense = METHODS[self.method](Zero(), epsilon=epsilon)
        gains = [dense.clock(t).gain for t in range(1, LONGEST + 1)]
        weight = sum(gains) if isinstance(dense.estimator, DualAveraging) else max(gains)
        units = Units(gradient, gains[0], _metric(dense, gradient), weight, epsilon)
        return METHODS[self.method](PENALTIES[self.psi](units, self.place.axes), epsilon=epsilon), units


def _metric(method: ProximalMethod, gradient: float) -> float:
    """The metric after one step with this gradient, in the place where it is largest."""
    g, clock = np.full((1,), gradient), method.clock(1)
    metric = method.preconditioner.metric(method.preconditioner.update(g, clock, method.preconditioner.init(g)), clock)
    return float(np.max(metric))


def cases() -> Iterator[Case]:
    """Every method with every regularizer; every place with every kind of group; the ends of the range of numbers."""
    linear, runs = "linear by input", "long runs"
    for method in METHODS:
        for psi in PENALTIES:
            if psi == SHARP and method not in ("rmda", "rmda averaged", "rda", "proxsgd"):
                continue
            yield Case(method, psi, PLACES[linear], linear)
            if "Group" in psi:
                yield Case(method, psi, PLACES[runs], runs)
    for where, place in PLACES.items():
        for method in ("ramda", "rmda", "proxgen") if where not in (linear, runs) else ():
            for psi in ("L1", "GroupLasso", "SparseGroupLasso", "GroupMCP"):
                yield Case(method, psi, place, where)
    for span in filter(None, RANGES):
        for method in ("ramda", "rmda averaged", "proxgen decay", "proxgen amsgrad", "proxsgd"):
            for psi in ("L1", "ElasticNet", "MCP", "Binary", "GroupLasso", "SparseGroupLasso", "GroupMCP"):
                yield Case(method, psi, PLACES["conv by input"], "conv by input", span)
                if "Group" in psi:
                    yield Case(method, psi, PLACES[runs], runs, span)


CASES = list(cases())
