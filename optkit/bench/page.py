"""The page: what was measured, on which machine, and the tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import optkit

from .contestants import FOREACH, FUSED
from .settings import Settings
from .table import Table

TEXT = """\
Written by

    {command}

Times are medians; those that a ratio is made of were measured in the same process, in rounds in which the competitors
take turns, so that a machine that is busy for a while is busy for all of them. To compare two commits:
`pytest tests/benchmarks --benchmark-only --benchmark-autosave` at one of them, and the same with `--benchmark-compare`
at the other.
"""
STEPS = f"""
In the tables of steps, every optimizer has weights of its own, normal numbers of size 0.02, and all have the same
gradients: two sets that take turns, normal numbers whose size rises from 0 to 0.02 from one group to the next, so that
some groups become zero. Learning rates and RAMDA's sparsity are those of the RAMDA paper on ImageNet. float32
throughout. The columns:

- **ms**: a step. **± %**: half the interquartile range of the rounds.
- **/ fused AdamW**, **/ foreach AdamW**: divided by the time of `torch.optim.{FUSED}` or `{FOREACH}` in the same
  rounds.
- **arrays, least**: how many arrays of all parameters' size a step has to move at least: weights, gradients and state
  in, weights and state out. **GB/s**: these, divided by the time. **arrays, copied**: how many a copy moves in this
  time.
- **zeros %**: weights in groups that are zero in the subproblems' solutions.
- **residual**: the least subgradient at these solutions, ||s|| / ||metric * anchor - linear|| in float64, the largest
  of all tensors, at the step after those that are timed.
- **steps**: which steps are timed. **n**: the number of rounds. A round is several steps in a row where one takes less
  than 2 ms; slow optimizers have fewer rounds, and fewer steps before them.
"""


def machine(device: str = "cpu", kernel: str = "auto") -> dict[str, str]:
    """What the measurements say of the machine: public facts, no names and no paths."""
    levels = [path.parent for path in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/level"))]
    caches = [[(level / name).read_text("ascii").strip() for name in ("level", "type", "size")] for level in levels]
    facts = {
        "system": f"{platform.system()} on {platform.machine()}",
        "cores": f"{os.cpu_count()}, of which {torch.get_num_threads()} used",
        "caches": ", ".join(f"L{level} {size}iB" for level, kind, size in caches if kind != "Instruction") or "unknown",
        "versions": f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}, "
        f"optkit {optkit.__version__}",
        "kernel": kernel,
    }
    if device == "cuda":
        facts["device"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return facts


def load() -> float:
    """How many processes ran in the last minute, on average; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def page(measured: Sequence[Table], settings: Settings, command: str, before: float = 0.0) -> str:
    """Markdown.  command: what writes it;  before: the load at the beginning."""
    known = machine(settings.device, settings.kernel) | {"load before": f"{before:.1f}"}
    facts = "\n".join(f"* {name}: {value}" for name, value in known.items())
    columns = [column.title for table in measured for column in table.columns]
    text = TEXT.format(command=command) + (STEPS if "/ fused AdamW" in columns else "")
    head = f"# Benchmarks\n\n{text}\n{facts}"
    return "\n\n".join([head, *(table.markdown() for table in told_once(measured))]) + "\n"


def told_once(tables: Iterable[Table]) -> Iterator[Table]:
    """The tables; a text that several in a row share stays at the first."""
    before = ""
    for table in tables:
        yield replace(table, text="") if table.text == before else table
        before = table.text
