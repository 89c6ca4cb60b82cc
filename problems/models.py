"""Networks for the experiments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Literal

from torch import nn

from optkit import registry, validate

from .datasets import Split


class Network(ABC):
    """A network as a configuration names it: {name: CLASS, FIELD: VALUE, ...}."""

    @abstractmethod
    def build(self, data: Split) -> nn.Sequential:
        """The network for images and classes like those of data, newly initialised."""

    @classmethod
    def from_data(cls, data: Any, key: str) -> Network:
        """Read by the registry."""
        rest = registry.from_data(dict[str, Any], data, key)
        name = rest.pop("name", ConvNet.__name__)
        networks = {network.__name__: network for network in cls.__subclasses__()}
        if name not in networks:
            raise registry.DataError(f"{key}.name: got {name!r}; {registry.allowed(name, networks)}")
        network: Network = registry.call(networks[name], rest, key)
        return network

    def to_data(self) -> dict[str, Any]:
        """The inverse of `from_data`, with all fields."""
        values = {field.name: registry.to_data(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]
        return {"name": type(self).__name__, **values}


@dataclass(frozen=True)
class Linear(Network):
    """One Linear layer: multinomial logistic regression.  start: its first weights and biases, 0 or torch's random."""

    start: Literal["origin", "random"] = "random"

    def __post_init__(self) -> None:
        validate.choice("start", self.start, ("origin", "random"))

    def build(self, data: Split) -> nn.Sequential:
        linear = nn.Linear(data.train_images[0].size, data.classes)
        if self.start == "origin":
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        return nn.Sequential(nn.Flatten(), linear)


@dataclass(frozen=True)
class ConvNet(Network):
    """Two 3x3 convolutions, 2x2 max pooling, two Linear layers, ReLU between them.

    channels: outputs of the two convolutions;  hidden: outputs of the first Linear layer.
    """

    channels: tuple[int, int] = (32, 64)
    hidden: int = 128

    def __post_init__(self) -> None:
        for width in (*self.channels, self.hidden):
            validate.count("channels and hidden", width)

    def build(self, data: Split) -> nn.Sequential:
        inputs, height, width = data.train_images.shape[1:]
        first, second = self.channels
        return nn.Sequential(
            nn.Conv2d(inputs, first, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (height // 2) * (width // 2), self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, data.classes),
        )
