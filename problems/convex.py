"""Convex problems for `optkit.minimize`: smooth losses over a data matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from optkit import validate
from optkit.core import Array


@dataclass(frozen=True)
class _Linear(ABC):
    """A loss of features @ w. features: (n, d);  targets: (n,);  batch: rows a gradient sees, None for all."""

    features: Array
    targets: Array
    batch: int | None = None

    def __post_init__(self) -> None:
        validate.floating("features", self.features)
        validate.floating("targets", self.targets)
        if self.features.ndim != 2 or self.targets.shape != self.features.shape[:1]:
            raise ValueError(
                "features must be a matrix (n, d) and targets a vector (n,), "
                f"got shapes {tuple(self.features.shape)} and {tuple(self.targets.shape)}"
            )
        if self.batch is not None:
            validate.count("batch", self.batch)

    @property
    def start(self) -> Array:
        """The origin, (d,)."""
        return array_namespace(self.features).zeros_like(self.features[0, :])

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        """The gradient over a batch drawn with replacement, or over all rows.  w: (d,); returns (d,)."""
        if self.batch is None:
            return self._gradient(self.features, self.targets, w)
        rows = rng.integers(self.features.shape[0], size=self.batch)
        return self._gradient(self.features[rows, :], self.targets[rows], w)

    @abstractmethod
    def _gradient(self, features: Array, targets: Array, w: Array) -> Array: ...


@dataclass(frozen=True)
class LeastSquares(_Linear):
    """f(w) = ||features @ w - targets||^2 / (2 n).  features: (n, d);  targets: (n,);  batch: rows a gradient sees."""

    def value(self, w: Array) -> Array:
        """f(w), a 0-d array.  w: (d,)."""
        xp = array_namespace(w)
        return 0.5 * xp.mean((self.features @ w - self.targets) ** 2)

    def _gradient(self, features: Array, targets: Array, w: Array) -> Array:
        return features.T @ (features @ w - targets) / features.shape[0]


@dataclass(frozen=True)
class LogisticRegression(_Linear):
    """f(w) = mean log(1 + exp(-targets * (features @ w))), targets in {-1, 1}.

    features: (n, d);  targets: (n,);  batch: rows a stochastic gradient sees, None for all.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        xp = array_namespace(self.targets)
        if not bool(xp.all(xp.abs(self.targets) == 1)):
            raise ValueError("targets of a LogisticRegression must be -1.0 or 1.0; map labels 0, 1 by 2 * label - 1")

    def value(self, w: Array) -> Array:
        """f(w), a 0-d array.  w: (d,)."""
        xp = array_namespace(w)
        margin = self.targets * (self.features @ w)
        return xp.mean(xp.logaddexp(-margin, xp.zeros_like(margin)))

    def _gradient(self, features: Array, targets: Array, w: Array) -> Array:
        xp = array_namespace(w)
        margin = targets * (features @ w)
        probability = 0.5 * (1 - xp.tanh(0.5 * margin))
        return -(features.T @ (targets * probability)) / features.shape[0]
