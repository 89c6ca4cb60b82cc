"""The check of the corrections: all printed forms are refuted, all corrected ones hold, and a fault in a part shows."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from optkit.algorithms import CubeRoot
from optkit.algorithms.preconditioners import SquareSum
from optkit.theory_checks import errata_sequences, errata_subproblems
from optkit.theory_checks.errata import check
from optkit.theory_checks.findings import Finding
from optkit.theory_checks.settings import Settings

TINY = Settings(seeds=2, steps=100, smoke=True)


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return [item for item in check(TINY) if isinstance(item, Finding)]


def test_every_claim_holds_and_every_control_fails(findings):
    assert [f.statement for f in findings if not f.passed] == []


def test_each_of_the_nine_has_a_control(findings):
    numbers = [int(re.match(r"\d", f.statement)[0]) for f in findings if f.control]  # type: ignore[index]
    assert sorted(set(numbers)) == list(range(1, 10))
    assert numbers == sorted(numbers)


def test_each_finding_has_its_numbers_as_plain_data(findings):
    for found in findings:
        assert json.loads(json.dumps(found.numbers, allow_nan=False))


def test_a_metric_that_accumulates_g_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def update(self, grad, clock, state):
        return SquareSum(state.sum + clock.gain * np.abs(grad))

    monkeypatch.setattr(CubeRoot, "update", update)
    failed = [f.statement for f in errata_sequences._estimates() if isinstance(f, Finding) and not f.passed]
    assert any(s.startswith("5 (16), corrected") for s in failed)
    assert any(s.startswith("5 (29), corrected") for s in failed)


def test_a_method_that_takes_prox_psi_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(errata_subproblems, "GROUP", errata_subproblems.UnitProx(0.05, (0, 1), False))
    failed = [f.statement for f in errata_subproblems._prox() if isinstance(f, Finding) and not f.passed]
    assert len(failed) == 1
    assert failed[0].startswith("2, corrected")
