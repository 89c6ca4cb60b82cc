"""Tables of steps: every optimizer on the lists, with the group lasso, and with what separates over entries."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from . import lists
from .measuring import Measured, measure
from .settings import Settings
from .table import Column, Table

SEPARABLE = {"L1": ("resnet50", "transformer"), "none": ("resnet50",)}
COLUMNS = (
    Column("optimizer"),
    Column("ms", ",.2f"),
    Column("± %", ".0f"),
    Column("fused AdamW, ms", ",.2f"),
    Column("/ fused AdamW", ".2f", " ×"),
    Column("/ foreach AdamW", ".2f", " ×"),
    Column("arrays, least", ".1f"),
    Column("arrays, copied", ".1f"),
    Column("GB/s", ",.1f"),
    Column("zeros %", ".0f"),
    Column("residual", ".0e"),
    Column("steps", ""),
    Column("n", "d"),
)
TITLES = {"GroupLasso": "group lasso", "L1": "l1 norm", "none": "no regularizer"}


def tables(settings: Settings) -> Iterator[Table]:
    """One for each list with the group lasso; for some also with the l1 norm, and without a regularizer."""
    for name in settings.lists:
        yield table(name, settings.optimizers, "GroupLasso", settings)
    entrywise = [one for one in settings.optimizers if one != "ProxSSI"]  # which is a solver for groups
    for kind, names in SEPARABLE.items() if entrywise else ():
        for name in settings.lists:
            if name in names:
                yield table(name, entrywise, kind, settings)


def table(name: str, optimizers: Sequence[str], kind: str, settings: Settings) -> Table:
    """A list's table."""
    entries = lists.entries(name)
    measured = measure(entries, optimizers, kind, settings)
    about = inspect.getdoc(lists.LISTS[name])
    copied = 2 * 4 / measured[0].copy * measured[0].parameters / 2 / 1e9
    text = f"{about}\n\nA copy moves {copied:,.1f} GB/s (read and written)."
    return Table(f"{name}, {TITLES[kind]}", text, COLUMNS, tuple(row(one) for one in measured))


def row(one: Measured) -> tuple[object, ...]:
    """The values for COLUMNS."""
    first = one.times.warmup + 1
    last = first + len(one.times.seconds) * one.times.repeats - 1
    return (
        one.optimizer,
        1e3 * one.times.median,
        100 * one.times.spread,
        1e3 * one.fused.median,
        one.ratio,
        one.times.median / one.foreach.median,
        one.arrays,
        one.moved,
        one.bandwidth / 1e9,
        None if one.check is None else 100 * one.check.zeros,
        None if one.check is None else one.check.residual,
        f"{first} to {last}",
        len(one.times.seconds),
    )
