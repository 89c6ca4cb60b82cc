"""How tensors are cut into jobs, the pieces of work that threads take one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from optkit.kernels.layout import layout

STRETCH = 1 << 16
"""Entries of a job where psi is separable, and where the groups lie each in one stretch."""
LONG = 32
"""Entries of a group in one run of memory, at least; shorter ones lie in panels of one row."""
WIDEST, NARROWEST = 1 << 13, 1 << 8
"""Columns of a panel, which is as wide as it can be: many rows that are shorter than some pages of memory cost as much
as whole pages."""
THIN, PIECES = 64, 2
"""Rows of a piece of a panel, at least, and pieces for each thread, at most."""
SHARED, SUMS = 2, 5
"""Lines of a board, where the pieces of a panel meet: for all of them, and for each."""
FOUND, APART = 0, 8
"""Places of the counters: of what the caller looks for, and how far those lie apart that several threads often ask for,
each in a line of the cache: one for each number of a thread, one for each share of a round, and one for each panel."""


class Geometry(NamedTuple):
    """What decides how a tensor is cut.  axes: of a group, None for separable psi."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    axes: tuple[int, ...] | None

    @property
    def groups(self) -> int:
        """How many groups there are."""
        known = None if self.axes is None else layout(self.shape, self.strides, self.axes)
        return 0 if known is None else known.batches * known.groups

    @property
    def in_runs(self) -> bool:
        """Whether each group is a run of neighbouring entries, and long enough for a loop of its own."""
        known = None if self.axes is None else layout(self.shape, self.strides, self.axes)
        return known is not None and known.rows == 1 and known.run >= LONG

    def panels(self, share: int, threads: int) -> list[Panel]:
        """The pieces of memory that are worked on apart.  share: entries of a fair one."""
        size = math.prod(self.shape)
        if self.axes is None:
            return [Panel(begin, 0, 1, 0, min(STRETCH, size - begin), 1, 1) for begin in range(0, size, STRETCH)]
        known = layout(self.shape, self.strides, self.axes)
        if known is None or not size:
            return []
        batches, rows, groups, run = known
        wanted = min(PIECES * threads, -(-rows * groups * run // share)) if threads > 1 else 1
        pieces = max(1, min(wanted, rows // THIN))
        widest = STRETCH if self.in_runs else WIDEST
        across = 1 if pieces > 1 else min(threads, wanted)
        each = max(NARROWEST // run, 1, min(widest // run, -(-groups // across)))
        each = -(-groups // -(-groups // each))  # of about the same width
        return [
            Panel(j * rows * run + i * run, j + i, rows, groups * run, min(each, groups - i) * run, run, pieces)
            for j in range(0, batches * groups, groups)
            for i in range(0, groups, each)
        ]


class Panel(NamedTuple):
    """Rows of neighbouring entries.  offset, theta: where it begins, in entries and in groups;  pieces: into how many
    its rows are cut."""

    offset: int
    theta: int
    rows: int
    stride: int
    length: int
    run: int
    pieces: int

    @property
    def board(self) -> int:
        """Numbers that the pieces share."""
        return (SHARED + SUMS * self.pieces) * self.length if self.pieces > 1 else 0


class Job(NamedTuple):
    """A panel, or a pass over a piece of one, as the loops unpack it.

    task: the place of the tensor in the list;  offset to run: see Panel;  panel: its number;  piece: which of how many;
    second: whether it is the second pass over that piece;  board: where the panel's board begins.
    """

    task: int
    offset: int
    theta: int
    rows: int
    stride: int
    length: int
    run: int
    panel: int
    piece: int
    pieces: int
    second: int
    board: int

    @property
    def size(self) -> int:
        """Entries, about."""
        return self.rows * self.length // self.pieces


WIDTH, TENSOR, PENALTY, PLAN, RESULT = len(Job._fields), 8, 3, 12, 3
"""Numbers in a row of the tables of jobs, of tensors, penalties and plans (see running.py), and of results."""


@dataclass(frozen=True, eq=False)
class Jobs:
    """The jobs of a list of tensors, in rounds: those of one may be done in any order, and begin before those of the
    next.

    rows: one a Job;  shares: (rounds, threads + 1), the jobs with which the share of each thread begins, and the end of
    the round;  widest: the longest length;  panels: how many;  board: numbers on all boards.
    """

    rows: np.ndarray
    shares: np.ndarray
    widest: int
    panels: int
    board: int

    @classmethod
    def of(cls, panels: list[tuple[int, Panel]], threads: int) -> Jobs:
        """Two rounds, one for each pass, for as many panels in pieces as give each thread a piece; and so on, and one
        for all whole panels at the end.

        panels: with the place of the tensor in the list.
        """
        threads = max(1, min(threads, sum(panel.pieces for _, panel in panels)))
        panels = sorted(panels, key=lambda each: each[1].pieces == 1)
        together, whole, board = [list[Job]()], list[Job](), 0
        for number, (task, panel) in enumerate(panels):
            if panel.pieces > 1 and len(together[-1]) >= threads:
                together.append([])
            some = together[-1] if panel.pieces > 1 else whole
            some += [Job(task, *panel[:6], number, i, panel.pieces, 0, board) for i in range(panel.pieces)]
            board += panel.board
        rounds = list[list[list[Job]]]()
        for first in (_shares(jobs, threads) for jobs in together if jobs):
            # what was read last is still near
            rounds += [first, [[job._replace(second=1) for job in share[::-1]] for share in first]]
        rounds.append([sorted(share, key=lambda job: -job.size) for share in _shares(whole, threads)])
        rows = np.array([job for shares in rounds for share in shares for job in share], np.int64).reshape(-1, WIDTH)
        counts = np.array([[0, *map(len, shares)] for shares in rounds])
        begins = np.cumsum(counts.ravel(), dtype=np.int64).reshape(counts.shape)
        return cls(rows, begins, int(rows[:, 5].max(initial=1)), len(panels), board)

    @property
    def threads(self) -> int:
        """How many have a share."""
        return self.shares.shape[1] - 1

    @property
    def counters(self) -> int:
        """How many places the counters have, see APART."""
        return APART * (1 + self.threads + len(self.shares) * self.threads + self.panels)

    @property
    def tasks(self) -> np.ndarray:
        """The place in the list of each panel's tensor."""
        found = np.zeros(self.panels, np.int64)
        found[self.rows[:, 7]] = self.rows[:, 0]
        return found

    def moved(self, places: np.ndarray) -> Jobs:
        """The same jobs in a longer list, in which the tensors have these places."""
        rows = self.rows.copy()
        rows[:, 0] = places[rows[:, 0]]
        return replace(self, rows=rows)


def _shares(jobs: list[Job], threads: int) -> list[list[Job]]:
    """The jobs of each thread, about as many entries for each, side by side; none of the jobs is empty.

    They are the same in each step and about the same in each pass: what a thread left in its cache may be as far from
    the others as main memory.
    """
    shares: list[list[Job]] = [[] for _ in range(threads)]
    done, size = 0, sum(job.size for job in jobs)
    for job in jobs:
        shares[(2 * done + job.size) * threads // (2 * size)].append(job)
        done += job.size
    return shares


@lru_cache(maxsize=256)
def cut(geometries: tuple[Geometry, ...], threads: int) -> Jobs:
    """Cut the tensors into jobs of half of what a thread has to do, unless that makes too many or too small ones.

    Stretches are of STRETCH entries. A tensor, or a batch of it, of more than that is cut into pieces of at least THIN
    rows; of fewer rows, into no more panels than there are threads, as long as they are not wider than WIDEST, nor into
    ones narrower than NARROWEST: threads may remain without work.
    """
    share = max(1, sum(math.prod(g.shape) for g in geometries) // (PIECES * threads))
    return Jobs.of([(i, panel) for i, g in enumerate(geometries) for panel in g.panels(share, threads)], threads)


@lru_cache(maxsize=256)
def stretches(sizes: tuple[int, ...], threads: int) -> Jobs:
    """Cut tensors of so many entries, whatever their shapes."""
    return cut(tuple(Geometry((size,), (1,), None) for size in sizes), threads)
