"""A step of each optimizer on each list, under pytest-benchmark: to compare commits with each other."""

from __future__ import annotations

from typing import Any

import pytest

from optkit.bench.checking import check
from optkit.bench.contestants import FOREACH, FUSED
from optkit.bench.lists import LISTS, entries
from optkit.bench.measuring import prepared
from optkit.bench.settings import OPTIMIZERS
from optkit.bench.timing import Effort
from optkit.bench.workload import Workload

CERTIFICATE = 1e-5


@pytest.mark.parametrize("optimizer", [FUSED, FOREACH, *OPTIMIZERS])
@pytest.mark.parametrize("name", LISTS)
def test_step(benchmark: Any, name: str, optimizer: str) -> None:
    """As many steps before, and as many timed, as in `optkit bench`; the solutions are checked."""
    steps = prepared(optimizer, Workload(entries(name), "cpu"), "GroupLasso", "auto")

    def prepare() -> tuple[tuple[()], dict[str, Any]]:
        steps.prepare()
        return (), {}

    benchmark.pedantic(steps.run, setup=prepare, rounds=Effort().rounds, warmup_rounds=Effort().warmup)
    found = check(steps) if optimizer in OPTIMIZERS else None
    if found is not None:
        benchmark.extra_info.update(residual=found.residual, zeros=found.zeros)
        assert found.residual <= CERTIFICATE
