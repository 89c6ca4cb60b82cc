"""Networks for the experiments."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from optkit import validate

from .datasets import Split


@dataclass(frozen=True)
class ConvNet:
    """Two 3x3 convolutions, 2x2 max pooling, two Linear layers, ReLU between them.

    channels: outputs of the two convolutions;  hidden: outputs of the first Linear layer.
    """

    channels: tuple[int, int] = (32, 64)
    hidden: int = 128

    def __post_init__(self) -> None:
        for width in (*self.channels, self.hidden):
            validate.count("channels and hidden", width)

    def build(self, data: Split) -> nn.Sequential:
        """The network for images and classes like those of data, newly initialised."""
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
