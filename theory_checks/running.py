"""Running the checks: what they yield, how long they took, and whether all came out as it must."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from joblib import parallel_config
from threadpoolctl import threadpool_limits

from optkit import registry

from . import CHECKS, load
from .findings import Finding, Picture
from .settings import Settings

Report = Callable[[Finding], None]


@dataclass(frozen=True)
class CheckResult:
    """What a check said.

    name, title: as in CHECKS;  text: the docstring of its module;  findings, pictures: in the order they came;
    seconds: it took;  empty: whether it may have nothing to say, as for a regularizer that it has no problem for.
    """

    name: str
    title: str
    text: str
    findings: tuple[Finding, ...]
    pictures: tuple[Picture, ...]
    seconds: float
    empty: bool = False

    @property
    def passed(self) -> bool:
        """Whether every finding came out as it must."""
        return all(finding.passed for finding in self.findings) and (self.empty or bool(self.findings))


@dataclass(frozen=True)
class Results:
    """All that the checks said under these settings."""

    settings: Settings
    checks: tuple[CheckResult, ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for check in self.checks for finding in check.findings]

    @property
    def seconds(self) -> float:
        return sum(check.seconds for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether every claim was seen to hold and every control to fail, and there was at least one."""
        return all(check.passed for check in self.checks) and bool(self.findings)


def run(names: Iterable[str] | None = None, settings: Settings | None = None, report: Report | None = None) -> Results:
    """Run these checks (None: all) in the order of CHECKS, and hand each finding to `report` as soon as it is there.

    A check that raises has failed; the others go on. Linear algebra uses one thread a process meanwhile.

    Raises ValueError for a name that is not in CHECKS, and TypeError for a single string, before anything runs.
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a list of checks, got {names!r}; give [{names!r}]")
    names, settings = list(CHECKS if names is None else names), settings or Settings()
    for name in names:
        if name not in CHECKS:
            raise ValueError(f"there is no check {name!r}; {registry.allowed(name, CHECKS)}")
    with threadpool_limits(limits=1), parallel_config(backend="loky", inner_max_num_threads=1):
        return Results(settings, tuple(_run(name, settings, report) for name in CHECKS if name in names))


def _run(name: str, settings: Settings, report: Report | None) -> CheckResult:
    """One check, to its end or to its first error."""
    began, text = time.perf_counter(), ""
    findings: list[Finding] = []
    pictures: list[Picture] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if report is not None:
            report(finding)

    try:
        module = load(name)
        text = module.__doc__ or ""
        for item in module.check(settings):
            if isinstance(item, Picture):
                pictures.append(item)
            else:
                tell(item)
    except Exception as error:
        tell(_raised(name, error))
    changed = settings.method is not None or settings.regularizer is not None
    if not findings and not changed:
        tell(Finding(name, "the check has something to say", False, "no finding", "at least one finding"))
    seconds = time.perf_counter() - began
    return CheckResult(name, CHECKS[name], text, tuple(findings), tuple(pictures), seconds, empty=changed)


def _raised(name: str, error: Exception) -> Finding:
    """The finding that a check did not run to its end: the error's last line, all of it in the numbers."""
    line = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
    measured = line if line.startswith(type(error).__name__) else f"{type(error).__name__}: {line}"
    numbers = {"traceback": "".join(traceback.format_exception(error))}
    return Finding(name, "the check runs to its end", False, measured, "no error is raised", numbers=numbers)
