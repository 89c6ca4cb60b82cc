"""Experiments: networks trained by several methods from one configuration, recorded line by line."""

from __future__ import annotations

import difflib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from optkit import registry, validate
from optkit.algorithms import Stages
from optkit.core import Manifold, Regularizer
from optkit.problems.datasets import DATASETS, Split
from optkit.problems.datasets.split import Images
from optkit.problems.models import ConvNet, Network
from optkit.regularizers import GroupLasso
from optkit.structure import weighted_sparsity
from optkit.torch import MethodOptimizer, StageScheduler, regularize, structured

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*$")


@dataclass(frozen=True)
class MethodChoice:
    """A named method of optkit.algorithms with its arguments, and the regularizer (None: dense)."""

    method: str
    regularizer: Regularizer | None
    arguments: dict[str, Any]

    @classmethod
    def from_data(cls, data: Any, key: str) -> MethodChoice:
        """From {method: NAME, regularizer: {...}, ARGUMENT: VALUE, ...}, checked by building the method once."""
        data = registry.from_data(dict[str, Any], data, key)
        name, known = data.pop("method", None), registry.methods()
        if name not in known:
            raise registry.DataError(f"{key}.method: got {name!r}; {registry.allowed(name, known)}")
        psi = registry.from_data(Regularizer | None, data.pop("regularizer", None), f"{key}.regularizer")
        for near in difflib.get_close_matches("regularizer", data, n=1, cutoff=0.8):
            raise registry.DataError(f"{key}.{near}: unknown key; did you mean 'regularizer'?")
        arguments = registry.read_arguments(known[name], data, key, given=("psi",))
        choice = cls(name, psi, arguments)
        try:
            choice._try()
        except (TypeError, ValueError) as error:
            raise registry.DataError(f"{key}: {error}") from error
        return choice

    def _try(self) -> None:
        """Take one step on a tiny model, so that parts which do not fit together are refused before any training."""
        with torch.random.fork_rng(devices=[]):
            model = nn.Sequential(nn.Conv2d(2, 2, 2), nn.Flatten(), nn.Linear(2, 2))
            optimizer = self.optimizer(model)
            model(torch.ones(1, 2, 2, 2)).square().sum().backward()
            optimizer.step()

    def to_data(self) -> dict[str, Any]:
        """The inverse of `from_data`, with all arguments."""
        regularizer = {"regularizer": registry.to_data(self.regularizer)} if self.regularizer else {}
        return {"method": self.method, **regularizer, **registry.to_data(self.arguments)}

    def optimizer(self, model: nn.Module) -> MethodOptimizer:
        """The optimizer for a model, with the paper's grouping."""
        params = regularize(model, self.regularizer) if self.regularizer else model.named_parameters()
        return MethodOptimizer(params, registry.methods()[self.method], **self.arguments)


@dataclass(frozen=True)
class Experiment:
    """What `optkit run` does: every method trains the model with every seed.

    name: the folder under runs/;  dataset: a name;  model: the network;  epochs, batch_size: >= 1;  seeds: one run
    each;  methods: by the label used in tables;  stages: the schedule, in epochs;  shift: training images are moved at
    random by up to so many pixels;  standardize: (mean, deviation) of pixels, the first subtracted and the second, > 0,
    divided by.
    """

    name: str
    dataset: str
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]
    methods: dict[str, MethodChoice]
    model: Network = field(default_factory=ConvNet)
    stages: Stages = field(default_factory=Stages)
    shift: int = 0
    standardize: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.methods):
            if not _FILE_NAME.match(name):
                raise ValueError(f"name and the labels of methods become names of files, got {name!r}; use letters")
        validate.choice("dataset", self.dataset, DATASETS)
        validate.count("epochs", self.epochs)
        validate.count("batch_size", self.batch_size)
        validate.count("shift", self.shift, least=0)
        if self.standardize is not None:
            validate.real("the mean in standardize", self.standardize[0])
            validate.positive("the deviation in standardize", self.standardize[1])
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be a list of different integers, got {list(self.seeds)}")
        if not all(0 <= seed < 2**63 for seed in self.seeds):
            raise ValueError(f"seeds must lie in [0, 2**63), got {list(self.seeds)}")
        if not self.methods:
            raise ValueError("methods must name at least one method")
        if any(milestone >= self.epochs for milestone in self.stages.milestones):
            raise ValueError(
                f"milestones must lie before the last of {self.epochs} epochs, got {self.stages.milestones}"
            )

    @property
    def runs(self) -> list[tuple[str, int]]:
        """All pairs (method, seed)."""
        return [(label, seed) for label in self.methods for seed in self.seeds]


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, reading 1e-4 as the number it is in every other language."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, (at, _) in zip(keys, node.value, strict=True):
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(problem=f"the key {key!r} stands twice", problem_mark=at.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_FLOAT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))


