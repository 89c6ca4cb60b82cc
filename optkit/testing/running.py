"""How a law is tried: on each back end, on examples that are the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .backends import BACKENDS, Backend

TrialT = TypeVar("TrialT")
Law = Callable[[TrialT], None]


class LawBroken(AssertionError):
    """A part breaks a law: the message names the part, the law and the back end; the cause is the failed assertion."""


def law(condition: Any, words: str) -> None:
    """Raise AssertionError with these words unless the condition holds, everywhere."""
    if not np.all(condition):
        raise AssertionError(words)


def settled(examples: int) -> settings:
    """So many examples, the same ones in every run, on however slow a machine."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def chosen(laws: Mapping[str, Law[TrialT]], names: Iterable[str] | None) -> dict[str, Law[TrialT]]:
    """The laws of these names, all for None. Raises ValueError for a name that is none."""
    names = list(laws if names is None else names)
    if unknown := [name for name in names if name not in laws]:
        raise ValueError(f"there is no law {unknown[0]!r}; choose from {', '.join(laws)}")
    return {name: laws[name] for name in names}


def hold(
    part: str,
    laws: Mapping[str, Law[TrialT]],
    trial: Callable[[Backend, st.DataObject], TrialT],
    on: tuple[Iterable[str] | None, int],
) -> None:
    """Try the laws on the back ends of these names (all for None), on so many examples each, or raise LawBroken."""
    names, examples = on
    for backend in BACKENDS if names is None else names:
        for name, each in laws.items():
            try:
                _try(each, lambda data, backend=backend: trial(BACKENDS[backend], data), examples)  # type: ignore[misc]
            except Exception as error:
                formula = (each.__doc__ or "").strip().splitlines()[0]
                raise LawBroken(f"{part} breaks {name} on {backend}: {formula}  [{error}]") from error


def _try(each: Law[TrialT], trial: Callable[[st.DataObject], TrialT], examples: int) -> None:
    @settled(examples)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        with np.errstate(over="ignore", under="ignore"):  # huge and tiny numbers are drawn on purpose
            each(trial(data))

    holds()
