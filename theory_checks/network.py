"""A small network with one trained layer: a smooth nonconvex loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optkit.core import Array


@dataclass(frozen=True)
class Network:
    """f(w) = mean (sum_h tanh(w_h . x) * signs_h - y)^2 / 2 + ridge / 2 ||w||^2, a two-layer network whose output layer
    is fixed.

    inputs: (n, d);  targets: (n,);  signs: (h,), the output layer;  first: (h, d), the weights that a run starts from;
    batch: rows a stochastic gradient sees, None for all;  ridge: >= 0.
    """

    inputs: Array
    targets: Array
    signs: Array
    first: Array
    batch: int | None = None
    ridge: float = 0.0

    @property
    def start(self) -> Array:
        return self.first

    def value(self, w: Array) -> Array:
        error = np.tanh(self.inputs @ w.T) @ self.signs - self.targets
        return 0.5 * np.mean(error * error) + 0.5 * self.ridge * np.sum(w * w)

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        rows = slice(None) if self.batch is None else rng.integers(self.inputs.shape[0], size=self.batch)
        inputs, slopes = self._slopes(w, rows)
        return slopes.T @ inputs / inputs.shape[0] + self.ridge * w

    def second_moment(self, w: Array) -> Array:
        """E g * g of the stochastic gradient g, exactly."""
        inputs, slopes = self._slopes(w, slice(None))
        data, squares = slopes.T @ inputs / inputs.shape[0], (slopes**2).T @ inputs**2 / inputs.shape[0]
        noise = 0.0 if self.batch is None else (squares - data * data) / self.batch
        return (data + self.ridge * w) ** 2 + noise

    def _slopes(self, w: Array, rows: Array | slice) -> tuple[Array, Array]:
        """The inputs of these rows, (b, d), and the derivative of their losses by what enters the units, (b, h)."""
        inputs = self.inputs[rows]
        units = np.tanh(inputs @ w.T)
        error = units @ self.signs - self.targets[rows]
        return inputs, error[:, None] * self.signs * (1 - units * units)
