"""Everything that was measured, as plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from optkit import registry
from optkit.theory_checks.findings import Finding
from optkit.theory_checks.running import CheckResult, Results
from optkit.theory_checks.settings import Settings

from .summary import cores, pictures, verdict, versions


def record(results: Results) -> dict[str, Any]:
    """All results; NaN and infinities are strings, which float() reads."""
    files = pictures(results)
    return {
        "passed": results.passed,
        "settings": _settings(results.settings),
        "versions": versions(),
        "cores": cores(),
        "seconds": round(results.seconds, 3),
        "checks": [_check(check, files.get(check.name, [])) for check in results.checks],
    }


def _check(check: CheckResult, files: list[str]) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "verdict": verdict(check),
        "seconds": round(check.seconds, 3),
        "findings": [_finding(finding) for finding in check.findings],
        "figures": [
            {"file": file, "caption": picture.caption} for file, picture in zip(files, check.pictures, strict=True)
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    values = {field.name: plain(getattr(finding, field.name)) for field in fields(finding)}
    numbers = values.pop("numbers")
    return {**values, "passed": finding.passed, "verdict": finding.verdict, "numbers": numbers}


def _settings(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(settings, name) for name in ("seeds", "steps", "workers", "smoke")}
    values["data"] = list(settings.data)
    values["method"] = None if settings.method is None else settings.method_name
    try:
        values["regularizer"] = plain(registry.to_data(settings.regularizer))
    except TypeError:  # a user's class that is no dataclass
        values["regularizer"] = repr(settings.regularizer)
    return values


def plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays too, dataclasses as mappings, anything else in words."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return repr(value)
