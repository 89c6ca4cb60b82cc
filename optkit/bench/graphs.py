"""Steps captured once as a CUDA graph and replayed: what the device alone takes, without the host that launches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from . import lists
from .contestants import FOREACH, FUSED
from .measuring import prepared
from .settings import Settings
from .table import Column, Table
from .timing import compare
from .workload import Steps, Workload

COLUMNS = (
    Column("optimizer"),
    Column("replayed, ms", ",.3f"),
    Column("/ fused AdamW, replayed", ".2f", " ×"),
    Column("not replayed, ms", ",.3f"),
    Column("what happened"),
)
TEXT = """\
With the group lasso, times by events on the device. Replayed: the same step again and again, as it was captured, t and
what follows from it included where an optimizer computes them on the host.
"""


class Outcome(NamedTuple):
    """plain: seconds of a step;  replayed: of its replay, None where it can not be captured;  words: how that went."""

    plain: float
    replayed: float | None
    words: str


class Replay:
    """A captured step."""

    def __init__(self, steps: Steps) -> None:
        steps.prepare()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            steps.run()

    def prepare(self) -> None: ...

    def run(self) -> None:
        self.graph.replay()


def tables(settings: Settings) -> Iterator[Table]:
    """One for each list, and none without CUDA."""
    for name in settings.lists if settings.device == "cuda" else ():
        workload = Workload(lists.entries(name), settings.device)
        found = {one: _measure(one, workload, settings) for one in (FUSED, FOREACH, *settings.optimizers)}
        rows = tuple(_row(one, found[one], found[FUSED].replayed) for one in found)
        yield Table(f"{name}, CUDA graphs", TEXT, COLUMNS, rows)


def _row(name: str, one: Outcome, fused: float | None) -> tuple[object, ...]:
    if one.replayed is None:
        return name, None, None, 1e3 * one.plain, one.words
    return name, 1e3 * one.replayed, one.replayed / fused if fused else None, 1e3 * one.plain, one.words


def _measure(optimizer: str, workload: Workload, settings: Settings) -> Outcome:
    steps = prepared(optimizer, workload, "GroupLasso", settings.kernel)
    for group in steps.optimizer.param_groups if optimizer in (FUSED, FOREACH) else ():
        group["capturable"] = True
    plain = compare({"": steps}, settings.effort, settings.device)[""].median
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):  # as torch asks for: warm-up beside the stream of the capture
            steps.prepare()
            steps.run()
        torch.cuda.current_stream().wait_stream(stream)
        replay = Replay(steps)
    except RuntimeError as error:
        torch.cuda.synchronize()
        return Outcome(plain, None, f"not captured: {str(error).splitlines()[0]}")
    return Outcome(plain, compare({"": replay}, settings.effort, settings.device)[""].median, "captured")
