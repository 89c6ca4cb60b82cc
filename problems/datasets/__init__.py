"""Data sets by name, each a fixed split into training and test examples."""

from __future__ import annotations

from collections.abc import Callable

from .digits import digits
from .split import Split

__all__ = ["DATASETS", "Split", "digits"]

DATASETS: dict[str, Callable[[], Split]] = {"digits": digits}
"""What the key `dataset` of an experiment may name."""
