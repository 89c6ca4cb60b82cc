"""A labelled data set cut into training and test examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Images = np.ndarray[Any, np.dtype[np.float32]]
Labels = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Split:
    """Images (n, channels, height, width), float32, and labels (n,), integers from 0."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.train_labels.max()) + 1
