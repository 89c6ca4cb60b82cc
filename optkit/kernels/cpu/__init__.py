"""The kernel for main memory: loops compiled by numba on all cores."""

from .kernel import Numba

__all__ = ["Numba"]
