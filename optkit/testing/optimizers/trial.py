"""What a law of optimizers is tried on: a small model with an optimizer, gradients for it, and comparisons by bits."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optkit.core import Regularizer
from optkit.testing.method_trial import Penalty
from optkit.testing.running import law
from optkit.torch import MethodOptimizer, structured

Make = Callable[..., MethodOptimizer]
STRENGTH = 0.3


class Net(nn.Module):
    """A weight with columns from large to small, a free bias, and a weight whose gradient may come later.

    rows: of the weight, 4 but where another shape is wanted.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, seed: int = 0, rows: int = 4) -> None:
        super().__init__()
        generator, sizes = torch.Generator().manual_seed(seed), torch.linspace(1, 0.1, 6)
        self.weight = nn.Parameter((sizes * torch.randn(rows, 6, generator=generator)).to(dtype))
        self.bias = nn.Parameter(torch.randn(rows, generator=generator).to(dtype))
        self.late = nn.Parameter((sizes * torch.randn(3, 6, generator=generator)).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 6)."""
        return nn.functional.linear(x, self.weight, self.bias) + (x @ self.late.T).mean(dim=1, keepdim=True)


def gradient(p: Tensor, k: int) -> Tensor:
    """The gradient of step k for a parameter: a drift in the first columns, and noise; of its dtype."""
    generator = torch.Generator().manual_seed(1000 + 100 * p.ndim + k)
    drift = torch.linspace(1, 0, p.shape[-1]) if p.ndim > 1 else torch.zeros(())
    return (drift + 0.1 * torch.randn(p.shape, generator=generator)).to(p.dtype)


class Run:
    """A model with its optimizer.  late_from: the first step in which `late` has a gradient."""

    def __init__(self, net: Any, optimizer: MethodOptimizer, late_from: int = 0) -> None:
        self.net, self.optimizer, self.late_from = net, optimizer, late_from

    def put(self, k: int) -> None:
        """The gradients of step k."""
        for name, p in self.net.named_parameters():
            p.grad = None if name == "late" and k < self.late_from else gradient(p, k)

    def steps(self, last: int, first: int = 0) -> Run:
        """Steps first, ..., last - 1 of the run."""
        for k in range(first, last):
            self.put(k)
            self.optimizer.step()
        return self

    def weights(self) -> dict[str, Tensor]:
        """Copies of the parameters, by name."""
        return {name: p.detach().clone() for name, p in self.net.named_parameters()}

    def solutions(self) -> dict[str, Tensor]:
        """What_t, by name."""
        with structured(self.net, self.optimizer):
            return self.weights()

    def all(self) -> Any:
        """Copies of everything that a step could change."""
        return copy.deepcopy((self.weights(), self.optimizer.state_dict()))


@dataclass(frozen=True)
class OptimizerTrial:
    """make: (params, **options) -> MethodOptimizer;  penalty: makes the regularizer from a strength."""

    make: Make
    penalty: Penalty

    @property
    def regularized(self) -> bool:
        """Whether the method takes a regularizer."""
        return "psi" in self.make([nn.Parameter(torch.ones(()))]).recipe.accepts

    def psi(self, strength: float = STRENGTH, shape: tuple[int, ...] | None = None) -> Regularizer | None:
        """The regularizer of this strength, if there is one, and it fits the shape."""
        if not self.regularized:
            return None
        psi = self.penalty(strength)
        try:
            psi.check((4, 6) if shape is None else shape)
        except ValueError:
            return None
        return psi

    def groups(self, net: Net, strength: float = STRENGTH) -> list[dict[str, Any]]:
        """Two groups with named parameters: the regularized weights, and the bias."""
        weights = [("weight", net.weight), ("late", net.late)]
        return [{"params": weights, "regularizer": self.psi(strength)}, {"params": [("bias", net.bias)]}]

    def run(
        self,
        *,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        late_from: int = 0,
        strength: float = STRENGTH,
        **options: Any,
    ) -> Run:
        """A model with an optimizer of both groups, which has these options."""
        net = Net(dtype, seed)
        return Run(net, self.make(self.groups(net, strength), **options), late_from)

    def alone(self, parameter: Tensor, **options: Any) -> MethodOptimizer:
        """An optimizer of one parameter, regularized where the regularizer fits it."""
        psi = self.psi(shape=tuple(parameter.shape))
        return self.make([{"params": [parameter], "regularizer": psi}], **options)


# --- comparisons ------------------------------------------------------------------------------------------------------


def equal(a: Any, b: Any, words: str) -> None:
    """Raise AssertionError, with these words and the first place, unless two nests of data agree bit by bit."""
    place = difference(a, b)
    law(place is None, f"{words}: {place}")


def difference(a: Any, b: Any, place: str = "") -> str | None:
    """The first place where two nests of plain data and tensors differ, or None."""
    if type(a) is not type(b):
        return f"{place or 'it'} is {_short(a)} and {_short(b)}"
    if isinstance(a, Tensor):
        alike = a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))
        return None if alike else f"{place or 'it'} is {_short(a)} and {_short(b)}"
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f"{place or 'it'} has the keys {list(a)} and {list(b)}"
        return _first(difference(a[key], b[key], f"{place}[{key!r}]") for key in a)
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{place or 'it'} has {len(a)} and {len(b)} items"
        return _first(difference(x, y, f"{place}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
    return None if a == b else f"{place or 'it'} is {a!r} and {b!r}"


def _first(places: Iterator[str | None]) -> str | None:
    return next((place for place in places if place is not None), None)


def _short(value: Any) -> str:
    return " ".join(repr(value).split())[:120]


def near(a: Tensor, b: Tensor, tolerance: float, words: str) -> None:
    """Raise AssertionError unless the tensors differ by at most the tolerance times the largest entry."""
    a, b = a.detach().double(), b.detach().double()
    largest = float(torch.cat([a.abs().flatten(), b.abs().flatten(), torch.ones(1)]).max())
    gap = float(torch.cat([(a - b).abs().flatten(), torch.zeros(1)]).max())
    law(gap <= tolerance * largest, f"{words}: they differ by {gap:.3g}, the largest entry is {largest:.3g}")


@contextmanager
def unchanged(run: Run, words: str) -> Iterator[None]:
    """Weights, state and groups are afterwards as before."""
    before = run.all()
    yield
    equal(run.all(), before, words)


def refusal(call: Callable[[], Any], *parts: str) -> None:
    """Raise AssertionError unless the call raises a ValueError whose message has all these parts."""
    try:
        call()
    except ValueError as error:
        missing = [part for part in parts if part not in str(error)]
        law(not missing, f"the message does not say {missing}: {error}")
        return
    raise AssertionError("it is not refused")


def through_a_file(data: Any) -> Any:
    """The data after torch.save and torch.load(weights_only=True)."""
    file = io.BytesIO()
    torch.save(data, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
