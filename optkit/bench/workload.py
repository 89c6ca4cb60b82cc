"""Weights and gradients for a list of parameters, and the optimizers' steps on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from .lists import Entries, Entry

SIGMA = 1e-2  # the size of the gradients
POOL = 1_000_003  # numbers, a prime: no two rows of a large matrix are equal
LONGEST_COPY = 2**26  # entries


class Workload:
    """The gradients of a list of parameters: two sets of normal numbers that take turns.

    Their size rises from 0 to 2 SIGMA along the last axis on which groups lie side by side, so that some groups are
    quiet and some loud.
    All optimizers get the same gradients, and each its own weights, equal at first.
    """

    def __init__(self, entries: Entries, device: str) -> None:
        self.entries, self.device = entries, device
        self.size = sum(entry.size for entry in entries)
        self.gradients = [[self._gradient(entry, normal) for entry, normal in self._drawn(i)] for i in (1, 2)]

    def _drawn(self, seed: int) -> Iterator[tuple[Entry, Tensor]]:
        """Every entry, with its normal numbers: as many as POOL are drawn, and then repeated."""
        pool = torch.randn(POOL, device=self.device, generator=torch.Generator(self.device).manual_seed(seed))
        pool, begun = pool.repeat(2), 0
        for entry in self.entries:
            rest = pool[begun : begun + POOL]
            long = rest.repeat(entry.size // POOL + 1) if entry.size > POOL else rest
            form = torch.channels_last if entry.channels_last else torch.contiguous_format
            yield entry, long[: entry.size].reshape(entry.shape).clone(memory_format=form)
            begun = (begun + entry.size) % POOL

    def _gradient(self, entry: Entry, normal: Tensor) -> Tensor:
        beside = [] if entry.axes is None else [i for i in range(len(entry.shape)) if i not in entry.axes]
        if not beside:
            return normal.mul_(SIGMA)
        axis = beside[-1]
        loud = torch.linspace(0, 2 * SIGMA, entry.shape[axis], device=self.device)
        return normal.mul_(loud.reshape(-1, *[1] * (len(entry.shape) - axis - 1)))

    def weights(self) -> list[Tensor]:
        """Normal numbers of size 0.02, always the same."""
        return [normal.mul_(0.02).requires_grad_() for _, normal in self._drawn(0)]


class Steps:
    """The steps of an optimizer. The gradients change between runs, outside of what is timed."""

    def __init__(self, optimizer: Optimizer, parameters: Sequence[Tensor], workload: Workload) -> None:
        self.optimizer, self.parameters, self.workload = optimizer, parameters, workload
        self.prepared = 0

    def prepare(self) -> None:
        for parameter, gradient in zip(self.parameters, self.workload.gradients[self.prepared % 2], strict=True):
            parameter.grad = gradient
        self.prepared += 1

    def run(self) -> None:
        self.optimizer.step()


class Copy:
    """A copy of as many numbers as there are parameters, but at most LONGEST_COPY: two arrays moved."""

    def __init__(self, size: int, device: str) -> None:
        self.size = min(size, LONGEST_COPY)
        self.source, self.target = torch.ones(self.size, device=device), torch.zeros(self.size, device=device)

    def prepare(self) -> None: ...

    def run(self) -> None:
        self.target.copy_(self.source)
