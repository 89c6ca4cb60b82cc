"""The methods of docs/composing.md find a sparse solution, and the preconditioner there obeys the laws."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model

from optkit import minimize
from optkit.algorithms import ProximalMethod
from optkit.problems import LogisticRegression
from optkit.testing import check_preconditioner

PAGE = Path(__file__).parents[1] / "docs" / "composing.md"
if not PAGE.exists():
    pytest.skip("needs docs/composing.md, which is in a checkout of the repository", allow_module_level=True)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(block: str) -> dict[str, Any]:
    module = sys.modules["composing"] = ModuleType("composing")
    exec(compile(block, str(PAGE), "exec"), vars(module))
    return vars(module)


@pytest.mark.parametrize("block", BLOCKS, ids=["Adam metric", "previous anchor", "own preconditioner"])
def test_a_composed_method_finds_the_solution(block: str) -> None:
    (method,) = [value for value in run(block).values() if isinstance(value, ProximalMethod)]
    rng = np.random.default_rng(0)
    features = rng.standard_normal((300, 30))
    labels = np.sign(features[:, :4] @ np.ones(4))
    found = minimize(LogisticRegression(features, labels), method, steps=4000).structured  # whole gradients
    known = linear_model.LogisticRegression(
        l1_ratio=1.0, C=1 / (300 * 0.02), solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=10_000
    )
    exact = known.fit(features, labels).coef_[0]
    assert 10 < np.count_nonzero(found == 0) < 30
    np.testing.assert_array_equal(found == 0, exact == 0)
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-3)


def test_the_preconditioner_obeys_the_laws() -> None:
    check_preconditioner(run(BLOCKS[2])["AdaGrad"](), (3, 4))
