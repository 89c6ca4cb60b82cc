"""The kernel for NVIDIA GPUs: Triton, imported with the first step and not before."""

from .clock import DeviceClock
from .kernel import Triton

__all__ = ["DeviceClock", "Triton"]
