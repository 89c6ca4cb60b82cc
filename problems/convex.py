"""Convex problems for `optkit.minimize`: smooth losses of a linear model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device

from optkit import validate
from optkit.core import Array


@dataclass(frozen=True)
class LinearModel(ABC):
    """f(w) = mean over rows of loss(features @ w, targets) + ridge / 2 ||w||^2.

    features: (n, d);  targets: (n,) or (n, k), then w is (d,) or (d, k);  batch: rows a stochastic gradient sees, drawn
    with replacement, None for all;  ridge: >= 0, f is strongly convex with this modulus at least.

    Raises TypeError or ValueError for arrays of other kinds, shapes or values.
    """

    features: Array
    targets: Array
    batch: int | None = None
    ridge: float = 0.0
    curvature: ClassVar[float]
    """The largest second derivative of a row's loss by its predictions."""

    def __post_init__(self) -> None:
        validate.floating("features", self.features)
        validate.floating("targets", self.targets)
        fits = self.features.ndim == 2 and self.targets.ndim in (1, 2)
        if not fits or self.targets.shape[0] != self.features.shape[0]:
            raise ValueError(
                "features must be a matrix (n, d) and targets a vector (n,) or a matrix (n, k), "
                f"got shapes {tuple(self.features.shape)} and {tuple(self.targets.shape)}"
            )
        if self.features.shape[0] == 0:
            raise ValueError(f"features must have at least one row, got shape {tuple(self.features.shape)}")
        if self.batch is not None:
            validate.count("batch", self.batch)
        validate.store(self, ridge=validate.nonnegative("ridge", self.ridge))

    @property
    def start(self) -> Array:
        """The origin, (d,) or (d, k)."""
        features, shape = self.features, (self.features.shape[1], *self.targets.shape[1:])
        return array_namespace(features).zeros(shape, dtype=features.dtype, device=device(features))

    @property
    def smoothness(self) -> float:
        """A Lipschitz constant of grad f: curvature * (largest singular value of features)^2 / n + ridge."""
        xp = array_namespace(self.features)
        largest = float(xp.linalg.svdvals(self.features)[0])
        return self.curvature * largest**2 / self.features.shape[0] + self.ridge

    def value(self, w: Array) -> Array:
        """f(w), a 0-d array.  w: (d,) or (d, k)."""
        xp = array_namespace(w)
        return xp.mean(self._losses(self.features @ w, self.targets)) + 0.5 * self.ridge * xp.sum(w * w)

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        """The gradient over a batch drawn with rng, or over all rows.  w: (d,) or (d, k); returns the same."""
        if self.batch is None:
            return self._gradient(self.features, self.targets, w)
        rows = rng.integers(self.features.shape[0], size=self.batch)
        return self._gradient(self.features[rows, :], self.targets[rows, ...], w)

    def second_moment(self, w: Array) -> Array:
        """E g * g, entry by entry, of the stochastic gradient g at w, exactly.  w: (d,) or (d, k); returns the same."""
        n = self.features.shape[0]
        mean = self._gradient(self.features, self.targets, w)
        if self.batch is None:
            return mean * mean
        slopes = self._slopes(self.features @ w, self.targets)
        squares = (self.features * self.features).T @ (slopes * slopes) / n
        data = mean - self.ridge * w  # the part of the gradient that is drawn
        return mean * mean + (squares - data * data) / self.batch

    def _gradient(self, features: Array, targets: Array, w: Array) -> Array:
        gradient = features.T @ self._slopes(features @ w, targets) / features.shape[0]
        return gradient + self.ridge * w if self.ridge else gradient

    @abstractmethod
    def _losses(self, predictions: Array, targets: Array) -> Array:
        """The loss of each row.  predictions, targets: (n,) or (n, k); returns (n,)."""

    @abstractmethod
    def _slopes(self, predictions: Array, targets: Array) -> Array:
        """The derivative of each row's loss by its predictions.  predictions, targets: (n,) or (n, k); the same."""


@dataclass(frozen=True)
class LeastSquares(LinearModel):
    """f(w) = ||features @ w - targets||^2 / (2 n) + ridge / 2 ||w||^2.

    features: (n, d);  targets: (n,) or (n, k);  batch: rows a stochastic gradient sees, None for all;  ridge: >= 0.
    """

    curvature = 1.0

    def _losses(self, predictions: Array, targets: Array) -> Array:
        squares = 0.5 * (predictions - targets) ** 2
        return squares if squares.ndim == 1 else array_namespace(squares).sum(squares, axis=1)

    def _slopes(self, predictions: Array, targets: Array) -> Array:
        return predictions - targets


@dataclass(frozen=True)
class LogisticRegression(LinearModel):
    """f(w) = mean log(1 + exp(-targets * (features @ w))) + ridge / 2 ||w||^2, targets in {-1, 1}.

    features: (n, d);  targets: (n,);  batch: rows a stochastic gradient sees, None for all;  ridge: >= 0.
    """

    curvature = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        xp = array_namespace(self.targets)
        if self.targets.ndim != 1:
            raise ValueError(
                f"targets of a LogisticRegression must be a vector (n,), got {tuple(self.targets.shape)}; "
                "SoftmaxRegression takes several classes"
            )
        if not bool(xp.all(xp.abs(self.targets) == 1)):
            raise ValueError("targets of a LogisticRegression must be -1.0 or 1.0; map labels 0, 1 by 2 * label - 1")

    def _losses(self, predictions: Array, targets: Array) -> Array:
        xp, margin = array_namespace(predictions), targets * predictions
        return xp.logaddexp(-margin, xp.zeros_like(margin))

    def _slopes(self, predictions: Array, targets: Array) -> Array:
        margin = targets * predictions
        return -targets * (0.5 * (1 - array_namespace(margin).tanh(0.5 * margin)))


@dataclass(frozen=True)
class SoftmaxRegression(LinearModel):
    """f(w) = mean of -log softmax(features @ w)[class] + ridge / 2 ||w||^2, one class a row.

    features: (n, d);  targets: (n, k), 1.0 at the class of a row and 0.0 elsewhere;  batch: rows a stochastic gradient
    sees, None for all;  ridge: >= 0. The weights w are (d, k): a row for each feature.
    """

    curvature = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        xp = array_namespace(self.targets)
        one_hot = self.targets.ndim == 2 and bool(
            xp.all((self.targets == 0) | (self.targets == 1)) & xp.all(xp.sum(self.targets, axis=1) == 1)
        )
        if not one_hot:
            raise ValueError(
                "targets of a SoftmaxRegression must be a matrix (n, k) with one 1.0 in each row and 0.0 elsewhere, "
                f"got shape {tuple(self.targets.shape)}; numpy.eye(k)[labels] makes it"
            )

    def _losses(self, predictions: Array, targets: Array) -> Array:
        xp = array_namespace(predictions)
        shifted = predictions - xp.max(predictions, axis=1, keepdims=True)
        return xp.log(xp.sum(xp.exp(shifted), axis=1)) - xp.sum(targets * shifted, axis=1)

    def _slopes(self, predictions: Array, targets: Array) -> Array:
        xp = array_namespace(predictions)
        powers = xp.exp(predictions - xp.max(predictions, axis=1, keepdims=True))
        return powers / xp.sum(powers, axis=1, keepdims=True) - targets
