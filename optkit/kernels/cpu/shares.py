"""Which job a thread does next: first those of its own share, then those that others have not begun."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from numba import njit

from .functions import STRICT
from .jobs import APART
from .memory import called, load, look, take


@njit(**STRICT)
def numbered(memory):
    """The number of this thread, which no other has: that in its team, so that its share is the same in each step, or
    the next one that is free."""
    me = called(memory.number) % memory.threads if memory.number != 0 else 0
    while take(memory.counters, APART * (1 + me)):
        me = (me + 1) % memory.threads
    return me


@njit(**STRICT)
def next_job(turn, me, memory):
    """(round, job) of what this thread does next, in this round or a later one; -1 for the job where none is left."""
    threads = memory.threads
    while turn < memory.rounds:
        for i in range(threads):
            whose = (me + i) % threads
            begin, counter = turn * (threads + 1) + whose, APART * (1 + threads + turn * threads + whose)
            n, end = load(memory.shares, begin), load(memory.shares, begin + 1)
            if n + look(memory.counters, counter) < end:
                n += take(memory.counters, counter)
                if n < end:
                    return turn, n
        turn += 1
    return turn, -1


@njit(**STRICT)
def progress(panel, memory):
    """The counter of a panel in pieces."""
    return APART * (1 + memory.threads + memory.rounds * memory.threads + panel)
