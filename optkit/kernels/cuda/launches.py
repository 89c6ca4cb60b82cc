"""From tables to launches. Importing this module imports triton."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from . import sizes
from .entries import entries, gather_largest, gather_reports
from .entries import largest as largest_entries
from .groups import staying, streaming
from .tables import Gradients, Launch, Tables

Jitted = Any  # Triton's decorator hides that a kernel takes num_warps
ENTRIES: Jitted = entries
LARGEST: Jitted = largest_entries
GATHER_LARGEST: Jitted = gather_largest
GATHER_REPORTS: Jitted = gather_reports
STAYING: Jitted = staying
STREAMING: Jitted = streaming
TYPES = {torch.float32: tl.float32, torch.float64: tl.float64, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
GATHER = 128
"""Reports that a program adds up at a time."""


def steps(tables: Tables, plans: Tensor, ok: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """(residual, converged) of each task, on the device, after its step."""
    count = len(tables.lengths)
    flag = torch.ones((), dtype=torch.uint8, device=device) if ok is None else ok.view(torch.uint8)
    parts = torch.empty((tables.reports, 2), dtype=torch.float64, device=device)
    for launch in tables.launches:
        _step(launch, tables, plans, flag, parts)
    residuals = torch.zeros(count, dtype=torch.float64, device=device)
    converged = torch.ones(count, dtype=torch.bool, device=device)
    if tables.reports:
        GATHER_REPORTS[(count,)](parts, tables.bounds, residuals, converged, BLOCK=GATHER, num_warps=1)
    return residuals, converged


def _step(launch: Launch, tables: Tables, plans: Tensor, flag: Tensor, parts: Tensor) -> None:
    variant, tile = launch.variant, launch.variant.tile
    constants: dict[str, Any] = {
        "W": TYPES[variant.weight],
        "G": TYPES[variant.gradient],
        "S": TYPES[variant.state],
        "ROOT": variant.root,
        "ANCHORED": variant.anchored,
        "EVEN": variant.even,
    }
    grid, common = (len(launch.blocks),), (tables.rows, tables.penalties, plans, flag)
    if tile is None:
        ENTRIES[grid](
            launch.blocks,
            tables.addresses,
            tables.lengths,
            *common,
            **constants,
            KIND=variant.kind,
            BLOCK=sizes.ENTRIES,
            num_warps=sizes.ENTRY_WARPS,
        )
        return
    kernel, warps = (STAYING, _warps(tile)) if tile.stays else (STREAMING, sizes.STREAM_WARPS)
    kernel[grid](
        launch.blocks,
        tables.addresses,
        tables.layouts,
        *common,
        parts[launch.first :],
        **constants,
        SPARSE=variant.sparse,
        BENT=variant.bent,
        SINGLE=variant.single,
        ROWS=tile.rows,
        GROUPS=tile.groups,
        RUN=tile.run,
        LIMIT=sizes.LIMIT,
        num_warps=warps,
    )


def _warps(tile: sizes.Tile) -> int:
    """As many threads as leave 16 entries to each, at least 32."""
    entries = tile.rows * tile.groups * tile.run
    return max(1, min(sizes.ON_CHIP_WARPS, entries * sizes.ON_CHIP_WARPS // sizes.ON_CHIP))


def largest(tables: Gradients, double: bool, device: torch.device) -> Tensor:
    """The largest |entry| of each gradient, infinite for one that holds NaN."""
    dtype = torch.float64 if double else torch.float32
    parts = torch.empty(tables.parts, dtype=dtype, device=device)
    found = torch.zeros(len(tables.lengths), dtype=dtype, device=device)
    for kind, even, blocks, first in tables.launches:
        LARGEST[(len(blocks),)](
            blocks,
            tables.addresses,
            tables.lengths,
            parts[first:],
            G=TYPES[kind],
            EVEN=even,
            BLOCK=sizes.LARGEST,
            num_warps=4,
        )
    if tables.parts:
        GATHER_LARGEST[(len(found),)](parts, tables.bounds, found, BLOCK=GATHER, num_warps=1)
    return found
