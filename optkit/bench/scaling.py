"""Time against the number of parameters, the size of the groups, the number of tensors, and how groups lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .contestants import FOREACH, FUSED
from .lists import Entries, Entry, matrices
from .measuring import Measured, measure, prepared, together
from .settings import Settings
from .table import Column, Table
from .timing import Runner, compare
from .workload import LONGEST_COPY, Copy, Workload

SCALED = ("RAMDA", "ProxGen", "RMDA")  # of each way to take a step one: two metrics, and a closed form
PARAMETERS = (100_000, 1_000_000, 10_000_000, 100_000_000)
GROUP_SIZES = (4, 16, 64, 256, 1024, 4096, 16384, 65536)
TENSORS = (1, 4, 16, 64, 256, 1024)
LARGE = 2**22  # entries in the table of the sizes of groups
SMALL = 2**20  # entries in the table of the numbers of tensors
SIDE = 1000  # rows of the matrices in the table of the numbers of parameters, and columns of all but the smallest
LAYOUTS = {
    "Linear, columns": Entry("", "weight", (2048, 2048), (0,)),
    "Linear, rows": Entry("", "weight", (2048, 2048), (1,)),
    "Conv2d, input channels": Entry("", "weight", (512, 512, 3, 3), (0, 2, 3)),
    "Conv2d, input channels, channels_last": Entry("", "weight", (512, 512, 3, 3), (0, 2, 3), channels_last=True),
    "Conv2d, output channels": Entry("", "weight", (512, 512, 3, 3), (1, 2, 3)),
    "Conv2d, output channels, channels_last": Entry("", "weight", (512, 512, 3, 3), (1, 2, 3), channels_last=True),
    "Conv2d, kernels of 3 x 3": Entry("", "weight", (512, 512, 3, 3), (2, 3)),
    "whole tensors": Entry("", "weight", (2048, 2048), (0, 1)),
}
REFERENCE = 1_000_000  # what costs per parameter are compared with
COPY = "copy"
UNIT = "Nanoseconds for each parameter"
COLD = "with caches that hold nothing of it, as after a pass through a model"


def tables(settings: Settings) -> Iterator[Table]:
    """Five; quick: with fewer and smaller cases."""
    small = settings.quick
    some = [name for name in settings.optimizers if name in SCALED] or settings.optimizers
    warm, settings = (replace(settings, effort=replace(settings.effort, cold=cold)) for cold in (False, True))
    for each in (warm, settings):
        yield of_sizes(PARAMETERS[:2] if small else PARAMETERS, some, each)
    cases = [(n, of_groups(n, LARGE // (64 if small else 1))) for n in GROUP_SIZES[: 2 if small else None]]
    text = f"One matrix of {cases[0][1][0].size:,} entries; a group is a column."
    yield _table("entries of a group", text, cases, some, settings)
    cases = [(n, matrices(n, 64, SMALL // 64 // n)) for n in (TENSORS[:2] if small else TENSORS)]
    yield _table("tensors", f"{SMALL:,} entries in matrices of 64 rows; a group is a column.", cases, some, settings)
    layouts = list(LAYOUTS.items())[: 2 if small else None]
    yield _table(
        "layout", "Four such parameters; what is named is a group.", [(n, [e] * 4) for n, e in layouts], some, settings
    )


def of_size(parameters: int) -> Entries:
    """Matrices of SIDE rows with so many entries together."""
    columns = min(parameters // SIDE, SIDE)
    return matrices(parameters // (SIDE * columns), SIDE, columns)


def of_groups(size: int, entries: int) -> Entries:
    """One matrix with groups of this size."""
    return matrices(1, size, entries // size)


def of_sizes(sizes: Sequence[int], optimizers: Sequence[str], settings: Settings) -> Table:
    """A row a size, with nanoseconds for each parameter. The sizes take turns, too: from one minute to the next the
    speed of memory may double. Those that do not fit into memory are left out."""
    sizes = [n for n in sizes if len(optimizers) <= together(n, settings.device)]
    names, runners = (FUSED, FOREACH, *optimizers), dict[str, Runner]()
    for n in sizes:
        workload = Workload(of_size(n), settings.device)
        runners |= {f"{name} {n}": prepared(name, workload, "GroupLasso", settings.kernel) for name in names}
        runners[f"{COPY} {n}"] = Copy(n, settings.device)
    times = compare(runners, settings.effort, settings.device)
    costs = {name: [1e9 * times[f"{name} {n}"].median / n for n in sizes] for name in names}
    costs[COPY] = [1e9 * times[f"{COPY} {n}"].median / min(n, LONGEST_COPY) for n in sizes]
    ratios = [[own / fused for own, fused in zip(costs[name], costs[FUSED], strict=True)] for name in names[1:]]
    columns = [Column("parameters", ",d"), *(Column(f"{name}, ns", ".2f") for name in costs)]
    columns += [Column(f"{name} / fused AdamW", ".2f", " ×") for name in names[1:]]
    title, when = ("cold caches", COLD) if settings.effort.cold else ("steps in a row", "of steps in a row")
    text = f"Matrices of {SIDE:,} rows; a group is a column. The sizes take turns, too. {UNIT}, {when}."
    lines = zip(sizes, *costs.values(), *ratios, strict=True)
    return Table(f"Time against parameters, {title}", text + _flatness(sizes, costs), tuple(columns), tuple(lines))


def _table(
    what: str, text: str, cases: Sequence[tuple[Any, Entries]], optimizers: Sequence[str], settings: Settings
) -> Table:
    """A row a case: nanoseconds for each parameter, and their ratio to fused AdamW."""
    rows = [(case, measure(entries, optimizers, "GroupLasso", settings)) for case, entries in cases]
    names = [one.optimizer for one in rows[0][1]]
    columns = [Column(what, ",d"), *(Column(f"{name}, ns", ".2f") for name in names)]
    columns += [Column(f"{name} / fused AdamW", ".2f", " ×") for name in names if name != FUSED]
    lines = [(case, *map(_cost, some), *(one.ratio for one in some if one.optimizer != FUSED)) for case, some in rows]
    return Table(f"Time against {what}", f"{text} {UNIT}, {COLD}.", tuple(columns), tuple(lines))


def _cost(one: Measured) -> float:
    """Nanoseconds for each parameter."""
    return 1e9 * one.times.median / one.parameters


def _flatness(sizes: Sequence[int], costs: Mapping[str, Sequence[float]]) -> str:
    """How far the costs per parameter lie apart."""
    large = [i for i, n in enumerate(sizes) if n >= REFERENCE]
    if len(large) < 2:
        return ""
    ranges = {name: [some[i] for i in large] for name, some in costs.items()}
    listed = ", ".join(f"{name} {100 * (max(some) / min(some) - 1):.0f} %" for name, some in ranges.items())
    return f" From {REFERENCE:,} parameters on the dearest is above the cheapest by: {listed}."
