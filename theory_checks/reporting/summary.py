"""What all reports say in the same words."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import numpy as np

import optkit
from optkit.theory_checks.findings import Finding
from optkit.theory_checks.running import CheckResult, Results

TITLE = "The theory, tested on runs"
HOW_TO_READ = (
    "A claim is what a theorem says, seen or not seen on runs. A control breaks an assumption, or says what is false, "
    "so the same test has to fail there: that shows that it can. The rule that decides is beside what was measured. "
    "All numbers are in the `results.json` that `optkit theory` writes."
)


def headline(results: Results) -> str:
    """One sentence: whether all came out as it must."""
    findings = results.findings
    failed = [finding for finding in findings if not finding.passed]
    if not findings:
        return "Nothing was tested: no check has anything to say under these settings."
    if failed:
        return f"{len(failed)} of {_count(len(findings), 'finding')} did not come out as they must."
    idle = sum(not check.findings for check in results.checks)
    nothing = f" {_count(idle, 'check')} had nothing to test." if idle else ""
    return f"All came out as they must: {_tally(findings)}.{nothing}"


def _tally(findings: Sequence[Finding]) -> str:
    claims, controls = (sum(finding.control is control for finding in findings) for control in (False, True))
    said = [(claims, "claim", "hold"), (controls, "control", "fail")]
    return ", ".join(f"{_count(n, noun)} {verb}{'s' * (n == 1)}" for n, noun, verb in said if n)


def verdict(check: CheckResult) -> str:
    """The verdict on a whole check."""
    if not check.passed:
        return "FAILED"
    return "ok" if check.findings else "nothing to test"


def share(check: CheckResult, control: bool) -> str:
    """How many of the claims or of the controls came out as they must: 8 of 8."""
    passed = [finding.passed for finding in check.findings if finding.control is control]
    return f"{sum(passed)} of {len(passed)}" if passed else "none"


def kind(finding: Finding) -> str:
    return "control" if finding.control else "claim"


def duration(seconds: float) -> str:
    """Seconds in words: 0.4 s, 12 s, 3 min 20 s."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def conditions(results: Results) -> list[tuple[str, str]]:
    """What was tested, and on what: names and values."""
    settings = results.settings
    return [
        (
            "method",
            "RAMDA and RMDA, with step sizes as the theorems ask" if not settings.method else settings.method_name,
        ),
        ("regularizer", "one for each structure" if settings.regularizer is None else str(settings.regularizer)),
        ("runs", f"{settings.seeds} seeds of {settings.steps} steps" + (", smoke test" if settings.smoke else "")),
        ("data", f"made up, and {', '.join(settings.data)}"),
        ("time", f"{duration(results.seconds)} with {_count(settings.workers, 'worker')} on {_count(cores(), 'core')}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
        ("system", f"{platform.system()} on {platform.machine()}"),
    ]


def versions() -> dict[str, str]:
    return {"optkit": optkit.__version__, "python": platform.python_version(), "numpy": np.__version__}


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pictures(results: Results) -> dict[str, list[str]]:
    """For each check the names of the files of its pictures, in their order; no two are the same."""
    names: dict[str, list[str]] = {}
    taken: set[str] = set()
    for check in results.checks:
        for picture in check.pictures:
            stem = picture.name if picture.name.startswith(check.name) else f"{check.name}-{picture.name}"
            name, again = _plain(stem), 2
            while name in taken:
                name, again = f"{_plain(stem)}-{again}", again + 1
            taken.add(name)
            names.setdefault(check.name, []).append(f"{name}.png")
    return names


def _plain(name: str) -> str:
    """The name with nothing in it that file systems or links treat in their own way."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
