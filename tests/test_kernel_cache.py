"""What the numba kernel keeps on disk, and for how long."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import optkit

pytest.importorskip("numba")
from optkit.kernels.cpu import caching
from optkit.regularizers import L1
from optkit.torch import ProxSGD

STEP = """
import logging, torch
from optkit.regularizers import L1
from optkit.torch import ProxSGD

compiled = []
logging.getLogger("optkit.kernels").setLevel("INFO")
logging.getLogger("optkit.kernels").addFilter(compiled.append)
for dtype in (torch.float32, torch.float64):
    w = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
    optimizer = ProxSGD([w], lr=1.0, momentum=1.0, regularizer=L1(0.25), kernel="numba")
    w.grad = torch.full((1,), -1.0, dtype=dtype)
    optimizer.step()
print(w.item(), len(compiled))
"""


def step(package: Path, **settings: str) -> str:
    """w after one step from 0, which is 1 - 0.25, and how many loops were compiled."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path]), **settings}
    command = [sys.executable, "-c", STEP]
    ended = subprocess.run(command, env=env, cwd=package, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The parent folder of a copy of the package."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(optkit.__file__).parent, tmp_path / "package" / "optkit", ignore=ignored)
    return tmp_path / "package"


def test_loops_are_compiled_again_when_any_source_changed(package: Path, tmp_path: Path) -> None:
    """Also one that the loop's own file only imports; and what is out of date makes room."""
    cache = tmp_path / "cache"
    settings: dict[str, Any] = {"NUMBA_CACHE_DIR": str(cache)}
    assert step(package, **settings) == "0.75 4"
    assert step(package, **settings) == "0.75 0"
    files = sorted(cache.rglob("*.nb*"))
    assert len(files) == 2 * 4  # an index and code of each kind, which share none
    sibling = package / "optkit" / "kernels" / "cpu" / "functions.py"
    text = sibling.read_text()
    assert text.count("v - threshold if v > threshold") == 1
    sibling.write_text(text.replace("v - threshold if v > threshold", "v if v > threshold"))
    assert step(package, **settings) == "1.0 4"
    assert sorted(cache.rglob("*.nb*")) == files


def test_steps_are_taken_where_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(self: Any, *_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("numba.core.caching.FunctionCache.save_overload", save)
    monkeypatch.setattr("numba.core.caching.FunctionCache.load_overload", lambda *_: None)
    caching.compiled.cache_clear()
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = ProxSGD([w], lr=1.0, momentum=1.0, regularizer=L1(0.25), kernel="numba")
    w.grad = torch.full((1,), -1.0)
    optimizer.step()
    assert w.item() == 0.75


def test_steps_are_taken_where_nothing_can_be_kept(package: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "a file"
    nowhere.touch()
    settings = {key: str(nowhere / "below") for key in ("HOME", "XDG_CACHE_HOME")}
    (package / "optkit" / "kernels" / "cpu" / "__pycache__").touch()  # where numba would like a folder
    assert step(package, **settings) == "0.75 4"
