"""The examples run as a newcomer runs them, and what they print holds: exact zeros, accuracy, resuming bit for bit."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="needs examples/ beside tests/, as in a checkout")

ACCELERATE = """
import torch
from accelerate import Accelerator
from torch import nn
from optkit.algorithms import Stages
from optkit.regularizers import GroupLasso
from optkit.torch import RAMDA, StageScheduler, regularize, structured

accelerator = Accelerator(cpu=True)
results = []
for prepare in (lambda *objects: objects, accelerator.prepare):
    torch.manual_seed(0)
    model, x = nn.Linear(20, 4), torch.randn(64, 20)
    optimizer = RAMDA(regularize(model, GroupLasso(0.05)), lr=0.1, averaging=0.1)
    scheduler = StageScheduler(optimizer, Stages(milestones=(10, 20)))
    prepared, outer, scheduler = prepare(model, optimizer, scheduler)
    for _ in range(30):
        outer.zero_grad()
        accelerator.backward((prepared(x) - x[:, :4]).square().mean())
        outer.step()
        scheduler.step()
    with structured(model, optimizer):
        results.append(model.weight.detach().clone())
print(f"same: {torch.equal(*results)}")
print(f"weight: {(results[1] == 0).all(dim=0).sum()} of 20 columns zero")
"""


def run_python(arguments: list[str], folder: Path) -> str:
    """What an interpreter prints that works in the folder, on one core and without a network."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(name: str, folder: Path) -> str:
    return run_python([str(EXAMPLES / name)], folder)


def accuracy(printed: str) -> float:
    (percent,) = re.findall(r"accuracy (\S+) %", printed)
    return float(percent)


def zeros(printed: str) -> dict[str, float]:
    """The share of zero columns, or groups, of each weight."""
    return {name: int(n) / int(of) for name, n, of in re.findall(r"(\S+): (\d+) of (\d+)", printed)}


def needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package.replace('_', '-')}, from the extra `dev`")


def test_from_adamw_to_ramda_are_three_lines() -> None:
    before, after = ((EXAMPLES / f"digits_{name}.py").read_text("utf-8").splitlines() for name in ("adamw", "ramda"))
    difference = list(difflib.ndiff(before, after))
    assert sum(line.startswith("+ ") for line in difference) == 3  # new lines, and changed ones
    assert sum(line.startswith("- ") for line in difference) == 2  # what the changed ones were


def test_ramda_reads_digits_as_adamw_does_with_exact_zeros(tmp_path: Path) -> None:
    dense, sparse = (run(f"digits_{name}.py", tmp_path) for name in ("adamw", "ramda"))
    assert accuracy(dense) > 94
    assert accuracy(sparse) > accuracy(dense) - 3
    assert set(zeros(dense).values()) == {0.0}
    assert len(zeros(sparse)) == 3
    assert min(zeros(sparse).values()) > 0.1


def test_lightning(tmp_path: Path) -> None:
    needs("pytorch_lightning")
    printed = run("lightning_ramda.py", tmp_path)
    assert accuracy(printed) > 90
    assert min(zeros(printed).values()) > 0.1
    assert "resumed after epoch 7: bit for bit the same" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"digits.pt", "epoch7.ckpt"}


def test_hugging_face_trainer(tmp_path: Path) -> None:
    needs("transformers")
    needs("accelerate")
    printed = run("transformers_ramda.py", tmp_path)
    assert accuracy(printed) > 95
    losses = [float(loss) for loss in re.findall(r"'loss': '?([0-9.e-]+)", printed)]
    assert losses[-1] < 0.1 * losses[0]
    attention = [share for name, share in zeros(printed).items() if ".attention." in name]
    assert attention == [1.0] * 8


def test_accelerate_changes_nothing(tmp_path: Path) -> None:
    needs("accelerate")
    printed = run_python(["-c", ACCELERATE], tmp_path)
    assert "same: True" in printed
    assert 0 < zeros(printed)["weight"] < 1
