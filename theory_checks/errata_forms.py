"""A correction as findings: the printed form as a control, the corrected form as a claim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .findings import Finding

NAME = "errata"
ROUNDING = 1e-12
PRINTED = "as printed"


def printed(item: str, statement: str, measured: str, refuted: bool, form: str = PRINTED, **numbers: Any) -> Finding:
    """What the paper says, which holds unless it is refuted.  form: in what reading."""
    rule = "must be refuted by the numbers measured"
    return Finding(NAME, f"{item}, {form}: {statement}", not refuted, measured, rule, True, numbers)


def corrected(item: str, statement: str, measured: str, holds: bool, **numbers: Any) -> Finding:
    """What it should say."""
    rule = "the stated relation, for all numbers measured"
    return Finding(NAME, f"{item}, corrected: {statement}", bool(holds), measured, rule, numbers=numbers)


def pair(
    item: str, wrong: tuple[str, str, bool], right: tuple[str, str, bool], form: str = PRINTED, **numbers: Any
) -> Iterator[Finding]:
    """Both forms, each as (statement, what was measured, whether it is refuted or holds)."""
    yield printed(item, *wrong, form, **numbers)
    yield corrected(item, *right, **numbers)
