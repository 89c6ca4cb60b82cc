"""Whole training steps of small networks: which share of the time is the optimizer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from optkit.regularizers import GroupLasso
from optkit.torch import regularize

from .contestants import FUSED, adamw, make
from .settings import Settings
from .table import Column, Table
from .timing import compare, seconds

COLUMNS = (
    Column("optimizer"),
    Column("forward and backward, ms", ",.1f"),
    Column("step, ms", ",.2f"),
    Column("share of the step", ".1f", " %"),
    Column("training step / that with fused AdamW", ".3f", " ×"),
    Column("n", "d"),
)
CLASSES = 10
WARMUP = 5
TEXT = """\
Forward, backward and the optimizer's step, in turns. The same passes come before every step, so that their time is the
median over all optimizers. Share: of the step in the training step.
"""


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def convolutional(width: int, blocks: int) -> nn.Module:
    """A residual network for images of three colors."""

    def convolved(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = convolved(3, width)
    for stage in range(3):
        inner = width * 2**stage
        layers += [Residual(*convolved(inner, inner), *convolved(inner, inner)) for _ in range(blocks)]
        layers += convolved(inner, 2 * inner, stride=2)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, CLASSES))


class Transformer(nn.Module):
    """Encoder blocks between an embedding and a Linear layer."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, width)
        layers = [nn.TransformerEncoderLayer(width, 8, 4 * width, 0.0, batch_first=True) for _ in range(blocks)]
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(tokens)).mean(1))


def _images(device: str, batch: int) -> Tensor:
    return torch.randn(batch, 3, 32, 32, device=device)


def _tokens(device: str, batch: int) -> Tensor:
    return torch.randint(1000, (batch, 64), device=device)


class Case(NamedTuple):
    """make: of the width and the number of blocks;  width, batch: of the network that is timed, and of its inputs."""

    about: str
    make: Callable[[int, int], nn.Module]
    inputs: Callable[[str, int], Tensor]
    width: int
    batch: int


CASES = {
    "convolutional": Case("residual network, images of 32 × 32 pixels", convolutional, _images, 32, 16),
    "transformer": Case("transformer, 64 tokens", Transformer, _tokens, 512, 8),
}


class Training:
    """Training steps of a network. Forward and backward are in `passes`, the optimizer's steps are timed."""

    def __init__(self, network: nn.Module, optimizer: Optimizer, inputs: Tensor) -> None:
        self.network, self.optimizer, self.inputs = network, optimizer, inputs
        self.labels = torch.arange(len(inputs), device=inputs.device) % CLASSES
        self.passes: list[float] = []

    def prepare(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.passes.append(seconds(self._pass, self.inputs.device.type))

    def _pass(self) -> None:
        cross_entropy(self.network(self.inputs), self.labels).backward()

    def run(self) -> None:
        self.optimizer.step()


def tables(settings: Settings) -> Iterator[Table]:
    """One for each network."""
    for name, case in CASES.items():
        width, blocks, batch = (8, 1, 2) if settings.quick else (case.width, 2, case.batch)
        made = partial(case.make, width, blocks)
        size = sum(p.numel() for p in made().parameters())
        text = f"{TEXT}\n\nA {case.about}, {batch} at a time, {size:,} parameters, the group lasso."
        rows = _rows(made, case.inputs(settings.device, batch), settings)
        yield Table(f"Training, {name}", text, COLUMNS, tuple(rows))


def _rows(made: Callable[[], nn.Module], inputs: Tensor, settings: Settings) -> Iterator[tuple[object, ...]]:
    trained = {name: _training(name, made, inputs, settings) for name in (FUSED, *settings.optimizers)}
    effort = replace(settings.effort, warmup=min(settings.effort.warmup, WARMUP))
    times = compare(trained, effort, settings.device)
    passes = median(t for name, each in trained.items() for t in each.passes[times[name].warmup :])
    for name, own in times.items():
        whole = passes + own.median
        ratio = whole / (passes + times[FUSED].median)
        yield name, 1e3 * passes, 1e3 * own.median, 100 * own.median / whole, ratio, len(own.seconds)


def _training(name: str, made: Callable[[], nn.Module], inputs: Tensor, settings: Settings) -> Training:
    torch.manual_seed(0)
    network = made().to(settings.device)
    return Training(network, _optimizer(name, network, settings), inputs)


def _optimizer(name: str, network: nn.Module, settings: Settings) -> Optimizer:
    if name == FUSED:
        return adamw(FUSED, list(network.parameters()))
    return make(name, regularize(network, GroupLasso(1e-4)), settings.kernel)
