"""What the measurements say of the machine: public facts, no names and no paths."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import torch

import optkit


def pytest_benchmark_generate_machine_info() -> dict[str, str]:
    levels = [path.parent for path in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/level"))]
    caches = [[(level / name).read_text("ascii").strip() for name in ("level", "type", "size")] for level in levels]
    return {
        "system": f"{platform.system()} on {platform.machine()}",
        "cores": f"{os.cpu_count()}, of which {torch.get_num_threads()} used",
        "caches": ", ".join(f"L{level} {size}iB" for level, kind, size in caches if kind != "Instruction") or "unknown",
        "versions": f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}, "
        f"optkit {optkit.__version__}",
    }
