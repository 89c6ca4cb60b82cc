"""The array back ends on which laws are tried: numpy, and of the others those that are installed."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_cupy_array, is_torch_array

from optkit.core import Array

Host = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Backend:
    """A library of arrays, as a user imports it, with a dtype ("float32" or "float64") and a device (None: its own)."""

    xp: Any
    dtype: str
    device: str | None = None

    @property
    def eps(self) -> float:
        """The distance from 1 to the next number."""
        return float(np.finfo(self.dtype).eps)

    @property
    def units(self) -> tuple[float, ...]:
        """Orders of magnitude that arrays of this dtype can be of: common, tiny and huge."""
        return 1.0, 1e-30, 1e30 if self.dtype == "float32" else 1e150

    def array(self, a: Any) -> Array:
        """A new array of this back end with the values of a."""
        new = np.array(a, dtype=self.dtype)
        where = {} if self.device is None else {"device": self.device}
        return self.xp.asarray(new, dtype=getattr(self.xp, self.dtype), **where)


def host(a: Any) -> Host:
    """The array or number, of any back end and device, in numpy's float64."""
    if is_torch_array(a):
        a = a.numpy(force=True)
    elif is_cupy_array(a):
        a = a.get()
    return np.array(a, dtype=np.float64)


def kind(a: Array) -> tuple[Any, Any, Any]:
    """What an operation keeps: the namespace, the dtype and the device."""
    return array_namespace(a), a.dtype, device(a)


def size(a: Any) -> float:
    """The Euclidean norm of the entries of a number or an array, safe against overflow."""
    entries = np.abs(host(a)).ravel()
    largest = float(np.max(entries, initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.sum((entries / largest) ** 2)))


def _available() -> dict[str, Backend]:
    libraries: dict[str, tuple[Any, str | None]] = {"numpy": (np, None)}
    if find_spec("torch"):
        torch: Any = importlib.import_module("torch")
        libraries["torch"] = (torch, None)
        if torch.cuda.is_available():
            libraries["cuda"] = (torch, "cuda")
    if find_spec("array_api_strict"):
        libraries["strict"] = (importlib.import_module("array_api_strict"), None)
    if find_spec("cupy"):
        cupy: Any = importlib.import_module("cupy")
        if cupy.is_available():
            libraries["cupy"] = (cupy, None)
    return {
        f"{name}{bits}": Backend(xp, f"float{bits}", place)
        for name, (xp, place) in libraries.items()
        for bits in (64, 32)
    }


BACKENDS = _available()
"""By name: numpy64, numpy32, torch64, ..., strict32 (array-api-strict), on a GPU also cuda64, cupy64, ..."""