def load(path: Path) -> Experiment:
    """The experiment in a YAML file. Raises DataError, one line that names the key, for anything wrong in it."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise registry.DataError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from error
    if data is None:
        raise registry.DataError(
            f"{path.name} is empty; it needs the keys {', '.join(f.name for f in fields(Experiment))}"
        )
    return registry.call(Experiment, data, path.stem)


def dump(experiment: Experiment) -> str:
    """The complete configuration as YAML, which `load` reads back."""
    return yaml.safe_dump(registry.to_data(experiment), sort_keys=False, default_flow_style=None)


@dataclass(frozen=True)
class Record:
    """A line of metrics.jsonl: one epoch of one run.

    loss: mean training loss;  accuracy, sparsity: of the weights one would ship (What_t), in [0, 1], on the test images
    and as the paper's weighted group sparsity;  changed: the share of the weights whose group became zero or nonzero
    since the epoch before (the first: since the initial weights);  seconds: of the epoch's training;
    optimizer_seconds: of its steps.
    """

    method: str
    seed: int
    epoch: int
    loss: float
    accuracy: float
    sparsity: float
    changed: float
    seconds: float
    optimizer_seconds: float

    def line(self) -> str:
        """As JSON."""
        return json.dumps(vars(self))


def train(experiment: Experiment, label: str, seed: int, weights: Path | None = None) -> Iterator[Record]:
    """Train with one method and seed, one Record an epoch; at the end What_T goes to the file `weights`, if given.

    The same arguments give the same numbers on one machine; torch's global generator is seeded.
    """
    torch.manual_seed(seed)
    data = _standardized(DATASETS[experiment.dataset](), experiment.standardize)
    model = experiment.model.build(data)
    optimizer = experiment.methods[label].optimizer(model)
    scheduler = StageScheduler(optimizer, experiment.stages)
    before = group_structure(model)
    for epoch in range(1, experiment.epochs + 1):
        loss, seconds, optimizer_seconds = _train_epoch(model, optimizer, data, experiment)
        with structured(model, optimizer):
            accuracy, now = _accuracy(model, data), group_structure(model)
            if weights is not None and epoch == experiment.epochs:
                torch.save(model.state_dict(), weights.with_suffix(".new"))
                os.replace(weights.with_suffix(".new"), weights)
        changed = sum(a.distance(b) for a, b in zip(before, now, strict=True)) / sum(a.ambient for a in now)
        before = now
        yield Record(label, seed, epoch, loss, accuracy, weighted_sparsity(now), changed, seconds, optimizer_seconds)
        scheduler.step()


def group_structure(model: nn.Module) -> list[Manifold]:
    """Which groups are zero in each weight of a model, with the paper's grouping."""
    return [
        group["regularizer"].manifold(parameter.detach())
        for group in regularize(model, GroupLasso(1.0))
        if group["regularizer"] is not None
        for _, parameter in group["params"]
    ]


def _train_epoch(
    model: nn.Module, optimizer: MethodOptimizer, data: Split, experiment: Experiment
) -> tuple[float, float, float]:
    """Mean loss, seconds, and seconds spent in the optimizer."""
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    total, in_optimizer, begin = torch.zeros(()), 0.0, time.perf_counter()
    for batch in torch.randperm(len(labels)).split(experiment.batch_size):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(_shifted(images[batch], experiment.shift)), labels[batch])
        loss.backward()
        before = time.perf_counter()
        optimizer.step()
        in_optimizer += time.perf_counter() - before
        total += loss.detach() * len(batch)
    return float(total) / len(labels), time.perf_counter() - begin, in_optimizer


def _standardized(data: Split, by: tuple[float, float] | None) -> Split:
    mean, deviation = by or (0.0, 1.0)

    def scaled(images: Images) -> Images:
        return (images - np.float32(mean)) / np.float32(deviation)

    return replace(data, train_images=scaled(data.train_images), test_images=scaled(data.test_images))


def _shifted(images: Tensor, pixels: int) -> Tensor:
    """Each image moved by up to so many pixels along both axes, zeros coming in.  images: (n, channels, h, w)."""
    if not pixels:
        return images
    height, width = images.shape[-2:]
    windows = nn.functional.pad(images, [pixels] * 4).unfold(2, height, 1).unfold(3, width, 1)
    down, right = torch.randint(2 * pixels + 1, (2, len(images)))
    return windows[torch.arange(len(images)), :, down, right]


@torch.no_grad()
def _accuracy(model: nn.Module, data: Split) -> float:
    predicted: Tensor = model(torch.from_numpy(data.test_images)).argmax(dim=1)
    return float((predicted == torch.from_numpy(data.test_labels)).float().mean())
