"""Arrays of any back end and device as numpy arrays on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_cupy_array, is_torch_array, to_device

from optkit.core import Array


def to_host(a: Array) -> np.ndarray[Any, np.dtype[Any]]:
    """A copy of the array in numpy; half precision of torch becomes float32."""
    if is_cupy_array(a):
        a = to_device(a, "cpu")
    if is_torch_array(a):
        a = (a.float() if a.dtype.itemsize == 2 and a.dtype.is_floating_point else a).numpy(force=True)  # no bfloat16
    return np.array(a)
