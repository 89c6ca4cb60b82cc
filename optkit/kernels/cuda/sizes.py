"""Launch geometry: every number that one would tune on another GPU, and which tile a tensor gets.

An H100 has 132 multiprocessors of 65536 registers and 2048 threads, 50 MB of L2 and 3.3 TB/s of HBM. All kernels are
bound by memory: 28 to 32 bytes an entry and step in float32 (gradient, weight, two or three arrays of state in, weight
and two of state out). So they need many bytes in flight, that is many resident threads with a few independent loads
each, rather than large tiles; and neighbouring threads on neighbouring addresses.
"""

from __future__ import annotations

from typing import NamedTuple

from optkit.kernels.layout import Layout

ENTRIES = 1024
"""Entries of a program for separable psi: 8 a thread, two 16-byte loads of each array in float32."""
ENTRY_WARPS = 4
LARGEST = 4096
"""Gradient entries of a program that looks for the largest: 32 a thread, there is only one array."""
ON_CHIP = 4096
"""Entries of a tile whose groups stay in registers through Newton's method. d, b and w of 16 entries a thread at 8
warps are 48 of the 128 registers that the compiler takes in float32 (255 in float64), which leaves two programs a
multiprocessor. It spills 6 registers at most; with twice the tile it would be many."""
ON_CHIP_WARPS = 8
STREAM = 1024
"""Entries of a chunk where groups are larger than that: 8 a thread, and as many of six accumulators: 160 registers in
float32, three programs a multiprocessor. A tensor of few, long groups has few programs: one a tile of groups."""
STREAM_WARPS = 4
SEGMENT = 16
"""How many neighbours in memory a tile takes of each row: 64 bytes of float32 are two sectors, and twice as many where
the run of a group makes it begin in the middle of one. Groups with which that does not fit on the chip are streamed."""
ALIGNED = 16
"""Bytes of one load instruction at the widest; where all addresses and lengths are multiples, `even` says so."""
LIMIT = 40
"""Newton's steps, or passes: 3 to 5 are usual, 8 at condition 1e6; see SecularNewton."""


class Tile(NamedTuple):
    """What one program holds at a time: rows x groups x run of a Layout, powers of two.  stays: whole groups."""

    rows: int
    groups: int
    run: int
    stays: bool

    def count(self, at: Layout) -> int:
        """How many programs cover the layout."""
        return at.batches * -(-at.groups // self.groups)


def tile(at: Layout) -> Tile:
    """The tile for these groups. There are few different ones: each is compiled on its own."""
    rows, run = power(at.rows), power(at.run)
    width = 1 if at.rows == 1 else _above(-(-SEGMENT // at.run) if at.run == 1 else -(-2 * SEGMENT // at.run))
    width = min(width, power(at.groups))
    most = ON_CHIP // (rows * run)
    if most >= width:
        return Tile(rows, min(most, power(at.groups), max(width, _above(ENTRIES // (rows * run)))), run, True)
    run = min(run, STREAM)
    width = min(width, STREAM // run)
    return Tile(max(1, min(rows, STREAM // (run * width))), width, run, False)


def _above(n: int) -> int:
    """The least power of two that is at least n, and 1."""
    return 1 << max(n - 1, 0).bit_length()


def power(n: int) -> int:
    """The least power of two that is at least n; below 64 only those of four, so that less has to be compiled."""
    exact = _above(n)
    return exact if exact >= 64 or exact.bit_length() % 2 else 2 * exact
