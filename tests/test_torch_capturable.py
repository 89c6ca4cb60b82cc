"""Optimizers with capturable=True: by Triton's interpreter without a GPU, in CUDA graphs on one: capturable_walks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from optkit.torch import RAMDA

from .test_kernels_triton import collect, needs_triton

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a CUDA device: it captures graphs")


@needs_triton
def test_interpreted(tmp_path: Path) -> None:
    collect("capturable_walks.py", "test", tmp_path, interpret=True)


@needs_triton
@needs_gpu
def test_on_the_device(tmp_path: Path) -> None:
    collect("capturable_walks.py", "test", tmp_path, interpret=False)


def test_parameters_in_main_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="capturable=True needs the kernel 'triton', which cannot .*capturable=False"):
        RAMDA(nn.Linear(3, 2).parameters(), capturable=True)


@pytest.mark.parametrize("kernel", ["reference", "numba"])
def test_other_kernels_are_refused(kernel: str) -> None:
    with pytest.raises(ValueError, match=f"needs the kernel 'triton', got kernel='{kernel}'; use kernel='auto'"):
        RAMDA(nn.Linear(3, 2).parameters(), kernel=kernel, capturable=True)


def test_capturable_is_a_flag() -> None:
    with pytest.raises(TypeError, match="capturable"):
        RAMDA(nn.Linear(3, 2).parameters(), capturable="yes")


def test_before_replay_is_for_capturable_optimizers() -> None:
    with pytest.raises(ValueError, match="pass capturable=True"):
        RAMDA(nn.Linear(3, 2).parameters()).before_replay()
