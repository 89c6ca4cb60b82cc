"""Data sets by name, each a fixed split into training and test examples; and tables for the convex problems."""

from __future__ import annotations

from collections.abc import Callable

from .digits import digits
from .files import Published
from .idx import fashion_mnist, mnist
from .libsvm import Table, libsvm
from .split import Split

__all__ = ["DATASETS", "Published", "Split", "Table", "digits", "fashion_mnist", "libsvm", "mnist"]

DATASETS: dict[str, Callable[[], Split]] = {"digits": digits, "fashion-mnist": fashion_mnist, "mnist": mnist}
"""What the key `dataset` of an experiment may name."""
