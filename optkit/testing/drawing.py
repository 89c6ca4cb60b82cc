"""The numbers that are drawn: zeros and ties are common, and some are huge or tiny."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from .backends import Host

Shape = tuple[int, ...]

# Times the smallest unit nothing is subnormal.
NUMBERS = st.integers(-48, 48).map(lambda k: k / 16)


def floats(shape: Shape) -> st.SearchStrategy[Host]:
    """Arrays of numbers of the order of 1, in float64."""
    return hnp.arrays(np.float64, shape, elements=NUMBERS)


def wide_floats(shape: Shape, units: tuple[float, ...]) -> st.SearchStrategy[Host]:
    """Arrays whose numbers are zeros, of the order of one of the units, or of a mixture, in float64."""
    unit: st.SearchStrategy[Any] = st.sampled_from(units)
    mixed = unit | hnp.arrays(np.float64, shape, elements=unit)
    return st.tuples(floats(shape), mixed).map(lambda pair: np.asarray(pair[0] * pair[1]))


def masks(shape: Shape) -> st.SearchStrategy[Host]:
    """Arrays of booleans."""
    return hnp.arrays(np.bool_, shape)
