"""The published implementations, from a user's own checkouts, each in a process of its own beside AdamW."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import lists
from .measuring import Measured, measure
from .settings import Settings
from .table import Column, Table
from .timing import Effort
from .worker import ask

MOST = Effort(warmup=5, rounds=5, seconds=30.0)  # of the published ones a step takes seconds
COLUMNS = (
    Column("published"),
    Column("of"),
    Column("ms", ",.0f"),
    Column("/ fused AdamW", ",.0f", " ×"),
    Column("zeros %", ".0f"),
    Column("residual", ".0e"),
    Column("steps"),
    Column("n", "d"),
    Column("optkit's"),
    Column("its ms", ",.1f"),
    Column("its / fused AdamW", ",.2f", " ×"),
    Column("its residual", ".0e"),
    Column("faster by", ",.0f", " ×"),
    Column("condition", ",.0f"),
)
TEXT = """\
Steps with the group lasso on the same weights and gradients. Each published implementation runs in a process of its
own and takes turns with fused AdamW there; optkit's does so in this process. "Faster by" is the quotient of the two
ratios. Residual: as above; the published ones stop by the decrease of the objective. Condition: the largest entry of
the metric divided by the smallest in a group, the median. RMDA and ProxSGD have closed forms and no residual here.
"""


def tables(settings: Settings) -> Iterator[Table]:
    """For the first of the lists, as they take minutes; nothing without --reference."""
    effort = Effort(1, 3, 1.0) if settings.quick else replace(MOST, rounds=min(MOST.rounds, settings.effort.rounds))
    for name in settings.lists[:1] if settings.references else ():
        own = {one.optimizer: one for one in measure(lists.entries(name), settings.optimizers, "GroupLasso", settings)}
        rows = []
        for folder in settings.references:
            request = {"name": name, "optimizers": list(own), "effort": vars(effort)}
            for found in ask("published", folder=str(folder.resolve()), **request):
                rows.append(_row(found, folder.resolve().name, own[found["optimizer"]]))
        yield Table(f"{name}, published implementations", TEXT, COLUMNS, tuple(rows))


def _row(found: dict[str, Any], folder: str, own: Measured) -> tuple[object, ...]:
    ratio, first = found["seconds"] / found["fused"], found["warmup"] + 1
    return (
        f"{folder}: {found['class']}",
        found["optimizer"],
        1e3 * found["seconds"],
        ratio,
        None if found["zeros"] is None else 100 * found["zeros"],
        found["residual"],
        f"{first} to {first + found['rounds'] - 1}",
        found["rounds"],
        own.optimizer,
        1e3 * own.times.median,
        own.ratio,
        None if own.check is None or found["residual"] is None else own.check.residual,
        ratio / own.ratio,
        found["condition"],
    )
