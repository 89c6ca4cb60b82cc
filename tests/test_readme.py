"""The README's code runs as it stands and prints what its comments say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from optkit import minimize
from optkit.algorithms import ramda
from optkit.problems import LeastSquares
from optkit.torch import RAMDA, regularize

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def run(block: str) -> dict[str, Any]:
    module = sys.modules["readme"] = ModuleType("readme")
    exec(compile(block, str(README), "exec"), vars(module))
    return vars(module)


def test_there_are_an_example_for_each_reader_and_a_regularizer() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("block", BLOCKS[:3], ids=["practitioner", "researcher", "regularizers"])
def test_prints_what_it_says(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(block)
    (promised,) = re.findall(r"print\(.*\)  # (.*)", block)
    assert set(capsys.readouterr().out.splitlines()) == {promised}


def test_the_regularizer_works_in_both_front_ends() -> None:
    psi = run(BLOCKS[3])["NegativePart"](0.1)
    features = np.eye(3)
    problem = LeastSquares(features, np.array([2.0, -0.01, -3.0]))
    result = minimize(problem, ramda(psi, lr=0.1, averaging=0.5), steps=500)
    np.testing.assert_allclose(result.structured, [2.0, 0.0, -2.7], atol=1e-2)
    assert result.structured[1] == 0.0

    model = torch.nn.Linear(4, 2)
    optimizer = RAMDA(regularize(model, psi))
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert optimizer.structure()["weight"].ambient == 8
