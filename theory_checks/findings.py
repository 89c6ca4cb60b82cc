"""What a check says: findings, each a claim or a control with its numbers, and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    check: the check's name;  statement: what is claimed;  holds: whether it was seen;  measured: the numbers in words;
    rule: what decides;  control: it must *not* hold;  numbers: everything measured, as plain data.
    """

    check: str
    statement: str
    holds: bool
    measured: str
    rule: str
    control: bool = False
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether it came out as it must: claims hold, controls fail."""
        return self.holds != self.control

    @property
    def verdict(self) -> str:
        """For the table: ok, FAILED, or for controls: fails, as it must; HOLDS, but must not."""
        if self.control:
            return "HOLDS, but must not" if self.holds else "fails, as it must"
        return "ok" if self.holds else "FAILED"


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its file, without ending, and a caption."""

    name: str
    caption: str
    figure: Figure


Numbers: TypeAlias = "Sequence[float] | np.ndarray[Any, Any]"

Outcome: TypeAlias = Iterator[Finding | Picture]
"""What a check yields, one by one, as it runs."""


def proportion(successes: int, trials: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) confidence interval of a probability."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return float(interval.low), float(interval.high)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): Student's confidence interval over independent runs, at least two."""
    a = np.asarray(values, dtype=float)
    if a.size < 2:
        raise ValueError(f"an interval needs at least two independent runs, got {a.size}; raise seeds")
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, a.size - 1) * a.std(ddof=1) / np.sqrt(a.size))
    mean = float(a.mean())
    return mean, mean - half, mean + half


def slope(x: Numbers, y: Numbers) -> float:
    """The least-squares slope of log y over log x: the exponent of a power law."""
    return float(np.polyfit(np.log(np.asarray(x)), np.log(np.asarray(y)), 1)[0])
