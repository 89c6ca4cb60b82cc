"""The Triton kernels compiled for an H100, without one. Collected by test_kernels_triton.py in a process of its own,
which has not imported triton as an interpreter."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import compiler as nvidia
from triton.compiler import ASTSource

from optkit.kernels.cuda import entries, groups, sizes
from optkit.kernels.cuda.launches import _warps
from optkit.kernels.cuda.sizes import Tile

H100 = GPUTarget("cuda", 90, 32)
TYPES = {"penalties": "*fp64", "plans": "*fp64", "ok": "*u8", "parts": "*fp64", "found": "*fp32", "out": "*fp32"}
TYPES |= {"residuals": "*fp64", "converged": "*i1"}
SPILLED = 64
"""Bytes of stack a thread that are no matter: a few addresses. ptxas keeps what it spills there."""


def compiled(kernel: Any, warps: int, types: dict[str, str] | None = None, **constants: Any) -> Any:
    """The kernel for an H100; what is no constant is a table of int64 unless said otherwise, at a multiple of 16."""
    names = kernel.arg_names
    known = {**TYPES, **(types or {})}
    signature = {name: "constexpr" if name in constants else known.get(name, "*i64") for name in names}
    fixed = {(names.index(name),): value for name, value in constants.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name not in constants}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=aligned)
    return triton.compile(source, target=H100, options={"num_warps": warps})


def check(made: Any, tmp_path: Path, width: str | None) -> None:
    """It has become machine code, spills next to nothing, and its loads are as wide as said."""
    if width:
        assert f"ld.global.v{width}" in made.asm["ptx"]
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(made.asm["cubin"])
    tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
    if not tool.exists():
        pytest.skip("compiled; this triton brings no cuobjdump to look for spills with")
    usage = subprocess.run([tool, "-res-usage", cubin], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    assert int(found[2]) <= SPILLED, usage


def same(dtype: Any) -> dict[str, Any]:
    return {"W": dtype, "G": dtype, "S": dtype}


@pytest.mark.parametrize("root", ["none", "cube", "square", "largest"])
@pytest.mark.parametrize("kind", ["soft", "firm", "binary"])
def test_entries(root: str, kind: str, tmp_path: Path) -> None:
    made = compiled(
        entries.entries,
        sizes.ENTRY_WARPS,
        **same(tl.float32),
        ROOT=root,
        ANCHORED=root != "largest",
        KIND=kind,
        EVEN=True,
        BLOCK=sizes.ENTRIES,
    )
    check(made, tmp_path, "4.b32")


@pytest.mark.parametrize("half", [tl.bfloat16, tl.float16], ids=str)
@pytest.mark.parametrize("even", [True, False])
def test_entries_of_half_precision(half: Any, even: bool, tmp_path: Path) -> None:
    types = {"W": half, "G": half, "S": tl.float32}
    constants = {"ROOT": "cube", "ANCHORED": True, "KIND": "soft", "EVEN": even, "BLOCK": sizes.ENTRIES}
    check(compiled(entries.entries, sizes.ENTRY_WARPS, **types, **constants), tmp_path, "4.b32" if even else None)


TILES = {
    "columns": Tile(256, 16, 1, True),
    "filters": Tile(64, 4, 16, True),
    "rows": Tile(1, 1, 4096, True),
    "long columns": Tile(64, 16, 1, False),
    "many filters": Tile(16, 4, 16, False),
    "long rows": Tile(1, 1, 1024, False),
}


@pytest.mark.parametrize("where", TILES)
@pytest.mark.parametrize(
    ("dtype", "root", "sparse"),
    [
        (tl.float32, "none", False),
        (tl.float32, "cube", True),
        (tl.float64, "cube", False),
    ],
    ids=lambda value: str(value),
)
def test_groups(where: str, dtype: Any, root: str, sparse: bool, tmp_path: Path) -> None:
    tile = TILES[where]
    made = compiled(
        groups.staying if tile.stays else groups.streaming,
        _warps(tile) if tile.stays else sizes.STREAM_WARPS,
        **same(dtype),
        ROOT=root,
        ANCHORED=root != "largest",
        SPARSE=sparse,
        BENT=root == "none",
        EVEN=True,
        SINGLE=tile.run == 1,
        ROWS=tile.rows,
        GROUPS=tile.groups,
        RUN=tile.run,
        LIMIT=sizes.LIMIT,
    )
    check(made, tmp_path, "4.b32" if dtype == tl.float32 else "2.b64")


def test_groups_that_are_not_even(tmp_path: Path) -> None:
    constants = {"SPARSE": False, "BENT": False, "EVEN": False, "SINGLE": False, "LIMIT": sizes.LIMIT}
    types = {"W": tl.bfloat16, "G": tl.bfloat16, "S": tl.float32, "ROOT": "square", "ANCHORED": False}
    for kernel in (groups.staying, groups.streaming):
        check(compiled(kernel, 4, **types, **constants, ROWS=16, GROUPS=4, RUN=16), tmp_path, None)


def test_largest(tmp_path: Path) -> None:
    for dtype, parts in ((tl.float32, "*fp32"), (tl.bfloat16, "*fp32"), (tl.float64, "*fp64")):
        made = compiled(entries.largest, 4, {"parts": parts}, G=dtype, EVEN=True, BLOCK=sizes.LARGEST)
        check(made, tmp_path, "2.b64" if dtype == tl.float64 else "4.b32")
    check(compiled(entries.gather_largest, 1, {"parts": "*fp32"}, BLOCK=128), tmp_path, None)
    check(compiled(entries.gather_reports, 1, BLOCK=128), tmp_path, None)
