"""What every law is tried on: regularizers with a shape they fit, and array back ends, a line for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_strict
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from array_api_compat import is_torch_array
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from optkit.core import Array, Regularizer
from optkit.regularizers import L1, Grouped, GroupLasso, Zero


@dataclass(frozen=True)
class Case:
    """make: the regularizer of a strength;  shape: of an array that it fits."""

    make: Callable[[float], Regularizer]
    shape: tuple[int, ...]


REGULARIZERS = {
    "Zero": Case(lambda strength: Zero(), (2, 3)),
    "L1": Case(L1, (5,)),
    "L1, one number": Case(L1, ()),
    "L1, no entries": Case(L1, (3, 0)),
    "GroupLasso, one group": Case(partial(GroupLasso, axes=0), (4,)),
    "GroupLasso, groups of one entry": Case(partial(GroupLasso, axes=1), (4, 1)),
    "GroupLasso, columns": Case(partial(GroupLasso, axes=(0,)), (3, 4)),
    "GroupLasso, rows, unscaled": Case(partial(GroupLasso, axes=-1, scale_by_size=False), (3, 4)),
    "GroupLasso, input channels": Case(partial(GroupLasso, axes=(0, 2, 3)), (2, 3, 1, 2)),
    "GroupLasso, axes from the end": Case(partial(GroupLasso, axes=(0, -1, -2)), (2, 3, 2, 1)),
    "GroupLasso, no groups": Case(partial(GroupLasso, axes=0), (3, 0)),
}


@dataclass(frozen=True)
class Backend:
    """A library of arrays, as a user imports it, and a dtype."""

    xp: Any
    dtype: str

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    @property
    def units(self) -> tuple[float, ...]:
        """Orders of magnitude that arrays of this dtype can be of."""
        return 1.0, 1e-30, 1e30 if self.dtype == "float32" else 1e150

    def array(self, a: Any) -> Array:
        """A new array of this back end with the values of a."""
        return self.xp.asarray(np.array(a, dtype=self.dtype), dtype=getattr(self.xp, self.dtype))


BACKENDS = {
    "numpy64": Backend(np, "float64"),
    "numpy32": Backend(np, "float32"),
    "torch64": Backend(torch, "float64"),
    "torch32": Backend(torch, "float32"),
    "strict64": Backend(array_api_strict, "float64"),
    "strict32": Backend(array_api_strict, "float32"),
}

EACH_CASE = pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS)
EACH_BACKEND = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


def examples(count: int) -> settings:
    """So many examples, the same ones in every run, on however slow a machine."""
    slow = [HealthCheck.too_slow]
    return settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=slow)


# Zeros and ties are common, and times the smallest unit nothing is subnormal.
NUMBERS = st.integers(-48, 48).map(lambda k: k / 16)


def floats(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Arrays of numbers of the order of 1, in float64."""
    return hnp.arrays(np.float64, shape, elements=NUMBERS)


def wide_floats(shape: tuple[int, ...], units: tuple[float, ...]) -> st.SearchStrategy[np.ndarray]:
    """Arrays whose numbers are zeros, of the order of one of the units, or of a mixture, in float64."""
    unit = st.sampled_from(units)
    return st.tuples(floats(shape), unit | hnp.arrays(np.float64, shape, elements=unit)).map(
        lambda pair: pair[0] * pair[1]
    )


def host(a: Array) -> np.ndarray:
    """The array, of any back end, in numpy's float64."""
    return np.array(a.numpy(force=True) if is_torch_array(a) else a, dtype=np.float64)


def blocks(psi: Regularizer, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The blocks of psi, each as an array of booleans that is true there; index by index, as slowly as it reads."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    for index in np.ndindex(*shape):
        found.setdefault(_block_of(psi, index), np.zeros(shape, dtype=bool))[index] = True
    return list(found.values())


def _block_of(psi: Regularizer, index: tuple[int, ...]) -> tuple[int, ...]:
    if psi.separable:
        return index
    if isinstance(psi, Grouped):
        assert isinstance(psi.axes, tuple)
        inside = {axis % len(index) for axis in psi.axes}
        return tuple(i for axis, i in enumerate(index) if axis not in inside)
    return ()
