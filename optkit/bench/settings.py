"""What to measure, and how hard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .timing import Effort

OPTIMIZERS = ("RAMDA", "ProxGen", "ProxSSI", "RMDA", "ProxSGD")


@dataclass(frozen=True)
class Settings:
    """tables, lists, optimizers: names;  device: "cpu" or "cuda";  kernel: which of optkit's kernels;  references:
    checkouts of published implementations;  quick: everything small, to see that it works."""

    tables: tuple[str, ...]
    lists: tuple[str, ...]
    optimizers: tuple[str, ...] = OPTIMIZERS
    device: str = "cpu"
    kernel: str = "auto"
    references: tuple[Path, ...] = ()
    quick: bool = False
    effort: Effort = Effort()
