"""Which kernel takes a step."""

from __future__ import annotations

import logging
from functools import cache

from torch import Tensor

from optkit import validate
from optkit.algorithms import ProximalMethod

from .base import Kernel
from .cpu import Numba
from .cuda import Triton

KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in (Numba(), Triton())}
"""The fused kernels by name, in the order in which "auto" asks them."""
AUTO, REFERENCE = "auto", "reference"
LOG = logging.getLogger("optkit.kernels")


def check(name: str) -> None:
    """Raise ValueError for what is no kernel's name, and for a kernel that cannot run on this machine."""
    validate.choice("kernel", name, (AUTO, REFERENCE, *KERNELS))
    if name in KERNELS and (reason := KERNELS[name].missing()):
        raise ValueError(f"kernel={name!r} cannot run here: {reason}; or use kernel='auto'")


def choose(name: str, method: ProximalMethod, w: Tensor) -> Kernel | None:
    """The kernel that takes the steps of the method on w; None for the reference, the method's own parts.

    "auto" takes the first kernel without an objection, and says once in the log when there is none, and why. Raises
    ValueError where the kernel of this name cannot.
    """
    if name == REFERENCE:
        return None
    asked = [k for k in KERNELS.values() if w.device.type in k.devices] if name == AUTO else [KERNELS[name]]
    reasons = []
    for kernel in asked:
        reason = kernel.objection(method, w)
        if reason is None:
            return kernel
        reasons.append(f"{kernel.name}: {reason}")
    said = "; ".join(reasons) or f"none works on {w.device.type}"
    if name != AUTO:
        about = f"shape {tuple(w.shape)}, {w.dtype}, on {w.device}"
        raise ValueError(f"kernel={name!r} cannot take the steps of a tensor of {about}: {said}; use kernel='auto'")
    _fallen_back(said)
    return None


@cache
def _fallen_back(reasons: str) -> None:
    LOG.warning("no fused kernel takes these steps, which run part by part and slower (%s)", reasons)
